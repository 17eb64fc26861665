-- What vehicles and tachographs tell beside positions: landed like any other feed.

create table landing.driver_activity (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    driver_id text not null,
    vehicle_id text,
    activity text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    slot smallint,
    crew text,
    origin text not null,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

create table landing.can_frame (
    tenant_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    schema_version smallint not null,
    vehicle_id text not null,
    captured_at timestamptz not null,
    channel text not null,
    arbitration_id integer not null,
    is_extended boolean not null,
    payload bytea not null,
    batch_id bigint not null,
    line integer not null,
    arrived_at timestamptz not null
) partition by range (arrived_at);

do $$
declare
    feed text;
begin
    foreach feed in array array['driver_activity', 'can_frame'] loop
        execute format('create table landing.%I partition of landing.%I default', feed || '_default', feed);
        execute format('create index on landing.%I using brin (batch_id) with (pages_per_range = 16, autosummarize = on)', feed);
        execute format('alter table landing.%I enable row level security', feed);
        execute format('alter table landing.%I enable row level security', feed || '_default');
    end loop;
end $$;
select ops.keep_landing();

insert into ops.pipeline_feed (pipeline, feed) values ('lake', 'driver_activity'), ('lake', 'can_frame');
