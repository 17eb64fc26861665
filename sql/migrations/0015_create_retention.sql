-- Retention: what may not be dropped yet, and what was.
create table ops.legal_hold (
    hold_id bigint generated always as identity primary key,
    tenant_id text,
    feed text,
    from_at timestamptz,
    to_at timestamptz,
    reason text not null,
    placed_by text not null,
    placed_at timestamptz not null default clock_timestamp(),
    released_by text,
    released_at timestamptz,
    check (from_at < to_at),
    check ((released_by is null) = (released_at is null))
);
comment on table ops.legal_hold is
'Data of a tenant (null: all), a feed (null: all), a time range (null: open) that no retention drops';
comment on column ops.legal_hold.from_at is 'Of arrival for raw objects and landing, of the event for the lake and the marts';

create table ops.retention_action (
    retention_action_id bigint generated always as identity primary key,
    area text not null check (area in ('raw', 'landing', 'lake', 'marts', 'ledger')),
    subject text not null,
    action text not null check (action in ('dropped', 'refused')),
    reason text not null,
    row_count bigint,
    size_bytes bigint,
    done_at timestamptz not null default clock_timestamp()
);
create index retention_action_done on ops.retention_action (done_at);
create index retention_action_dropped on ops.retention_action (area, subject) where action = 'dropped';

alter table ops.batch add column object_expired_at timestamptz;
grant update (object_expired_at) on ops.batch to fleet_loader;
grant select, insert on ops.retention_action to fleet_loader, fleet_transformer;
grant select on ops.retention_action, ops.legal_hold to fleet_loader, fleet_transformer, fleet_ops;
grant insert on ops.legal_hold to fleet_ops;
grant update (released_by, released_at) on ops.legal_hold to fleet_ops;

-- The guard, in three questions. Each answers null for "nothing stands against it", else the reason in words.
create function ops.unverified(of_feed text, until timestamptz) returns text
language sql stable set search_path = pg_catalog as $$
    with verified as (
        select max(v.verified_through) as through from ops.verified_through as v where v.feed = of_feed
    )
    select coalesce(
        (
            select format(
                'not reconciled: %s arrivals from %s on are not verified', of_feed,
                to_char(min(b.first_arrived_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
            )
            from ops.batch as b, verified as v
            where b.feed = of_feed and b.source <> 'cdc' and b.first_arrived_at < until
                and b.first_arrived_at >= coalesce(v.through, '-infinity')
            having count(*) > 0
        ),
        (
            select format(
                'not reconciled: the %s of %s does not hold (%s)', s.grain,
                to_char(s.window_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), s.verdict
            )
            from ops.reconciliation_standing as s
            where s.feed = of_feed and s.window_start < until and s.verdict not in ('passed', 'repaired')
            order by s.window_start
            limit 1
        )
    )
$$;

create function ops.held_by(of_feed text, range_start timestamptz, range_end timestamptz, of_tenant text default null)
returns text
language sql stable set search_path = pg_catalog as $$
    select format('legal hold %s: %s', h.hold_id, h.reason)
    from ops.legal_hold as h
    where h.released_at is null and (h.feed is null or h.feed = of_feed)
        and (h.tenant_id is null or of_tenant is null or h.tenant_id = of_tenant)
        and coalesce(h.from_at, '-infinity') < range_end and coalesce(h.to_at, 'infinity') > range_start
    order by h.hold_id
    limit 1
$$;
comment on function ops.held_by(text, timestamptz, timestamptz, text) is
'Without a tenant, for what holds rows of all of them together: a hold of any tenant counts';

create function ops.untransformed(of_feed text, range_start timestamptz, range_end timestamptz) returns text
language sql stable set search_path = pg_catalog as $$
    select format('not transformed: %s batches wait for %s', count(*), p.pipeline)
    from ops.batch as b join ops.pending_batch as p on p.batch_id = b.batch_id
    where b.feed = of_feed and b.last_arrived_at >= range_start and b.first_arrived_at < range_end
    group by p.pipeline
    order by p.pipeline
    limit 1
$$;

create function ops.landing_refusal(feed text, day date) returns text
language plpgsql stable security definer set search_path = pg_catalog as $$
declare
    range_start timestamptz := day::timestamp at time zone 'UTC';
    range_end timestamptz := (day + 1)::timestamp at time zone 'UTC';
    holds boolean;
begin
    execute format('select exists (select from landing.%I)', feed || '_' || to_char(day, 'YYYYMMDD')) into holds;
    if not holds then
        return null;
    end if;
    return coalesce(
        ops.untransformed(feed, range_start, range_end),
        ops.unverified(feed, range_end),
        ops.held_by(feed, range_start, range_end)
    );
end $$;

create or replace function ops.drop_landing_day(feed text, day date) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
declare
    child text := feed || '_' || to_char(day, 'YYYYMMDD');
    refusal text;
    size bigint;
begin
    if to_regclass(format('landing.%I', child)) is null then
        return true;
    end if;
    refusal := ops.landing_refusal(feed, day);
    if refusal is not null then
        insert into ops.retention_action (area, subject, action, reason)
        values ('landing', 'landing.' || child, 'refused', refusal);
        return false;
    end if;
    size := pg_total_relation_size(format('landing.%I', child)::regclass);
    insert into ops.retention_action (area, subject, action, reason, row_count, size_bytes)
    select 'landing', 'landing.' || child, 'dropped', 'past its days', coalesce(sum(b.accepted), 0), size
    from ops.batch as b
    where b.feed = drop_landing_day.feed and b.source <> 'cdc'
        and b.first_arrived_at >= day::timestamp at time zone 'UTC'
        and b.first_arrived_at < (day + 1)::timestamp at time zone 'UTC';
    execute format('drop table landing.%I', child);
    return true;
end $$;

create function ops.landing_days(keep_days integer, today date) returns table (feed text, day date)
language sql stable security definer set search_path = pg_catalog as $$
    select parent.relname::text, to_date(right(child.relname, 8), 'YYYYMMDD')
    from pg_class as parent
    join pg_namespace as n on n.oid = parent.relnamespace
    join pg_inherits as i on i.inhparent = parent.oid
    join pg_class as child on child.oid = i.inhrelid
    where n.nspname = 'landing' and parent.relkind = 'p' and child.relname ~ '_[0-9]{8}$'
        and to_date(right(child.relname, 8), 'YYYYMMDD') < today - keep_days
    order by 1, 2
$$;
comment on function ops.landing_days(integer, date) is 'The daily partitions that are past keeping, by feed, oldest first';

create or replace function ops.keep_landing(keep_days integer default 7, ahead_days integer default 3, today date default null)
returns table (feed text, day date, action text)
language plpgsql security definer set search_path = pg_catalog as $$
declare
    as_of date := coalesce(keep_landing.today, (ops.as_of() at time zone 'UTC')::date);
begin
    if keep_days < 1 or ahead_days < 1 then
        raise exception 'keep_landing: keep_days and ahead_days must be at least 1, got % and %', keep_days, ahead_days;
    end if;
    for keep_landing.feed in
        select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = 'landing' and c.relkind = 'p' order by 1
    loop
        for keep_landing.day in select generate_series(as_of - 1, as_of + ahead_days, interval '1 day')::date loop
            if ops.create_landing_day(keep_landing.feed, keep_landing.day) then
                keep_landing.action := 'created';
                return next;
            end if;
        end loop;
    end loop;
    for keep_landing.feed, keep_landing.day in select d.feed, d.day from ops.landing_days(keep_days, as_of) as d loop
        keep_landing.action := case when ops.drop_landing_day(keep_landing.feed, keep_landing.day) then 'dropped'
            else 'kept: ' || ops.landing_refusal(keep_landing.feed, keep_landing.day) end;
        return next;
    end loop;
end $$;

-- Of the ledger's own tables only what describes and accounts for nothing is ever deleted, oldest first, in chunks.
create function ops.expire_rows(of_table text, before timestamptz, chunk integer) returns bigint
language plpgsql security definer set search_path = pg_catalog as $$
declare
    time_column text := case of_table
        when 'check_result' then 'checked_at' when 'alert' then 'raised_at' when 'cdc_pull' then 'started_at'
    end;
    deleted bigint;
begin
    if time_column is null then
        raise exception 'ops.%: not a table that retention deletes from', of_table;
    end if;
    execute format(
        'with old as (select ctid from ops.%I where %I < $1 limit $2) delete from ops.%I where ctid in (select ctid from old)',
        of_table, time_column, of_table
    ) using before, chunk;
    get diagnostics deleted = row_count;
    return deleted;
end $$;

revoke all on function ops.drop_landing_day(text, date), ops.landing_refusal(text, date), ops.landing_days(integer, date),
ops.expire_rows(text, timestamptz, integer), ops.create_landing_day(text, date) from public;
grant execute on function ops.drop_landing_day(text, date), ops.landing_refusal(text, date), ops.landing_days(integer, date),
ops.expire_rows(text, timestamptz, integer), ops.create_landing_day(text, date) to fleet_loader;
