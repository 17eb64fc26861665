-- What CAN frames come to, vehicle-hour by vehicle-hour: fleetflow/vehicles/telemetry writes it, steps after it read it.

create table intermediate.int_signal_minute (
    tenant_id text not null,
    vehicle_id text not null,
    minute timestamptz not null,
    name text not null,
    samples integer not null check (samples > 0),
    min_value double precision not null,
    max_value double precision not null,
    mean_value double precision not null,
    first_value double precision not null,
    last_value double precision not null,
    last_at timestamptz not null,
    unit text,
    primary key (tenant_id, vehicle_id, minute, name)
);
comment on table intermediate.int_signal_minute is
'One row a minute and decoded signal of a vehicle; values that a vehicle marked as not available are not in it';

create table intermediate.int_dtc_report (
    tenant_id text not null,
    vehicle_id text not null,
    ecu smallint not null,
    listing text not null check (listing in ('dm1', 'service_03')),
    reported_at timestamptz not null,
    last_reported_at timestamptz not null,
    reports integer not null check (reports > 0),
    lamps text [] not null,
    codes jsonb not null,
    primary key (tenant_id, vehicle_id, ecu, listing, reported_at)
);
comment on table intermediate.int_dtc_report is
'One row a run of equal reports of an ECU''s active trouble codes within an hour; an empty list is all clear';

create table intermediate.int_frame_count (
    tenant_id text not null,
    vehicle_id text not null,
    hour timestamptz not null,
    frames integer not null,
    decoded integer not null,
    transport integer not null,
    unknown_id integer not null,
    unknown_pid integer not null,
    wrong_length integer not null,
    unknown_selector integer not null,
    no_transfer integer not null,
    malformed integer not null,
    no_decoder integer not null,
    clock_ahead integer not null,
    before_service integer not null,
    clock_off integer not null,
    signals integer not null,
    not_available integer not null,
    faulty_values integer not null,
    lost_transfers integer not null,
    manifest_version integer not null,
    primary key (tenant_id, vehicle_id, hour),
    constraint frame_count_adds_up check (
        frames = decoded + transport + unknown_id + unknown_pid + wrong_length + unknown_selector + no_transfer
        + malformed + no_decoder + clock_ahead + before_service
    )
);
comment on table intermediate.int_frame_count is 'One row a vehicle and UTC hour: what became of each of its CAN frames';
create index frame_count_hour on intermediate.int_frame_count using brin (hour);

create table intermediate.int_frame_unknown (
    tenant_id text not null,
    vehicle_id text not null,
    hour timestamptz not null,
    channel text not null,
    arbitration_id integer not null,
    is_extended boolean not null,
    outcome text not null,
    frames integer not null,
    first_at timestamptz not null,
    first_payload bytea not null,
    primary key (tenant_id, vehicle_id, hour, channel, arbitration_id, is_extended, outcome)
);
comment on table intermediate.int_frame_unknown is
'One row an id whose frames could not be read in a vehicle''s hour, with the first of them; the frames stay in landing and the lake';

-- Which batches hold frames of an hour, so that an hour is read again without reading landing whole.
create table intermediate.int_frame_batch (
    hour timestamptz not null,
    batch_id bigint not null,
    primary key (hour, batch_id)
);

-- Vehicle-hours that are to be decoded again, by another manifest or model; the next run takes them.
create table intermediate.int_redecode_hour (
    tenant_id text not null,
    vehicle_id text not null,
    hour timestamptz not null,
    primary key (tenant_id, vehicle_id, hour)
);

-- The vehicle-hours that the run at work decodes, in chunks that fit in memory.
create unlogged table intermediate.int_vehicle_hour_touched (
    number integer primary key,
    chunk integer not null,
    tenant_id text not null,
    vehicle_id text not null,
    hour timestamptz not null,
    model text,
    model_year integer,
    in_service_from date
);
create index vehicle_hour_touched_chunk on intermediate.int_vehicle_hour_touched (chunk);

-- Decoders of the manifest that were refused when the step last began; empty when all are sound.
create table intermediate.int_decoder_refused (
    decoder text primary key,
    models text [] not null,
    reason text not null,
    manifest_version integer not null,
    refused_at timestamptz not null default clock_timestamp()
);

-- Which days of the lake's table of signals were written, from how many frames, by which manifest.
create table ops.lake_signal_day (
    day date primary key,
    frames bigint not null,
    signals bigint not null,
    manifest text not null,
    written_at timestamptz not null default clock_timestamp()
);
grant select, insert, update, delete on ops.lake_signal_day to fleet_loader;
grant select on ops.lake_signal_day to fleet_ops, fleet_transformer;

do $$
declare
    child text;
begin
    foreach child in array array[
        'int_signal_minute', 'int_dtc_report', 'int_frame_count', 'int_frame_unknown', 'int_frame_batch',
        'int_redecode_hour', 'int_vehicle_hour_touched', 'int_decoder_refused'
    ] loop
        execute format('alter table intermediate.%I owner to fleet_transformer', child);
        execute format('alter table intermediate.%I enable row level security', child);
        execute format('grant select on intermediate.%I to fleet_ops', child);
    end loop;
end $$;

-- Meters are read over a vehicle's life, among some twenty times as many rows of other signals.
create index signal_minute_meters on intermediate.int_signal_minute (tenant_id, vehicle_id, minute)
where name in ('odometer', 'odometer_high_resolution', 'engine_hours');
