-- Services, meters and trouble codes of vehicles, and the workshops' plan: fleetflow/vehicles/maintenance writes these.

-- Work that workshops billed, each record as it was sent last.
create table intermediate.int_service_record (
    tenant_id text not null,
    event_id text not null,
    vehicle_id text not null,
    service text not null,
    completed_at timestamptz not null,
    done_on date not null,
    odometer_km double precision,
    engine_hours double precision,
    workshop_id text,
    cost_minor bigint,
    currency text,
    recorded_at timestamptz not null,
    source_line bigint,
    primary key (tenant_id, event_id)
);
comment on column intermediate.int_service_record.done_on is 'The day at the vehicle''s home site';
create index service_record_vehicle on intermediate.int_service_record (tenant_id, vehicle_id);

-- Odometers that were read off when buying fuel, each purchase as it was sent last.
create table intermediate.int_purchase_odometer (
    tenant_id text not null,
    event_id text not null,
    vehicle_id text not null,
    purchased_on date not null,
    odometer_km double precision,
    recorded_at timestamptz not null,
    source_line bigint,
    primary key (tenant_id, event_id)
);
create index purchase_odometer_vehicle on intermediate.int_purchase_odometer (tenant_id, vehicle_id);

create table intermediate.int_meter_reading (
    tenant_id text not null,
    vehicle_id text not null,
    meter text not null check (meter in ('odometer', 'engine_hours')),
    day date not null,
    source text not null check (source in ('can', 'workshop', 'fuel_card', 'gps')),
    value double precision not null,
    primary key (tenant_id, vehicle_id, meter, day, source)
);
comment on table intermediate.int_meter_reading is
'One row a day and source of a vehicle''s meter: what it showed last that day (the home site''s day), km or h, faults included';

create table intermediate.int_meter_day (
    tenant_id text not null,
    vehicle_id text not null,
    meter text not null,
    day date not null,
    used double precision not null,
    is_replaced boolean not null,
    primary key (tenant_id, vehicle_id, meter, day)
);
comment on table intermediate.int_meter_day is
'One row a day that a meter was read and believed: use since zero by the end of it, over replacements; never falling';

create table intermediate.int_meter (
    tenant_id text not null,
    vehicle_id text not null,
    meter text not null,
    readings integer not null,
    refused integer not null,
    unconfirmed integer not null,
    replaced_on date [] not null,
    primary key (tenant_id, vehicle_id, meter)
);
comment on table intermediate.int_meter is 'One row a meter of a vehicle: how many of its readings were not believed, and when it was replaced';

create table intermediate.int_dtc_spell (
    tenant_id text not null,
    vehicle_id text not null,
    ecu smallint not null,
    listing text not null,
    spn integer not null,
    fmi smallint not null,
    code text not null,
    opened_at timestamptz not null,
    last_seen_at timestamptz not null,
    closed_at timestamptz,
    ecu_last_report_at timestamptz not null,
    severity smallint not null check (severity between 1 and 4),
    severity_rule text not null,
    reports integer not null,
    interruptions integer not null,
    recurrence integer not null,
    occurrences integer,
    primary key (tenant_id, vehicle_id, ecu, listing, spn, fmi, code, opened_at)
);
comment on table intermediate.int_dtc_spell is 'One row a time that a trouble code was active; spn and fmi -1 and code empty where not given';

-- Where services are done. A tenant that names none has its hubs and depots, with two bays each.
create table ops.workshop (
    tenant_id text not null,
    site_id text not null,
    bays smallint not null check (bays between 0 and 1000),
    closed_weekdays smallint [] not null default '{5,6}',
    closed_on date [] not null default '{}',
    primary key (tenant_id, site_id)
);
comment on column ops.workshop.closed_weekdays is '0 is Monday, as ISO 8601 counts less one';
grant select, insert, update, delete on ops.workshop to fleet_ops;
grant select on ops.workshop to fleet_transformer;

-- One row a night that was planned, and what the plan is worth.
create table intermediate.int_maintenance_night (
    tenant_id text not null,
    plan_date date not null,
    previous_date date,
    horizon_days integer not null,
    vehicles integer not null,
    fleet_limit integer not null,
    jobs integer not null,
    placed integer not null,
    unplaced integer not null,
    moves integer not null,
    late_days integer not null,
    cost bigint not null,
    overdue_cost bigint not null,
    primary key (tenant_id, plan_date)
);

create table intermediate.int_maintenance_job (
    tenant_id text not null,
    plan_date date not null,
    job_id text not null,
    vehicle_id text not null,
    kind text not null check (kind in ('service', 'trouble_codes')),
    task_id text,
    words text not null,
    priority smallint not null,
    days smallint not null,
    due_on date not null,
    is_overdue boolean not null,
    state text not null check (state in ('placed', 'unplaced', 'running')),
    site_id text,
    first_day date,
    last_day date,
    hindrance text,
    missing_days integer,
    reason text,
    primary key (tenant_id, plan_date, job_id),
    constraint placed_somewhere check ((state = 'unplaced') = (site_id is null and first_day is null and last_day is null))
);
comment on table intermediate.int_maintenance_job is 'One row a job of a night: its place in the plan, or why it has none';

create table intermediate.int_maintenance_change (
    tenant_id text not null,
    plan_date date not null,
    job_id text not null,
    vehicle_id text not null,
    kind text not null check (kind in ('added', 'moved', 'dropped', 'gone')),
    site_before text,
    first_day_before date,
    site_after text,
    first_day_after date,
    reason text not null,
    primary key (tenant_id, plan_date, job_id)
);
comment on table intermediate.int_maintenance_change is 'One row a job that stands elsewhere than in the plan of the night before';

create table intermediate.int_due_projection (
    tenant_id text not null,
    plan_date date not null,
    vehicle_id text not null,
    task_id text not null,
    due_on date,
    not_before date,
    not_after date,
    by_limit text,
    basis text not null,
    primary key (tenant_id, plan_date, vehicle_id, task_id)
);
comment on table intermediate.int_due_projection is
'One row a service task of a vehicle and night: when it will be due, with an interval that holds in 80 cases of 100';

-- The nights that the plan at work wrote, for its models.
create unlogged table intermediate.int_plan_night_touched (
    tenant_id text not null,
    plan_date date not null,
    primary key (tenant_id, plan_date)
);

do $$
declare
    child text;
begin
    foreach child in array array[
        'int_service_record', 'int_purchase_odometer', 'int_meter_reading', 'int_meter_day', 'int_meter', 'int_dtc_spell',
        'int_maintenance_night', 'int_maintenance_job', 'int_maintenance_change', 'int_due_projection',
        'int_plan_night_touched'
    ] loop
        execute format('alter table intermediate.%I owner to fleet_transformer', child);
        execute format('alter table intermediate.%I enable row level security', child);
        execute format('grant select on intermediate.%I to fleet_ops', child);
    end loop;
end $$;
alter table ops.workshop enable row level security;
