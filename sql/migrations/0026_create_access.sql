-- Who sees which rows. A login is bound to tenants, may be narrowed to regions, sites or vehicles, and all of it ends on a
-- date; partners see named vehicles. The session says which tenant it works for; the tables here say whether it may.
do $$
declare
    role_name text;
begin
    foreach role_name in array array['fleet_partner', 'fleet_privacy'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin', role_name);
        end if;
    end loop;
end $$;
grant usage on schema marts, reports, ops to fleet_partner;
grant usage on schema ops to fleet_live, fleet_privacy;

create table ops.analyst_tenant (
    login text not null,
    tenant_id text not null,
    valid_from timestamptz not null default now(),
    valid_until timestamptz not null default 'infinity',
    reason text not null,
    granted_by text not null default session_user,
    primary key (login, tenant_id),
    check (valid_from < valid_until)
);
comment on table ops.analyst_tenant is 'Which tenants a login may work for; a login that is not listed sees none';
comment on column ops.analyst_tenant.tenant_id is
'A star: any tenant that the session sets. For a service that asks its users itself; never for a person';

-- The two shared logins set the tenant themselves, as they always have. Where each person has a login of their own, these go.
insert into ops.analyst_tenant (login, tenant_id, reason) values
('fleet_analyst', '*', 'shared login: the application chooses the tenant'),
('fleet_live', '*', 'the live feed chooses the tenant of each of its clients');

create table ops.analyst_scope (
    scope_id bigint generated always as identity primary key,
    login text not null,
    tenant_id text not null,
    level text not null check (level in ('org', 'region', 'site', 'vehicle')),
    value text,
    valid_from timestamptz not null default now(),
    valid_until timestamptz not null default 'infinity',
    reason text not null,
    granted_by text not null default session_user,
    check (valid_from < valid_until),
    check ((level = 'org') = (value is null))
);
create unique index analyst_scope_once on ops.analyst_scope (login, tenant_id, level, coalesce(value, ''));
comment on table ops.analyst_scope is
'What part of a tenant a login sees. Without any row: all of it. With rows of which none is valid now: nothing';

create table ops.vehicle_grant (
    grant_id bigint generated always as identity primary key,
    grantee text not null,
    tenant_id text not null,
    vehicle_id text not null,
    granted_at timestamptz not null default now(),
    expires_at timestamptz not null check (expires_at < 'infinity'),
    reason text not null,
    granted_by text not null default session_user,
    check (granted_at < expires_at)
);
create index vehicle_grant_grantee on ops.vehicle_grant (grantee, tenant_id);
comment on table ops.vehicle_grant is 'Vehicles that a partner''s login sees, each until a date';

-- Who opened which tenant, who looked into the vault, who changed what anybody may see. Rows are only added.
create table ops.access_log (
    access_id bigint generated always as identity primary key,
    logged_at timestamptz not null default clock_timestamp(),
    login text not null default session_user,
    action text not null,
    tenant_id text,
    subject text,
    allowed boolean not null default true,
    detail jsonb,
    application text default nullif(current_setting('application_name', true), ''),
    client inet default inet_client_addr()
);
create index access_log_logged on ops.access_log (logged_at);

do $$
declare
    entity text;
begin
    foreach entity in array array['analyst_tenant', 'analyst_scope', 'vehicle_grant', 'access_log'] loop
        execute format('grant select on ops.%I to fleet_ops', entity);
    end loop;
end $$;
grant insert, update (valid_until, reason), delete on ops.analyst_tenant, ops.analyst_scope to fleet_ops;
grant insert, update (expires_at, reason), delete on ops.vehicle_grant to fleet_ops;
grant select on ops.analyst_scope to fleet_transformer;

create function ops.log_grant() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    image jsonb := to_jsonb(case when tg_op = 'DELETE' then old else new end);
begin
    insert into ops.access_log (action, tenant_id, subject, detail)
    values (lower(tg_op) || ' ' || tg_table_name, image ->> 'tenant_id', coalesce(image ->> 'login', image ->> 'grantee'), image);
    return null;
end $$;
create trigger analyst_tenant_logged after insert or update or delete on ops.analyst_tenant
for each row execute function ops.log_grant();
create trigger analyst_scope_logged after insert or update or delete on ops.analyst_scope
for each row execute function ops.log_grant();
create trigger vehicle_grant_logged after insert or update or delete on ops.vehicle_grant
for each row execute function ops.log_grant();

-- What policies ask, once a query each. It is the login that counts (session_user), whatever role it has taken on, and the
-- clock of the statement: what expires, expires within a long transaction too.
create function ops.may_see_tenant() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from ops.analyst_tenant as t
        where t.login = session_user and t.tenant_id in (current_setting('fleetflow.tenant', true), '*')
            and t.valid_from <= statement_timestamp() and statement_timestamp() < t.valid_until
    )
$$;

create function ops.is_unscoped() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select count(*) = 0 or count(*) filter (
        where s.level = 'org' and s.valid_from <= statement_timestamp() and statement_timestamp() < s.valid_until
    ) > 0
    from ops.analyst_scope as s
    where s.login = session_user and s.tenant_id = current_setting('fleetflow.tenant', true)
$$;

create function ops.scope_values(of_level text) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select s.value
    from ops.analyst_scope as s
    where s.login = session_user and s.tenant_id = current_setting('fleetflow.tenant', true) and s.level = of_level
        and s.valid_from <= statement_timestamp() and statement_timestamp() < s.valid_until
$$;

create function ops.scope_regions() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select v.value from ops.scope_values('region') as v (value)
$$;

create function ops.scope_sites() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select v.value from ops.scope_values('site') as v (value)
    union
    select s.site_id
    from source.sites as s
    where s.tenant_id = current_setting('fleetflow.tenant', true)
        and s.region in (select r.value from ops.scope_values('region') as r (value))
$$;

create function ops.scope_vehicles() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select v.value from ops.scope_values('vehicle') as v (value)
    union
    select v.vehicle_id
    from source.vehicles as v
    where v.tenant_id = current_setting('fleetflow.tenant', true)
        and v.home_site_id in (select s.site_id from ops.scope_sites() as s (site_id))
$$;

create function ops.granted_vehicles() returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select g.vehicle_id
    from ops.vehicle_grant as g
    where g.grantee = session_user and g.tenant_id = current_setting('fleetflow.tenant', true)
        and g.granted_at <= statement_timestamp() and statement_timestamp() < g.expires_at
$$;

-- The mirrors are open to the transformer, whom no policy binds; not to whoever migrates, if that is no superuser.
grant create on schema ops to fleet_transformer;
alter function ops.scope_sites() owner to fleet_transformer;
alter function ops.scope_vehicles() owner to fleet_transformer;
revoke create on schema ops from fleet_transformer;

-- Opens a tenant for the rest of the transaction, and says so in the log. What is refused is logged too, and opens nothing;
-- it does not raise, for that would take the entry back. Whoever rolls back takes it back all the same: so it also goes to
-- the server's log.
create function ops.as_tenant(tenant text) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    allowed boolean;
begin
    perform set_config('fleetflow.tenant', coalesce(tenant, ''), true);
    allowed := coalesce(tenant, '') <> '' and (
        ops.may_see_tenant() or exists (select from ops.granted_vehicles())
    );
    if not allowed then
        perform set_config('fleetflow.tenant', '', true);
    end if;
    insert into ops.access_log (action, tenant_id, allowed) values ('open tenant', tenant, allowed);
    raise log 'fleetflow access: login % % tenant %', session_user, case when allowed then 'opened' else 'was refused' end, tenant;
    return allowed;
end $$;

-- Gives a relation to its readers and puts the policies on it that its columns ask for. What it made it remembers by a hash in
-- the policy's comment, so that a second call looks and does nothing. Whoever owns the relation calls it, after each build.
create function ops.publish(target regclass, is_shared boolean default false) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    kind "char" := (select c.relkind from pg_class as c where c.oid = target);
    place text := (select n.nspname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace where c.oid = target);
    names text [] := (
        select array_agg(a.attname::text order by a.attnum) from pg_attribute as a
        where a.attrelid = target and a.attnum > 0 and not a.attisdropped
    );
    forced boolean := (
        select r.rolbypassrls or r.rolsuper from pg_class as c join pg_roles as r on r.oid = c.relowner where c.oid = target
    );
    placed boolean := exists (
        select from unnest(names) as n where n in ('region', 'vehicle_id', 'site_id') or n like '%\_site\_id'
    );
    reader text := case place when 'live' then 'fleet_live' else 'fleet_analyst' end;
    -- Where the login may not, the tenant is null: a name that it may not use reads no more rows than one that nobody has.
    tenant_rule text := 'tenant_id = (select nullif(current_setting(''fleetflow.tenant'', true), '''') where %s)';
    scope_rule text;
    wanted text;
begin
    if kind = 'm' then
        raise exception '%: a materialized view has no row security; make it a table with tenant_id', target;
    elsif kind = 'v' then
        if not 'security_invoker=true' = any(coalesce((select c.reloptions from pg_class as c where c.oid = target), '{}')) then
            execute format('alter view %s set (security_invoker = true)', target);
        end if;
        execute format('grant select on %s to %I', target, reader);
        if 'vehicle_id' = any(names) then
            perform ops.publish_to_partners(target, names);
        end if;
        return true;
    elsif not 'tenant_id' = any(names) then
        if not is_shared then
            raise exception '%: no column tenant_id, so no tenant can be told from another', target
            using hint = 'Add tenant_id; or, if it holds words that are the same for everybody, make it a seed.';
        end if;
        execute format('grant select on %s to %I', target, reader);
        return true;
    end if;

    select coalesce(string_agg(rule, ' or ' order by at), 'false') into scope_rule
    from (
        select c.at, case
            when c.name = 'region' then 'region in (select r.value from ops.scope_regions() as r (value))'
            when c.name = 'vehicle_id' then 'vehicle_id in (select v.value from ops.scope_vehicles() as v (value))'
            -- A driver's rows follow the driver's base only where nothing nearer places them.
            when c.name = 'driver_key' and not placed then 'driver_key in (select d.value from ops.scope_drivers() as d (value))'
            when c.name = 'site_id' or c.name like '%\_site\_id'
                then format('%I in (select s.value from ops.scope_sites() as s (value))', c.name)
        end as rule
        from unnest(names) with ordinality as c (name, at)
    ) as rules;
    wanted := md5(concat_ws(E'\n', '1', tenant_rule, scope_rule, forced, names));
    if exists (
        select from pg_policy as p join pg_class as c on c.oid = p.polrelid
        where p.polrelid = target and p.polname = 'tenant' and c.relrowsecurity
            and obj_description(p.oid, 'pg_policy') = wanted
    ) and has_table_privilege(reader, target, 'select') then
        return false;
    end if;

    execute format('alter table %s enable row level security', target);
    if forced then
        execute format('alter table %s force row level security', target);
    end if;
    execute format('drop policy if exists tenant on %s', target);
    execute format('drop policy if exists scope on %s', target);
    execute format('drop policy if exists partner on %s', target);
    execute format(
        'create policy tenant on %s for select to fleet_analyst, fleet_live using (%s)',
        target, format(tenant_rule, 'ops.may_see_tenant()')
    );
    execute format(
        'create policy scope on %s as restrictive for select to fleet_analyst using ((select ops.is_unscoped()) or %s)',
        target, scope_rule
    );
    if 'vehicle_id' = any(names) then
        execute format(
            'create policy partner on %s for select to fleet_partner'
            ' using (%s and vehicle_id in (select v.value from ops.granted_vehicles() as v (value)))',
            target, format(tenant_rule, 'exists (select from ops.granted_vehicles())')
        );
        perform ops.publish_to_partners(target, names);
    end if;
    execute format('comment on policy tenant on %s is %L', target, wanted);
    execute format('grant select on %s to %I', target, reader);
    return true;
end $$;

-- A partner sees the columns about the vehicle, not the driver's.
create function ops.publish_to_partners(target regclass, names text []) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    execute format('grant select (%s) on %s to fleet_partner', (
        select string_agg(format('%I', n), ', ') from unnest(names) as n where n not like '%driver%'
    ), target);
end $$;

-- What is not published is seen by nobody: a grant no longer comes with the table.
alter default privileges for role fleet_transformer in schema marts, reports revoke select on tables from fleet_analyst;
alter default privileges for role fleet_transformer in schema live revoke select on tables from fleet_live;
