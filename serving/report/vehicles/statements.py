"""The SQL of the sections on vehicles and drivers, all of it, and which columns of which marts it needs.

Parameters: tenant, report_date, from_date (7 days before), today (the morning's day), as_of, pipeline, limit. Each
mart is read by tenant and day; what is by vehicle in its key is found by skipping from vehicle to vehicle.
"""

from __future__ import annotations

PIPELINE = "vehicles"

NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "utilization": {
        "fct_vehicle_utilization_daily": (
            "vehicle_id",
            "local_date",
            "day_s",
            "driving_s",
            "idle_s",
            "engine_on_s",
            "site_wait_s",
            "trips",
            "distance_km",
            "empty_km",
            "empty_share",
            "utilization_share",
        ),
        "dim_vehicle": ("vehicle_id", "vehicle_class", "home_site_id", "status", "in_service_from"),
    },
    "compliance": {
        "fct_driver_hours_finding": (
            "driver_key",
            "rule",
            "article",
            "severity",
            "broken_at",
            "measured_min",
            "limit_min",
            "needs_evidence",
            "reason",
        ),
        "fct_driver_day": ("driver_key", "started_at"),
    },
    "remaining": {
        "fct_driver_hours_remaining": (
            "driver_key",
            "driving_min",
            "until_break_min",
            "today_min",
            "this_week_min",
            "this_fortnight_min",
            "rest_by",
        ),
    },
    "fuel": {
        "fct_fuel_trip": ("vehicle_id", "started_at", "distance_km", "litres"),
        "fct_fuel_anomaly": ("vehicle_id", "kind", "severity", "occurred_at", "volume_l", "score", "causes"),
        "dim_vehicle": ("vehicle_id", "vehicle_class"),
    },
    "due": {
        "fct_maintenance_due": (
            "vehicle_id",
            "task_id",
            "status",
            "due_since",
            "km_due_on",
            "hours_due_on",
            "months_due_on",
        ),
    },
    "projection": {
        "fct_maintenance_projection": ("vehicle_id", "task_id", "plan_date", "due_on", "by_limit"),
    },
    "plan": {
        "fct_maintenance_plan": (
            "plan_date",
            "job_id",
            "vehicle_id",
            "kind",
            "task_id",
            "words",
            "due_on",
            "is_overdue",
            "state",
            "site_id",
            "first_day",
            "last_day",
            "reason",
        ),
        "fct_maintenance_plan_change": (
            "plan_date",
            "job_id",
            "vehicle_id",
            "kind",
            "first_day_before",
            "first_day_after",
            "reason",
        ),
    },
    "codes": {
        "fct_dtc": ("vehicle_id", "spn", "fmi", "code", "state", "severity", "age_days", "recurrence"),
    },
}
"""What each part of the sections reads of schema `marts`, besides tenant_id."""

COLUMNS = """
select c.relname, a.attname
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
where n.nspname = 'marts' and c.relname = any(%(marts)s) and c.relkind in ('r', 'v', 'm', 'p')
"""

BEHIND = """
select
    (
        select max(finished_at) from ops.transform_run
        where pipeline = %(vehicles)s and state = 'done' and finished_at <= %(as_of)s
    ) as last_done_at,
    count(*) as pending,
    min(batch.landed_at) as oldest_pending_at
from ops.pending_batch as waiting
inner join ops.batch as batch on waiting.batch_id = batch.batch_id
where waiting.pipeline = %(vehicles)s and batch.landed_at <= %(as_of)s
"""

FLEET_DAYS = """
select
    local_date,
    count(*) as vehicles,
    count(*) filter (where driving_s = 0) as stood,
    sum(day_s)::float8 as available_s,
    sum(driving_s)::float8 as driving_s,
    sum(idle_s)::float8 as idle_s,
    sum(site_wait_s)::float8 as waiting_s,
    sum(distance_km)::float8 as distance_km,
    sum(empty_km)::float8 as empty_km
from marts.fct_vehicle_utilization_daily
where tenant_id = %(tenant)s and local_date between %(from_date)s and %(report_date)s
group by local_date
order by local_date
"""

LAST_FLEET_DAY = """
select max(local_date) from marts.fct_vehicle_utilization_daily
where tenant_id = %(tenant)s and local_date <= %(report_date)s
"""

VEHICLE_DAYS = """
select
    d.vehicle_id,
    v.vehicle_class,
    coalesce(nullif(s.name, ''), v.home_site_id) as site,
    d.utilization_share::float8,
    d.driving_s::float8,
    d.idle_s::float8,
    d.engine_on_s::float8,
    d.site_wait_s::float8,
    d.distance_km::float8,
    d.empty_share::float8,
    d.trips
from marts.fct_vehicle_utilization_daily as d
left join marts.dim_vehicle as v on d.tenant_id = v.tenant_id and d.vehicle_id = v.vehicle_id
left join marts.dim_site as s on v.tenant_id = s.tenant_id and v.home_site_id = s.site_id
where d.tenant_id = %(tenant)s and d.local_date = %(report_date)s
order by d.idle_s desc nulls last, d.vehicle_id
limit %(limit)s
"""

SITE_USE = """
select
    coalesce(nullif(max(s.name), ''), v.home_site_id, 'unknown') as site,
    count(*) filter (where d.local_date = %(report_date)s) as vehicles,
    count(*) filter (where d.local_date = %(report_date)s and d.driving_s = 0) as stood,
    (
        sum(d.driving_s) filter (where d.local_date = %(report_date)s)
        / nullif(sum(d.day_s) filter (where d.local_date = %(report_date)s), 0)
    )::float8 as share,
    (
        sum(d.driving_s) filter (where d.local_date < %(report_date)s)
        / nullif(sum(d.day_s) filter (where d.local_date < %(report_date)s), 0)
    )::float8 as share_7d,
    coalesce(sum(d.distance_km) filter (where d.local_date = %(report_date)s), 0)::float8 as distance_km
from marts.fct_vehicle_utilization_daily as d
left join marts.dim_vehicle as v on d.tenant_id = v.tenant_id and d.vehicle_id = v.vehicle_id
left join marts.dim_site as s on v.tenant_id = s.tenant_id and v.home_site_id = s.site_id
where d.tenant_id = %(tenant)s and d.local_date between %(from_date)s and %(report_date)s
group by v.home_site_id
having count(*) filter (where d.local_date = %(report_date)s) > 0
order by 2 desc, 1
"""

SILENT = """
select count(*)
from marts.dim_vehicle as v
where
    v.tenant_id = %(tenant)s
    and v.status <> 'retired'
    and coalesce(v.in_service_from, %(report_date)s) <= %(report_date)s
    and not exists (
        select 1 from marts.fct_vehicle_utilization_daily as d
        where d.tenant_id = v.tenant_id and d.vehicle_id = v.vehicle_id and d.local_date = %(report_date)s
    )
"""

DUTY_DAYS = """
select started_at::date as day, count(*) as driver_days
from marts.fct_driver_day
where
    tenant_id = %(tenant)s
    and started_at >= %(from_date)s::date::timestamptz
    and started_at < (%(report_date)s::date + 1)::timestamptz
group by 1
order by 1
"""

LAST_DUTY_DAY = """
select max(started_at)::date from marts.fct_driver_day
where tenant_id = %(tenant)s and started_at < (%(report_date)s::date + 1)::timestamptz
"""

FINDING_COUNTS = """
select
    broken_at::date as day,
    rule,
    severity,
    needs_evidence,
    max(article) as article,
    count(*) as findings,
    count(*) filter (where starts_with(article, '395.')) as us_findings
from marts.fct_driver_hours_finding
where
    tenant_id = %(tenant)s
    and broken_at >= %(from_date)s::date::timestamptz
    and broken_at < (%(report_date)s::date + 1)::timestamptz
group by 1, 2, 3, 4
order by 1, 2, 3, 4
"""

FINDINGS = """
select driver_key, rule, article, severity, broken_at, measured_min, limit_min, needs_evidence, reason
from marts.fct_driver_hours_finding
where
    tenant_id = %(tenant)s
    and broken_at >= %(report_date)s::date::timestamptz
    and broken_at < (%(report_date)s::date + 1)::timestamptz
order by needs_evidence, array_position(array['MSI', 'VSI', 'SI', 'MI'], severity), broken_at, driver_key, rule
limit %(limit)s
"""

REMAINING = """
select
    driver_key,
    driving_min,
    case driving_min
        when this_fortnight_min then 'fortnight'
        when this_week_min then 'week'
        when today_min then 'day'
        when until_break_min then 'break'
        else 'rest'
    end as limit_name,
    rest_by,
    count(*) over () as total
from marts.fct_driver_hours_remaining
where tenant_id = %(tenant)s and driving_min < %(little_min)s
order by driving_min, driver_key
limit %(limit)s
"""

FUEL_DAYS = """
select
    t.started_at::date as day,
    coalesce(v.vehicle_class, 'unknown') as vehicle_class,
    coalesce(sum(t.litres), 0)::float8 as litres,
    coalesce(sum(t.distance_km) filter (where t.litres is not null), 0)::float8 as km,
    count(*) as trips,
    count(*) filter (where t.litres is null) as trips_unmeasured
from marts.fct_fuel_trip as t
left join marts.dim_vehicle as v on t.tenant_id = v.tenant_id and t.vehicle_id = v.vehicle_id
where
    t.tenant_id = %(tenant)s
    and t.started_at >= %(from_date)s::date::timestamptz
    and t.started_at < (%(report_date)s::date + 1)::timestamptz
group by 1, 2
order by 1, 2
"""

LAST_FUEL_DAY = """
select max(started_at)::date from marts.fct_fuel_trip
where tenant_id = %(tenant)s and started_at < (%(report_date)s::date + 1)::timestamptz
"""

FUEL_ANOMALIES = """
select vehicle_id, kind, severity, occurred_at, volume_l::float8, score::float8, causes
from marts.fct_fuel_anomaly
where
    tenant_id = %(tenant)s
    and occurred_at >= %(report_date)s::date::timestamptz
    and occurred_at < (%(report_date)s::date + 1)::timestamptz
order by
    array_position(array['high', 'medium', 'low', 'info'], severity),
    volume_l desc nulls last, score desc, vehicle_id, occurred_at
limit %(limit)s
"""

FUEL_ANOMALIES_BEFORE = """
select severity, count(*)
from marts.fct_fuel_anomaly
where
    tenant_id = %(tenant)s
    and occurred_at >= %(from_date)s::date::timestamptz
    and occurred_at < %(report_date)s::date::timestamptz
group by severity
"""

OVERDUE = """
select
    vehicle_id,
    task_id,
    due_since,
    case due_since
        when km_due_on then 'km'
        when hours_due_on then 'engine_hours'
        when months_due_on then 'months'
    end as by_limit
from marts.fct_maintenance_due
where tenant_id = %(tenant)s and status in ('overdue', 'due')
order by due_since nulls first, vehicle_id, task_id
limit %(limit)s
"""

DUE_VEHICLES = "select count(*) from marts.fct_maintenance_due where tenant_id = %(tenant)s"

PLAN_DATE = """
select max(plan_date) from marts.fct_maintenance_plan
where tenant_id = %(tenant)s and plan_date <= %(today)s
"""

PROJECTION_DATE = """
select max(plan_date) from marts.fct_maintenance_projection
where tenant_id = %(tenant)s and plan_date <= %(today)s
"""

PROJECTED = """
select vehicle_id, task_id, due_on, by_limit
from marts.fct_maintenance_projection
where
    tenant_id = %(tenant)s
    and plan_date = %(plan_date)s
    and due_on between %(today)s::date + 1 and %(today)s::date + %(ahead_days)s::integer
order by due_on, vehicle_id, task_id
limit %(limit)s
"""

JOBS = """
select
    p.job_id,
    p.vehicle_id,
    p.kind,
    p.task_id,
    p.words,
    p.is_overdue,
    p.state,
    p.due_on,
    coalesce(nullif(s.name, ''), p.site_id) as site,
    p.first_day,
    p.last_day,
    p.reason
from marts.fct_maintenance_plan as p
left join marts.dim_site as s on p.tenant_id = s.tenant_id and p.site_id = s.site_id
where p.tenant_id = %(tenant)s and p.plan_date = %(plan_date)s
order by p.first_day nulls first, p.job_id
"""

CHANGES = """
select job_id, vehicle_id, kind, first_day_before, first_day_after, reason
from marts.fct_maintenance_plan_change
where tenant_id = %(tenant)s and plan_date = %(plan_date)s
order by array_position(array['dropped', 'moved', 'added', 'gone'], kind), job_id
"""

CODES = """
select
    vehicle_id,
    coalesce(code, 'SPN ' || spn || coalesce(' FMI ' || fmi, '')) as code,
    severity,
    age_days::float8,
    recurrence
from marts.fct_dtc
where tenant_id = %(tenant)s and state = 'open'
order by array_position(array['stop', 'soon', 'plan', 'note'], severity), age_days desc, vehicle_id
limit %(limit)s
"""

CODES_KNOWN = (
    "select count(*) from (select 1 from marts.fct_dtc where tenant_id = %(tenant)s limit 1) as any_code"
)
