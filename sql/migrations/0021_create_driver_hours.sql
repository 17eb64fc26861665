-- Driver hours: what drivers did, as it was sent and kept long enough for a card that is read late, and what the rules
-- of driving, breaks and rests say of it. The step `driver_hours` of the vehicle pipeline writes all of it.

-- Each activity once, whatever was sent how often. Landing drops its rows after days; these stay 92.
create table intermediate.int_driver_activity (
    tenant_id text not null,
    driver_id text not null,
    event_id text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    activity text not null,
    vehicle_id text,
    slot smallint,
    crew text,
    origin text not null,
    recorded_at timestamptz not null,
    primary key (tenant_id, driver_id, event_id)
);
comment on table intermediate.int_driver_activity is 'What drivers did, each activity once, kept 92 days';
create index int_driver_activity_time on intermediate.int_driver_activity (tenant_id, driver_id, started_at);
create index int_driver_activity_age on intermediate.int_driver_activity using brin (started_at);
create index int_driver_activity_inferred on intermediate.int_driver_activity (tenant_id, vehicle_id, started_at)
where origin = 'inferred';

-- What was wrong with an activity; `known_at` is the start of the activity that showed it.
create table intermediate.int_driver_activity_fault (
    tenant_id text not null,
    driver_id text not null,
    event_id text not null,
    fault text not null,
    started_at timestamptz not null,
    known_at timestamptz not null,
    is_left_out boolean not null,
    primary key (tenant_id, driver_id, event_id, fault)
);
comment on table intermediate.int_driver_activity_fault is 'Activities that were left out or counted in part, by the name of the fault';

-- `known_at`: the start of the activity by which the finding became certain; of an open one, the end of the data.
create table intermediate.int_driver_hours_finding (
    tenant_id text not null,
    driver_id text not null,
    rule text not null,
    started_at timestamptz not null,
    broken_at timestamptz not null,
    limit_min integer not null,
    ended_at timestamptz not null,
    article text not null,
    severity text,
    measured_min integer not null,
    needs_evidence boolean not null,
    reason text,
    is_inferred boolean not null,
    is_open boolean not null,
    known_at timestamptz not null,
    primary key (tenant_id, driver_id, rule, broken_at, started_at, limit_min)
);
comment on table intermediate.int_driver_hours_finding is 'What the rules of driver hours found';
create index int_driver_hours_finding_known on intermediate.int_driver_hours_finding (tenant_id, driver_id, known_at);

create table intermediate.int_driver_day (
    tenant_id text not null,
    driver_id text not null,
    started_at timestamptz not null,
    ended_at timestamptz not null,
    driving_min integer not null,
    other_work_min integer not null,
    availability_min integer not null,
    driving_limit_min integer not null,
    is_crew boolean not null,
    rest_min integer not null,
    rest_kind text not null,
    is_open boolean not null,
    known_at timestamptz not null,
    primary key (tenant_id, driver_id, started_at)
);
comment on table intermediate.int_driver_day is 'Daily periods of drivers: from the end of a daily or weekly rest to the next';

create table intermediate.int_driver_hours_warning (
    tenant_id text not null,
    driver_id text not null,
    rule text not null,
    period_start timestamptz not null,
    level_pct smallint not null,
    limit_min integer not null,
    warned_at timestamptz not null,
    is_open boolean not null,
    known_at timestamptz not null,
    primary key (tenant_id, driver_id, rule, period_start, level_pct, limit_min)
);
comment on table intermediate.int_driver_hours_warning is 'Levels of limits that were reached while driving';

-- How the clocks stand from `at` on, until the next row or `believed_until`: minutes of driving are added while driving.
create table intermediate.int_driver_hours_head (
    tenant_id text not null,
    driver_id text not null,
    at timestamptz not null,
    believed_until timestamptz,
    law text not null,
    is_driving boolean not null,
    in_weekly_rest boolean not null,
    stint_min integer not null,
    break_min integer not null,
    day_started_at timestamptz,
    day_driving_min integer not null,
    day_limit_min integer not null,
    extensions_left smallint not null,
    reductions_left smallint not null,
    week_min integer not null,
    fortnight_min integer not null,
    rest_by timestamptz,
    rest_min integer not null,
    weekly_rest_ended_at timestamptz,
    primary key (tenant_id, driver_id, at)
);
comment on table intermediate.int_driver_hours_head is 'How the clocks of driver hours stand at the end of what is known, and go on from there';

-- Whose law holds: that of the country of a driver's home site; the EU's where nothing is said.
create table ops.driver_hours_law (
    country text primary key,
    law text not null check (law in ('eu', 'us')),
    us_cycle text check (us_cycle in ('60/7', '70/8'))
);
comment on table ops.driver_hours_law is 'The rules of driver hours by country of the home site; EU where a country is missing';
insert into ops.driver_hours_law (country, law, us_cycle) values ('US', 'us', '70/8');

do $$
declare
    child text;
begin
    foreach child in array array[
        'int_driver_activity', 'int_driver_activity_fault', 'int_driver_hours_finding', 'int_driver_day',
        'int_driver_hours_warning', 'int_driver_hours_head'
    ] loop
        execute format('alter table intermediate.%I owner to fleet_transformer', child);
        execute format('alter table intermediate.%I enable row level security', child);
        execute format('grant select on intermediate.%I to fleet_ops', child);
    end loop;
end $$;
grant select on ops.driver_hours_law to fleet_transformer, fleet_ops;
