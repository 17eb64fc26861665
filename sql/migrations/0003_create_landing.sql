-- Landing: append-only, one table a feed, one partition a day of arrival, kept seven days.
-- A BRIN index on batch_id is all the transforming side needs, and costs a COPY nearly nothing.

create table landing.gps_location (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    vehicle_id text not null,
    driver_id text,
    fixed_at timestamptz not null,
    lat double precision not null,
    lon double precision not null,
    speed_kmh double precision not null,
    heading_deg double precision not null,
    altitude_m double precision,
    accuracy_m double precision,
    odometer_km double precision,
    fuel_level_pct double precision,
    ignition_on boolean,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

create table landing.shipment_event (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    shipment_id text not null,
    status text not null,
    occurred_at timestamptz not null,
    driver_id text,
    vehicle_id text,
    lat double precision,
    lon double precision,
    reason_code text,
    sequence bigint,
    origin text not null,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

create table landing.driver_assignment_event (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    assignment_id text not null,
    shipment_id text not null,
    driver_id text not null,
    vehicle_id text,
    action text not null,
    effective_at timestamptz not null,
    sequence bigint not null,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

-- Daily partitions. `ops.keep_landing` makes those of the days ahead and drops those of more than keep_days ago,
-- but never one whose rows no pipeline has transformed yet.
create function ops.create_landing_day(feed text, day date) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
declare
    child text := feed || '_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(format('landing.%I', child)) is not null then
        return false;
    end if;
    execute format(
        'create table landing.%I partition of landing.%I for values from (%L) to (%L)',
        child, feed, day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC'
    );
    execute format('alter table landing.%I enable row level security', child);
    return true;
end $$;

create function ops.drop_landing_day(feed text, day date) returns boolean
language plpgsql security definer set search_path = pg_catalog as $$
declare
    child text := feed || '_' || to_char(day, 'YYYYMMDD');
    waiting boolean;
begin
    execute format(
        'select exists (select from ops.pending_batch as p join ops.batch as b using (batch_id)'
        ' where b.feed = %L and b.last_arrived_at >= %L and b.first_arrived_at < %L)',
        feed, day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC'
    ) into waiting;
    if waiting then
        return false;
    end if;
    execute format('drop table landing.%I', child);
    return true;
end $$;

create function ops.keep_landing(keep_days integer default 7, ahead_days integer default 3, today date default null)
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
        for keep_landing.day in
            select to_date(right(c.relname, 8), 'YYYYMMDD')
            from pg_inherits as i
            join pg_class as c on c.oid = i.inhrelid
            where i.inhparent = format('landing.%I', keep_landing.feed)::regclass and c.relname ~ '_[0-9]{8}$'
        loop
            if keep_landing.day < as_of - keep_days then
                keep_landing.action := case
                    when ops.drop_landing_day(keep_landing.feed, keep_landing.day) then 'dropped' else 'kept: not transformed'
                end;
                return next;
            end if;
        end loop;
    end loop;
end $$;
revoke all on function ops.create_landing_day(text, date), ops.drop_landing_day(text, date),
ops.keep_landing(integer, integer, date) from public;
grant execute on function ops.keep_landing(integer, integer, date) to fleet_loader;

-- What arrives on a day that has no partition still lands, and is seen by an alert instead of being refused.
do $$
declare
    feed text;
begin
    foreach feed in array array['gps_location', 'shipment_event', 'driver_assignment_event'] loop
        execute format('create table landing.%I partition of landing.%I default', feed || '_default', feed);
        execute format('create index on landing.%I using brin (batch_id) with (pages_per_range = 16, autosummarize = on)', feed);
        execute format('alter table landing.%I enable row level security', feed);
        execute format('alter table landing.%I enable row level security', feed || '_default');
    end loop;
end $$;
select ops.keep_landing();

grant select, insert on all tables in schema landing to fleet_loader;
grant select on all tables in schema landing to fleet_transformer, fleet_ops;
alter default privileges in schema landing grant select, insert on tables to fleet_loader;
alter default privileges in schema landing grant select on tables to fleet_transformer, fleet_ops;
