-- The feeds that come in partners' files: landed like any other, one table a feed, one partition a day of arrival.

create table landing.fuel_purchase (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    partner text not null,
    source_line bigint not null,
    transaction_id text not null,
    vehicle_id text not null,
    driver_id text,
    purchased_at timestamptz not null,
    fuel text not null,
    volume_l double precision,
    amount_minor bigint,
    currency text,
    station_id text,
    country text,
    lat double precision,
    lon double precision,
    odometer_km double precision,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

create table landing.service_record (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    partner text not null,
    source_line bigint not null,
    record_id text not null,
    vehicle_id text not null,
    service text not null,
    started_at timestamptz,
    completed_at timestamptz not null,
    odometer_km double precision,
    engine_hours double precision,
    cost_minor bigint,
    currency text,
    workshop_id text,
    note text,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

do $$
declare
    feed text;
begin
    foreach feed in array array['fuel_purchase', 'service_record'] loop
        execute format('create table landing.%I partition of landing.%I default', feed || '_default', feed);
        execute format('create index on landing.%I using brin (batch_id) with (pages_per_range = 16, autosummarize = on)', feed);
        execute format('alter table landing.%I enable row level security', feed);
        execute format('alter table landing.%I enable row level security', feed || '_default');
    end loop;
end $$;
select ops.keep_landing();
