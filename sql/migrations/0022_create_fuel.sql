-- What the step `fuel` keeps: readings of positions by the minute, purchases each once, and what they come to.
create table intermediate.int_fuel_reading (
    tenant_id text not null,
    vehicle_id text not null,
    minute timestamptz not null,
    fixed_at timestamptz not null,
    event_id text not null,
    recorded_at timestamptz not null,
    level_pct double precision,
    odometer_km double precision,
    altitude_m double precision,
    lat double precision not null,
    lon double precision not null,
    speed_kmh double precision not null,
    ignition_on boolean,
    primary key (tenant_id, vehicle_id, minute)
);
comment on table intermediate.int_fuel_reading is 'One row a vehicle and minute: its earliest fix with a level, else its earliest; the highest speed of all';

create table intermediate.int_fuel_purchase (
    tenant_id text not null,
    vehicle_id text not null,
    event_id text not null,
    recorded_at timestamptz not null,
    purchased_at timestamptz not null,
    partner text not null,
    source_line bigint not null,
    transaction_id text not null,
    fuel text not null,
    volume_l double precision,
    amount_minor bigint,
    currency text,
    station_id text,
    lat double precision,
    lon double precision,
    outcome text,
    primary key (tenant_id, event_id)
);
create index fuel_purchase_vehicle on intermediate.int_fuel_purchase (tenant_id, vehicle_id, purchased_at);
comment on table intermediate.int_fuel_purchase is 'Purchases by card, each line once as it was sent last, and what became of it';

create table intermediate.int_fuel_event (
    tenant_id text not null,
    vehicle_id text not null,
    started_at timestamptz not null,
    kind text not null check (kind in ('refill', 'drain')),
    ended_at timestamptz not null,
    volume_l double precision not null check (volume_l > 0),
    level_before_l double precision not null,
    level_after_l double precision not null,
    in_motion boolean not null,
    is_confirmed boolean,
    has_gap boolean not null,
    burn_is_measured boolean not null,
    confidence double precision not null,
    purchased_l double precision,
    purchase_ids text [],
    primary key (tenant_id, vehicle_id, started_at, kind)
);

create table intermediate.int_fuel_trip (
    tenant_id text not null,
    vehicle_id text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    model text,
    driver_id text,
    distance_km double precision not null,
    litres double precision,
    method text,
    by_total_l double precision,
    by_rate_l double precision,
    by_level_l double precision,
    level_error_l double precision,
    rate_cover double precision not null,
    compared_with text,
    difference_l double precision,
    l_100km double precision,
    idle_l double precision,
    faults text [] not null,
    climb_m_km double precision,
    temperature_c double precision,
    terrain text not null,
    load text not null,
    temperature text not null,
    expected_l_100km double precision,
    spread_l_100km double precision,
    deviation double precision,
    baseline_basis text,
    baseline_own integer,
    baseline_wider integer,
    primary key (tenant_id, vehicle_id, started_at)
);
create index fuel_trip_model on intermediate.int_fuel_trip (tenant_id, model, ended_at) where l_100km is not null;

create table intermediate.int_fuel_day (
    tenant_id text not null,
    vehicle_id text not null,
    utc_date date not null,
    tank_l double precision not null,
    parked_l double precision not null,
    parked_h double precision not null,
    total_l double precision,
    burnt_l double precision not null,
    is_measured boolean not null,
    coldest_c double precision,
    primary key (tenant_id, vehicle_id, utc_date)
);
comment on table intermediate.int_fuel_day is 'One row a vehicle and UTC day: litres that went without burn, refill or drain';

create table intermediate.int_fuel_anomaly (
    tenant_id text not null,
    vehicle_id text not null,
    anomaly_id uuid not null,
    kind text not null,
    occurred_at timestamptz not null,
    ended_at timestamptz not null,
    volume_l double precision,
    score double precision not null,
    severity text not null,
    causes jsonb not null,
    event_id text,
    primary key (tenant_id, vehicle_id, anomaly_id)
);

do $$
declare
    child text;
begin
    foreach child in array array[
        'int_fuel_reading', 'int_fuel_purchase', 'int_fuel_event', 'int_fuel_trip', 'int_fuel_day', 'int_fuel_anomaly'
    ] loop
        execute format('alter table intermediate.%I owner to fleet_transformer', child);
        execute format('alter table intermediate.%I enable row level security', child);
        execute format('grant select on intermediate.%I to fleet_ops', child);
    end loop;
end $$;
