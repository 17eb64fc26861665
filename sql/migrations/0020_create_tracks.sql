-- What position fixes come to, vehicle by vehicle. The step `tracks` writes all of it, from a time of each vehicle on; km
-- are of the track unless they are called odometer's, seconds are exact to the microsecond. Times are UTC.
create table intermediate.int_trip (
    tenant_id text not null,
    vehicle_id text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    driver_id text,
    start_lat double precision not null,
    start_lon double precision not null,
    end_lat double precision not null,
    end_lon double precision not null,
    start_site_id text,
    end_site_id text,
    distance_km double precision not null,
    odometer_km double precision not null,
    odometer_track_km double precision not null,
    odometer_faults integer not null,
    standing_s double precision not null,
    idle_s double precision not null,
    engine_on_s double precision not null,
    engine_known_s double precision not null,
    max_kmh double precision,
    time_zone text not null,
    local_date date not null,
    is_open boolean not null,
    primary key (tenant_id, vehicle_id, started_at)
);
comment on table intermediate.int_trip is 'Trips of vehicles; the last of each is open while it may still change';
create index int_trip_driver on intermediate.int_trip (tenant_id, driver_id, local_date);

create table intermediate.int_stop (
    tenant_id text not null,
    vehicle_id text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    kind text not null check (kind in ('stop', 'gap', 'carried')),
    driver_id text,
    start_lat double precision not null,
    start_lon double precision not null,
    end_lat double precision not null,
    end_lon double precision not null,
    site_id text,
    end_site_id text,
    dwell_s double precision not null,
    distance_km double precision not null,
    odometer_km double precision not null,
    odometer_track_km double precision not null,
    odometer_faults integer not null,
    idle_s double precision not null,
    engine_on_s double precision not null,
    engine_known_s double precision not null,
    time_zone text not null,
    local_date date not null,
    is_open boolean not null,
    primary key (tenant_id, vehicle_id, started_at)
);
comment on table intermediate.int_stop is
'What lies between trips: standing, silence that ended elsewhere, and being carried. With the trips, all of a vehicle''s time';

create table intermediate.int_site_visit (
    tenant_id text not null,
    vehicle_id text not null,
    site_id text not null,
    entered_at timestamptz not null,
    last_inside_at timestamptz not null,
    left_at timestamptz,
    entry_event_id uuid not null,
    dwell_event_id uuid,
    exit_event_id uuid,
    is_open boolean not null,
    primary key (tenant_id, vehicle_id, site_id, entered_at)
);
comment on table intermediate.int_site_visit is 'Stays of vehicles within the fences of sites, each with the events it raised';

-- A vehicle, a driver (empty: nobody was logged in) and a local day; kinds as in int_trip and int_stop.
create table intermediate.int_vehicle_day (
    tenant_id text not null,
    vehicle_id text not null,
    local_date date not null,
    driver_id text not null,
    time_zone text not null,
    driving_s double precision not null,
    stop_s double precision not null,
    gap_s double precision not null,
    carried_s double precision not null,
    rest_s double precision not null,
    site_wait_s double precision not null,
    trips integer not null,
    site_stops integer not null,
    distance_km double precision not null,
    manoeuvre_km double precision not null,
    carried_km double precision not null,
    standing_s double precision not null,
    idle_s double precision not null,
    engine_on_s double precision not null,
    engine_known_s double precision not null,
    odometer_km double precision not null,
    odometer_track_km double precision not null,
    odometer_faults integer not null,
    odometer_read_at timestamptz,
    odometer_end_km double precision,
    primary key (tenant_id, vehicle_id, local_date, driver_id, time_zone)
);
comment on table intermediate.int_vehicle_day is
'What a vehicle did under a driver on a local day. A vehicle''s day is the sum over its drivers';
create index int_vehicle_day_driver on intermediate.int_vehicle_day (tenant_id, driver_id, local_date);

-- What became of fixes, by the UTC day on which they were fixed: kept, undecided, or the rule that refused them.
create table intermediate.int_fix_verdict (
    tenant_id text not null,
    vehicle_id text not null,
    utc_date date not null,
    rule text not null,
    fixes bigint not null,
    primary key (tenant_id, vehicle_id, utc_date, rule)
);
comment on table intermediate.int_fix_verdict is 'Fixes by the rule that refused them; those of no believable time stand in int_fix_untimely';

-- Fixes whose time is not believable by what they say themselves: no day of theirs could count them.
create table intermediate.int_fix_untimely (
    tenant_id text not null,
    vehicle_id text not null,
    event_id text not null,
    fixed_at timestamptz not null,
    rule text not null check (rule in ('future', 'outdated')),
    recorded_at timestamptz not null,
    primary key (tenant_id, vehicle_id, event_id, fixed_at, rule)
);
comment on table intermediate.int_fix_untimely is 'Fixes from the future, or from longer ago than any memory of a device; never folded';
create index int_fix_untimely_recorded on intermediate.int_fix_untimely (tenant_id, vehicle_id, recorded_at);

-- The order system knows a place and a kind of a site; where its ground has been drawn, that is its fence.
create table intermediate.site_geofence (
    tenant_id text not null,
    site_id text not null,
    rings jsonb not null check (jsonb_typeof(rings) = 'array'),
    primary key (tenant_id, site_id)
);
comment on table intermediate.site_geofence is
'Polygons of sites: rings of [lat, lon] in degrees, a ring within a ring is a hole. Sites without one are circles by their kind';

-- When each shipment was on which vehicle, by its legal events: from one that found it there to the next.
create table intermediate.int_vehicle_load (
    tenant_id text not null,
    shipment_id text not null,
    position integer not null,
    vehicle_id text not null,
    loaded_from timestamptz not null,
    loaded_until timestamptz,
    primary key (tenant_id, shipment_id, position)
);
comment on table intermediate.int_vehicle_load is 'When each shipment was on which vehicle; no end while it is there';
create index int_vehicle_load_vehicle on intermediate.int_vehicle_load (tenant_id, vehicle_id, loaded_from);

-- The vehicles whose loads have changed, and since when; kept until the run that found it is done, so that a run that
-- dies leaves it to the next.
create table intermediate.int_load_touched (
    run_id uuid not null,
    tenant_id text not null,
    vehicle_id text not null,
    since timestamptz not null,
    primary key (run_id, tenant_id, vehicle_id)
);
create table intermediate.int_load_mark (
    run_id uuid primary key,
    finished_at timestamptz not null
);
comment on table intermediate.int_load_mark is 'The last run of the shipments whose changes of loads are in int_vehicle_load';

do $$
declare
    child text;
begin
    foreach child in array array[
        'int_trip', 'int_stop', 'int_site_visit', 'int_vehicle_day', 'int_fix_verdict', 'int_fix_untimely',
        'site_geofence', 'int_vehicle_load', 'int_load_touched', 'int_load_mark'
    ] loop
        execute format('alter table intermediate.%I owner to fleet_transformer', child);
        execute format('alter table intermediate.%I enable row level security', child);
        execute format('grant select on intermediate.%I to fleet_ops', child);
    end loop;
end $$;
