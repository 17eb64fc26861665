-- The vault: which driver has which pseudonym, under which key; who was erased. One place gives pseudonyms to all: it looks them
-- up, and makes one only for a driver that it has never named.
alter table vault.pseudonym_key alter column inner_pad drop not null, alter column outer_pad drop not null,
add column retired_at timestamptz,
add check ((retired_at is null) = (inner_pad is not null) and (inner_pad is null) = (outer_pad is null));
comment on column vault.pseudonym_key.retired_at is 'When another key took over; the key itself is destroyed then';

create table vault.driver_identity (
    tenant_id text not null,
    driver_id text not null,
    key_version integer not null,
    driver_key text not null,
    named_at timestamptz not null default clock_timestamp(),
    erased_at timestamptz,
    primary key (tenant_id, driver_id),
    unique (tenant_id, driver_key)
);
comment on table vault.driver_identity is
'Each driver''s pseudonym. Of an erased one a random token stands in driver_id, and a random pseudonym beside it';

-- Knows an erased driver again without holding who it was: a fingerprint under a key that never leaves and never changes.
create table vault.erasure_key (
    only_one boolean primary key default true check (only_one),
    inner_pad bytea not null,
    outer_pad bytea not null
);
insert into vault.erasure_key (inner_pad, outer_pad)
select vault.pad(k.key, 54), vault.pad(k.key, 92)
from (select sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) as key from generate_series(1, 4)) as k;

create table vault.driver_erasure (
    erasure_id bigint generated always as identity primary key,
    tenant_id text not null,
    fingerprint bytea not null,
    token text not null,
    driver_key text not null,
    requested_at timestamptz not null default clock_timestamp(),
    requested_by text not null,
    completed_at timestamptz,
    rows_by_table jsonb,
    unique (tenant_id, fingerprint)
);
comment on table vault.driver_erasure is 'Who was erased, without saying who: what replaced the driver, where, and when';

alter table vault.driver_identity enable row level security;
alter table vault.driver_erasure enable row level security;

create function vault.keyed_hash(inner_pad bytea, outer_pad bytea, tenant text, identifier text) returns bytea
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select sha256(outer_pad || sha256(inner_pad || convert_to(tenant || E'\x1f' || identifier, 'UTF8')))
$$;

create function vault.fingerprint(tenant text, identifier text) returns bytea
language sql stable strict security definer set search_path = pg_catalog, pg_temp as $$
    select vault.keyed_hash(k.inner_pad, k.outer_pad, tenant, identifier) from vault.erasure_key as k
$$;

-- What stands for a driver who was erased: null for everybody else.
create function vault.erased_as(tenant text, identifier text, out token text, out driver_key text)
language sql stable strict security definer set search_path = pg_catalog, pg_temp as $$
    select e.token, e.driver_key
    from vault.driver_erasure as e
    where e.tenant_id = tenant and e.fingerprint = vault.fingerprint(tenant, identifier)
$$;

create function ops.driver_token(tenant text, driver text) returns text
language sql stable strict security definer set search_path = pg_catalog, pg_temp as $$
    select coalesce((vault.erased_as(tenant, driver)).token, driver)
$$;
comment on function ops.driver_token(text, text) is
'The driver, or the token of an erased one. Whoever brings rows from the lake or a raw object into the warehouse asks it';

drop function ops.pseudonym(text, text);
create function ops.pseudonym(tenant text, identifier text) returns text
language plpgsql volatile strict security definer set search_path = pg_catalog, pg_temp as $$
declare
    known text := (
        select i.driver_key from vault.driver_identity as i where i.tenant_id = tenant and i.driver_id = identifier
    );
begin
    if known is not null then
        return known;
    end if;
    if exists (select from vault.driver_erasure as e where e.tenant_id = tenant) then
        known := (vault.erased_as(tenant, identifier)).driver_key;
        if known is not null then
            return known;
        end if;
    end if;
    -- Two pipelines that name the same drivers in another order would wait for each other.
    perform pg_advisory_xact_lock(7305413);
    insert into vault.driver_identity (tenant_id, driver_id, key_version, driver_key)
    select tenant, identifier, k.version,
        left(encode(vault.keyed_hash(k.inner_pad, k.outer_pad, tenant, identifier), 'hex'), 24)
    from vault.pseudonym_key as k
    where k.retired_at is null
    on conflict (tenant_id, driver_id) do nothing;
    return (select i.driver_key from vault.driver_identity as i where i.tenant_id = tenant and i.driver_id = identifier);
end $$;

-- What was named before there was a vault.
do $$
declare
    known text;
begin
    foreach known in array array['intermediate.int_driver_key', 'intermediate.int_driver_pseudonym'] loop
        if to_regclass(known) is not null then
            execute format(
                'insert into vault.driver_identity (tenant_id, driver_id, key_version, driver_key)'
                ' select n.tenant_id, n.driver_id, (select max(k.version) from vault.pseudonym_key as k), n.driver_key'
                ' from %s as n on conflict (tenant_id, driver_id) do nothing', known
            );
        end if;
    end loop;
end $$;

create or replace procedure ops.set_pseudonym_key(key text)
language sql security definer set search_path = pg_catalog, pg_temp begin atomic
insert into vault.pseudonym_key (version, inner_pad, outer_pad)
select 1, vault.pad(convert_to(key, 'UTF8'), 54), vault.pad(convert_to(key, 'UTF8'), 92)
where not exists (select from vault.pseudonym_key)
on conflict (version) do nothing;
end;

-- Where drivers stand, from the catalog: `id` as the order database names them, `key` as the marts do, `document` where either may
-- stand within. A table that a later migration or model adds is here as soon as it is there.
create view vault.driver_column as
select
    c.oid::regclass as relation,
    n.nspname as place,
    c.relname as name,
    a.attname as column_name,
    case
        when a.atttypid in ('json'::regtype, 'jsonb'::regtype) then 'document'
        when a.attname = 'driver_id' or a.attname like '%\_driver\_id' then 'id'
        else 'key'
    end as kind
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid
where
    c.relkind in ('r', 'p')
    and not c.relispartition
    and n.nspname in ('landing', 'source', 'staging', 'intermediate', 'marts', 'reports', 'live', 'audit')
    and a.attnum > 0
    and not a.attisdropped
    and (
        a.atttypid in ('json'::regtype, 'jsonb'::regtype)
        or (a.attname in ('driver_id', 'driver_key') or a.attname like '%\_driver\_id' or a.attname like '%\_driver\_key')
        and a.atttypid in ('text'::regtype, 'varchar'::regtype)
    )
    and exists (
        select from pg_attribute as t where t.attrelid = c.oid and t.attname = 'tenant_id' and not t.attisdropped
    );

-- What is known of a driver beside the facts: nulled with the name. Keys and the CDC's own columns stay.
create function vault.traits(relation regclass) returns text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select string_agg(format('%I = null', a.attname), ', ' order by a.attnum)
    from pg_attribute as a
    where a.attrelid = relation and a.attnum > 0 and not a.attisdropped and not a.attnotnull
        and a.attname not like '\_%' and a.attname not in ('tenant_id', 'driver_id', 'driver_key', 'batch_id')
$$;

-- A driver's name within other text: as a word of its own, not as part of a longer one; one without a letter only between
-- quotation marks, or every number would be taken for it.
create function vault.word(term text) returns text
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select case when term ~ '[A-Za-z]' then '(?<![A-Za-z0-9_-])' else '(?<=")' end
        || regexp_replace(term, '([^A-Za-z0-9_])', '\\\1', 'g')
        || case when term ~ '[A-Za-z]' then '(?![A-Za-z0-9_-])' else '(?=")' end
$$;

create function vault.without_driver(content text, driver text, token text, old_key text, new_key text) returns text
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select replace(regexp_replace(content, vault.word(driver), token, 'g'), old_key, new_key)
$$;

create function vault.holds_driver(content text, driver text, old_key text) returns boolean
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select content ~ vault.word(driver) or position(old_key in content) > 0
$$;

-- Of refused bytes: another tenant's own driver may have the same name. What names no tenant counts as anybody's.
create function vault.is_of_tenant(raw bytea, tenant text) returns boolean
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select coalesce(substring(encode(raw, 'escape') from '"tenant_id"\s*:\s*"([^"]*)"') = tenant, true)
$$;

create function vault.names_driver(raw bytea, tenant text, driver text) returns boolean
language sql immutable strict set search_path = pg_catalog, pg_temp as $$
    select encode(raw, 'escape') ~ vault.word(encode(convert_to(driver, 'UTF8'), 'escape')) and vault.is_of_tenant(raw, tenant)
$$;

-- Replaces a driver in every table, or, in a dry run, counts where. Rows stay, sums stay. Fails where the rows of a table are not
-- all in sight (row_security = off), instead of leaving some behind.
create function vault.replace_driver(
    tenant text, driver text, old_key text, token text, new_key text, dry_run boolean
) returns table (relation text, row_count bigint)
language plpgsql set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    target record;
    traits text;
begin
    for target in
        select d.relation, d.place, d.name,
            string_agg(format(
                case d.kind when 'id' then 't.%I = $2' when 'key' then 't.%I = $3'
                    else 'vault.holds_driver(t.%I::text, $2, $3)' end, d.column_name
            ), ' or ') as condition,
            string_agg(format(
                case d.kind when 'id' then '%1$I = case when t.%1$I = $2 then $4 else t.%1$I end'
                    when 'key' then '%1$I = case when t.%1$I = $3 then $5 else t.%1$I end'
                    else '%1$I = vault.without_driver(t.%1$I::text, $2, $4, $3, $5)::%2$s' end,
                d.column_name, (
                    select format_type(a.atttypid, a.atttypmod) from pg_attribute as a
                    where a.attrelid = d.relation and a.attname = d.column_name
                )
            ), ', ') as change
        from vault.driver_column as d
        group by d.relation, d.place, d.name
        order by d.place, d.name
    loop
        traits := case when (target.place, target.name) in (('source', 'drivers'), ('source', 'drivers_history'), ('marts', 'dim_driver'))
            then vault.traits(target.relation) end;
        replace_driver.relation := target.place || '.' || target.name;
        execute case when dry_run then format('select count(*) from %s as t where t.tenant_id = $1 and (%s)', target.relation, target.condition)
            else format(
                'with changed as (update %s as t set %s where t.tenant_id = $1 and (%s) returning 1) select count(*) from changed',
                target.relation, concat_ws(', ', target.change, traits), target.condition
            ) end
        into replace_driver.row_count using tenant, driver, old_key, token, new_key;
        return next;
    end loop;

    -- A driver's own kept states go on under the token; what stands within their bytes, fleetflow.privacy_states renames.
    replace_driver.relation := 'intermediate.fold_state';
    if dry_run then
        select count(*) into replace_driver.row_count from intermediate.fold_state as f
        where f.tenant_id = tenant and f.entity_id = driver;
    else
        with renamed as (
            update intermediate.fold_state as f set entity_id = token
            where f.tenant_id = tenant and f.entity_id = driver
            returning 1
        )
        select count(*) into replace_driver.row_count from renamed;
    end if;
    return next;

    for target in
        select * from (values
            ('ops.check_result', 'detail', 'text', 't.tenant_id is null or t.tenant_id = $5'),
            ('ops.access_log', 'subject', 'text', 't.tenant_id = $5'),
            ('ops.access_log', 'detail', 'jsonb', 't.tenant_id = $5'),
            ('ops.partner_extra', 'extras', 'jsonb', 't.batch_id in (select b.batch_id from ops.batch as b'
                ' join ops.partner_file as f on f.file_id = b.partner_file_id where f.tenant_id = $5)'),
            ('ops.rejected', 'detail', 'text', 'vault.is_of_tenant(t.raw, $5)')
        ) as v (relation, column_name, type, mine)
    loop
        replace_driver.relation := target.relation || '.' || target.column_name;
        execute case when dry_run then format(
            'select count(*) from %s as t where (%s) and vault.holds_driver(t.%I::text, $1, $2)',
            target.relation, target.mine, target.column_name
        ) else format(
            'with changed as (update %s as t set %I = vault.without_driver(t.%2$I::text, $1, $3, $2, $4)::%s'
            ' where (%s) and vault.holds_driver(t.%2$I::text, $1, $2) returning 1) select count(*) from changed',
            target.relation, target.column_name, target.type, target.mine
        ) end
        into replace_driver.row_count using driver, old_key, token, new_key, tenant;
        return next;
    end loop;

    -- Refused bytes: whatever they are, they are read as single bytes, and written back the same but for the name. Those that
    -- name another tenant are somebody else's driver.
    replace_driver.relation := 'ops.rejected.raw';
    if dry_run then
        select count(*) into replace_driver.row_count from ops.rejected as r where vault.names_driver(r.raw, tenant, driver);
    else
        with changed as (
            update ops.rejected as r set raw = decode(regexp_replace(
                encode(r.raw, 'escape'), vault.word(encode(convert_to(driver, 'UTF8'), 'escape')), token, 'g'
            ), 'escape')
            where vault.names_driver(r.raw, tenant, driver)
            returning 1
        )
        select count(*) into replace_driver.row_count from changed;
    end if;
    return next;
end $$;

-- Events of an erased driver that come again, from a device, a replay or a backfill: masked in the transaction that lands them,
-- just before it commits. Costs one look where nobody was ever erased.
create function vault.mask_batch() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    target record;
    tenants text [];
    drivers text [];
    tokens text [];
begin
    if not exists (select from vault.driver_erasure) then
        return null;
    end if;
    for target in
        select d.relation, d.column_name, d.place = 'source' and d.name = 'drivers' as is_mirror, case
            when d.place = 'source' and d.name in ('drivers', 'drivers_history') then vault.traits(d.relation)
        end as traits
        from vault.driver_column as d
        where d.kind = 'id' and (
            d.place = 'landing' and d.name = new.feed or d.place = 'source' and d.name in (new.feed, new.feed || '_history')
        )
    loop
        execute format(
            'select array_agg(m.tenant_id), array_agg(m.driver_id), array_agg(m.token) from ('
            ' select n.tenant_id, n.driver_id, (vault.erased_as(n.tenant_id, n.driver_id)).token'
            ' from (select distinct t.tenant_id, t.%1$I as driver_id from %2$s as t'
            '  where t.batch_id = $1 and t.tenant_id in (select e.tenant_id from vault.driver_erasure as e)) as n'
            ' where n.driver_id is not null) as m where m.token is not null', target.column_name, target.relation
        ) into tenants, drivers, tokens using new.batch_id;
        continue when tenants is null;
        if target.is_mirror then
            execute format(
                'delete from %s as t using unnest($2, $3, $4) as m (tenant_id, driver_id, token)'
                ' where t.batch_id = $1 and t.tenant_id = m.tenant_id and t.driver_id = m.driver_id'
                ' and exists (select from %1$s as known where known.driver_id = m.token)', target.relation
            ) using new.batch_id, tenants, drivers, tokens;
        end if;
        execute format(
            'update %s as t set %s from unnest($2, $3, $4) as m (tenant_id, driver_id, token)'
            ' where t.batch_id = $1 and t.tenant_id = m.tenant_id and t.%I = m.driver_id',
            target.relation, concat_ws(', ', format('%I = m.token', target.column_name), target.traits), target.column_name
        ) using new.batch_id, tenants, drivers, tokens;
    end loop;
    return null;
end $$;
create constraint trigger batch_masked after insert on ops.batch
deferrable initially deferred for each row execute function vault.mask_batch();

-- The folds go back to the lake for what is older than landing: there the name still stands. From the first erasure on, their
-- tables ask before they take a row.
create function vault.mask_driver() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.driver_id := ops.driver_token(new.tenant_id, new.driver_id);
    return new;
end $$;

create function vault.mask_entity() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.entity_id := ops.driver_token(new.tenant_id, new.entity_id);
    return new;
end $$;

create function vault.guard_folds() returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target record;
    guarded bigint := 0;
begin
    for target in
        select d.relation, d.column_name, 'mask_driver' as mask from vault.driver_column as d
        where d.place = 'intermediate' and d.column_name = 'driver_id'
        union all
        select 'intermediate.fold_state'::regclass, 'entity_id', 'mask_entity'
    loop
        if not exists (
            select from pg_trigger as t where t.tgrelid = target.relation and t.tgname = 'driver_masked'
        ) then
            execute format(
                'create trigger driver_masked before insert or update of %I on %s for each row when (new.%1$I is not null)'
                ' execute function vault.%3$I()', target.column_name, target.relation, target.mask
            );
            guarded := guarded + 1;
        end if;
    end loop;
    return guarded;
end $$;

-- The first half of an erasure: from its commit on, whatever comes is masked. A second call finds the first one's entry.
create function vault.register_erasure(tenant text, driver text) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    known bigint;
begin
    insert into vault.driver_erasure (tenant_id, fingerprint, token, driver_key, requested_by)
    values (
        tenant, vault.fingerprint(tenant, driver),
        'erased-' || left(encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex'), 24),
        left(encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex'), 24), session_user
    )
    on conflict (tenant_id, fingerprint) do nothing;
    select e.erasure_id into strict known from vault.driver_erasure as e
    where e.tenant_id = tenant and e.fingerprint = vault.fingerprint(tenant, driver);
    return known;
end $$;

-- The pseudonym that a driver has, or would have: nothing is written.
create function vault.key_of(tenant text, driver text) returns text
language sql stable strict set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        (select i.driver_key from vault.driver_identity as i where i.tenant_id = tenant and i.driver_id = driver),
        (
            select left(encode(vault.keyed_hash(k.inner_pad, k.outer_pad, tenant, driver), 'hex'), 24)
            from vault.pseudonym_key as k where k.retired_at is null
        )
    )
$$;

-- The second half, in one transaction, while no pipeline runs.
create function vault.erase_driver(of_erasure bigint, driver text) returns table (relation text, row_count bigint)
language plpgsql set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    entry vault.driver_erasure;
    changed jsonb;
begin
    select e.* into strict entry from vault.driver_erasure as e where e.erasure_id = of_erasure for update;
    if entry.fingerprint <> vault.fingerprint(entry.tenant_id, driver) then
        raise exception 'erasure % is another driver''s', of_erasure;
    end if;
    perform vault.guard_folds();
    select jsonb_object_agg(r.relation, r.row_count) filter (where r.row_count > 0) into changed
    from vault.replace_driver(entry.tenant_id, driver, vault.key_of(entry.tenant_id, driver), entry.token, entry.driver_key, false) as r;
    delete from vault.driver_identity as i where i.tenant_id = entry.tenant_id and i.driver_id in (driver, entry.token);
    insert into vault.driver_identity (tenant_id, driver_id, key_version, driver_key, erased_at)
    select entry.tenant_id, entry.token, k.version, entry.driver_key, clock_timestamp()
    from vault.pseudonym_key as k where k.retired_at is null;
    update vault.driver_erasure as e set completed_at = clock_timestamp(), rows_by_table = (
        select jsonb_object_agg(a.key, coalesce((e.rows_by_table ->> a.key)::bigint, 0) + a.value::bigint)
        from jsonb_each_text(coalesce(e.rows_by_table, '{}') || coalesce(changed, '{}')) as a
    )
    where e.erasure_id = of_erasure;
    insert into ops.access_log (action, tenant_id, subject) values ('erase driver', entry.tenant_id, entry.token);
    return query select c.key, c.value::bigint from jsonb_each_text(coalesce(changed, '{}')) as c order by 1;
end $$;

-- Every driver gets another pseudonym, in every table at once, so that they still join; the old key is destroyed. An erased
-- driver's pseudonym is random already, and stays.
create function vault.rotate_key(key text) returns table (relation text, row_count bigint)
language plpgsql set search_path = pg_catalog, pg_temp set row_security = off as $$
declare
    target record;
    next_version integer;
begin
    lock table vault.driver_identity, vault.pseudonym_key in share row exclusive mode;
    update vault.pseudonym_key as k set retired_at = clock_timestamp(), inner_pad = null, outer_pad = null
    where k.retired_at is null;
    insert into vault.pseudonym_key as k (version, inner_pad, outer_pad)
    select coalesce(max(p.version), 0) + 1, vault.pad(convert_to(key, 'UTF8'), 54), vault.pad(convert_to(key, 'UTF8'), 92)
    from vault.pseudonym_key as p
    returning k.version into next_version;

    create temporary table rekeyed on commit drop as
    select i.tenant_id, i.driver_id, i.driver_key as old_key,
        left(encode(vault.keyed_hash(k.inner_pad, k.outer_pad, i.tenant_id, i.driver_id), 'hex'), 24) as new_key
    from vault.driver_identity as i, vault.pseudonym_key as k
    where i.erased_at is null and k.version = next_version;
    create unique index on pg_temp.rekeyed (tenant_id, old_key);
    analyze pg_temp.rekeyed;
    update vault.driver_identity as i set driver_key = r.new_key, key_version = next_version
    from pg_temp.rekeyed as r where i.tenant_id = r.tenant_id and i.driver_id = r.driver_id;

    for target in
        select d.relation, d.place || '.' || d.name as name, d.column_name from vault.driver_column as d
        where d.kind = 'key' order by 2, 3
    loop
        rotate_key.relation := target.name;
        execute format(
            'update %s as t set %I = r.new_key from pg_temp.rekeyed as r where t.tenant_id = r.tenant_id and t.%2$I = r.old_key',
            target.relation, target.column_name
        );
        get diagnostics rotate_key.row_count = row_count;
        return next;
    end loop;
    -- What was looked up by a pseudonym that is gone.
    update ops.access_log as a set subject = r.new_key
    from pg_temp.rekeyed as r where a.tenant_id = r.tenant_id and a.subject = r.old_key;
    insert into ops.access_log (action, detail) values ('rotate pseudonym key', jsonb_build_object('version', next_version));
end $$;

-- From pseudonym to driver, for the one role that may, with a reason, and never without an entry in the log.
create function ops.resolve_driver(tenant text, pseudonym text, reason text) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    allowed boolean := coalesce(reason, '') <> '' and exists (
        select from ops.analyst_tenant as t
        where t.login = session_user and t.tenant_id = tenant
            and t.valid_from <= statement_timestamp() and statement_timestamp() < t.valid_until
    );
begin
    insert into ops.access_log (action, tenant_id, subject, allowed, detail)
    values ('resolve driver', tenant, pseudonym, allowed, jsonb_build_object('reason', reason));
    raise log 'fleetflow access: login % % driver % of tenant %', session_user,
        case when allowed then 'resolved' else 'was refused' end, pseudonym, tenant;
    return (
        select i.driver_id from vault.driver_identity as i
        where allowed and i.tenant_id = tenant and i.driver_key = pseudonym and i.erased_at is null
    );
end $$;

create function ops.keys_of_drivers(tenant text, drivers text []) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select i.driver_key from vault.driver_identity as i where i.tenant_id = tenant and i.driver_id = any(drivers)
$$;

create function ops.scope_drivers() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select k.driver_key
    from ops.keys_of_drivers(current_setting('fleetflow.tenant', true), array(
        select d.driver_id
        from source.drivers as d
        where d.tenant_id = current_setting('fleetflow.tenant', true)
            and d.home_site_id in (select s.site_id from ops.scope_sites() as s (site_id))
    )) as k (driver_key)
$$;
grant create on schema ops to fleet_transformer;
alter function ops.scope_drivers() owner to fleet_transformer;
revoke create on schema ops from fleet_transformer;

-- The officer for personal data sees who was erased and which pseudonyms there are, not who is behind one: that is asked for.
grant usage on schema vault to fleet_privacy;
grant select (erasure_id, tenant_id, token, driver_key, requested_at, completed_at, rows_by_table) on vault.driver_erasure to fleet_privacy;
grant select (tenant_id, driver_key, key_version, named_at, erased_at) on vault.driver_identity to fleet_privacy;
do $$
declare
    entity text;
begin
    foreach entity in array array['driver_identity', 'driver_erasure'] loop
        execute format(
            'create policy tenant on vault.%I for select to fleet_privacy using (tenant_id = ('
            'select nullif(current_setting(''fleetflow.tenant'', true), '''') where ops.may_see_tenant()))', entity
        );
    end loop;
end $$;

-- Everything with a tenant is closed to whoever no policy names. Where the owner is a role that may pass by policies by its own
-- attribute, owning alone is no way in; landing and ops belong to whoever migrates, whose upkeep must count every row.
do $$
declare
    target record;
begin
    for target in
        select c.oid::regclass as relation, n.nspname, c.relrowsecurity, r.rolbypassrls and not r.rolsuper as forced
        from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        join pg_roles as r on r.oid = c.relowner
        where c.relkind in ('r', 'p') and n.nspname in (
            'landing', 'source', 'staging', 'intermediate', 'marts', 'reports', 'live', 'audit', 'ops', 'vault'
        ) and exists (
            select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
        )
    loop
        if not target.relrowsecurity then
            execute format('alter table %s enable row level security', target.relation);
        end if;
        if target.forced then
            execute format('alter table %s force row level security', target.relation);
        end if;
        if target.nspname in ('marts', 'reports', 'live', 'audit') then
            perform ops.publish(target.relation);
        end if;
    end loop;
end $$;

-- A function that runs with its owner's rights looks for names where its caller cannot put any: pg_temp comes last, or it would
-- come first. And nobody runs what was not given to them: not now, and not what later migrations make.
alter default privileges revoke execute on functions from public;
do $$
declare
    target record;
begin
    for target in
        select p.oid::regprocedure as signature, p.prokind, n.nspname, p.prosecdef and p.proconfig @> '{search_path=pg_catalog}' as loose,
            coalesce(p.proacl, acldefault('f', p.proowner)) as acl
        from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('ops', 'vault')
    loop
        if target.loose then
            execute format('alter routine %s set search_path = pg_catalog, pg_temp', target.signature);
        end if;
        if exists (select from aclexplode(target.acl) as a where a.grantee = 0) then
            execute format('revoke execute on routine %s from public', target.signature);
            if target.nspname = 'ops' then
                execute format('grant execute on routine %s to fleet_loader, fleet_transformer, fleet_ops', target.signature);
            end if;
        end if;
    end loop;
end $$;
revoke execute on function ops.pseudonym(text, text), ops.resolve_driver(text, text, text), ops.keys_of_drivers(text, text []),
ops.as_tenant(text), ops.driver_token(text, text), ops.scope_values(text) from fleet_loader, fleet_transformer, fleet_ops;
grant execute on function ops.pseudonym(text, text), ops.keys_of_drivers(text, text []), ops.scope_values(text) to fleet_transformer;
grant execute on function ops.driver_token(text, text) to fleet_loader, fleet_transformer;
grant execute on function ops.resolve_driver(text, text, text) to fleet_privacy;
grant execute on function ops.as_tenant(text), ops.may_see_tenant(), ops.as_of()
to fleet_analyst, fleet_live, fleet_partner, fleet_privacy;
grant execute on function ops.is_unscoped(), ops.scope_regions(), ops.scope_sites(), ops.scope_vehicles(), ops.scope_drivers()
to fleet_analyst;
grant execute on function ops.granted_vehicles() to fleet_partner;
-- Views that analysts read call these with the reader's own rights.
do $$
declare
    helper text;
begin
    foreach helper in array array['ops.closed_on()', 'ops.closed_at()'] loop
        if to_regprocedure(helper) is not null then
            execute format('grant execute on function %s to fleet_analyst, fleet_live, fleet_partner', helper);
        end if;
    end loop;
end $$;
