"""The rows that the vehicle side's checks look at, each subject one query over marts, folds or the ledger.

As in `quality.subjects`: a query computes what its rules need as plain columns, null where a rule does not apply. Of a
large table whole vehicles (or drivers) are taken by hash of their id, so that what must not overlap stays together.
"""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
from psycopg import sql

from domain.driver_hours import Rule
from quality.scope import Claim
from quality.subject import MART_SAMPLE, Subject, claimed
from quality.vehicles import suites as name

PIPELINE = "vehicles"

RESTS = (
    Rule.DAILY_REST,
    Rule.DAILY_REST_MULTI_MANNING,
    Rule.WEEKLY_REST_PATTERN,
    Rule.WEEKLY_REST_COMPENSATION,
)
"""Too little of these is wrong."""

CAPS = (
    Rule.BREAK,
    Rule.DAILY_DRIVING,
    Rule.WEEKLY_DRIVING,
    Rule.FORTNIGHTLY_DRIVING,
    Rule.WEEKLY_REST_SPACING,
    Rule.DRIVE_11,
    Rule.SHIFT_14,
    Rule.BREAK_30,
    Rule.CYCLE_60,
    Rule.CYCLE_70,
)
"""Too much of these is wrong; what is in neither is a question for evidence, and may stand on its limit."""

_DRIVER_KNOWN: LiteralString = (
    "case when t.driver_key is not null then exists (select 1 from marts.dim_driver as k"
    " where k.tenant_id = t.tenant_id and k.driver_key = t.driver_key) end as driver_known"
)

# A second is more than the rounding of sums, and less than any defect worth a check.
_BY_VEHICLE: dict[str, LiteralString] = {
    name.UTILIZATION: """
        select t.tenant_id, t.vehicle_id, t.local_date, t.utilization_share, t.day_s, t.mean_kmh,
            t.driving_s + t.stop_s + t.gap_s + t.carried_s <= t.day_s + 1 as fits_the_day,
            least(t.driving_s, t.stop_s, t.gap_s, t.carried_s, t.idle_s, t.engine_on_s, t.site_wait_s,
                t.distance_km, t.empty_km, t.odometer_km, t.trips) >= 0 as not_negative,
            t.idle_s <= t.engine_on_s + 1 as idle_within_engine,
            t.empty_km <= t.distance_km + 0.001 as empty_within_km""",
    name.TRIP: """
        select t.tenant_id, t.vehicle_id, t.started_at, t.mean_kmh,
            t.ended_at >= t.started_at as ends_after_start,
            least(t.duration_s, t.standing_s, t.idle_s, t.engine_on_s, t.loaded_s, t.distance_km, t.odometer_km,
                t.max_kmh) >= 0 as not_negative,
            t.empty_km <= t.distance_km + 0.001 as empty_within_km, {driver_known}""",
    name.STOP: """
        select t.tenant_id, t.vehicle_id, t.started_at, t.kind, t.dwell_s""",
    name.VISIT: """
        select t.tenant_id, t.vehicle_id, t.site_id, t.entered_at,
            coalesce(t.left_at, t.last_inside_at) >= t.entered_at as leaves_after_entry,
            t.entered_at >= lag(t.left_at) over (
                partition by t.tenant_id, t.vehicle_id, t.site_id order by t.entered_at) as no_overlap""",
    name.FUEL_TRIP: """
        select t.tenant_id, t.vehicle_id, t.started_at, t.litres, t.l_100km""",
    name.FUEL_EVENT: """
        select t.tenant_id, t.vehicle_id, t.event_id, t.kind,
            t.volume_l > 0 as volume_positive,
            t.ended_at >= t.started_at as ends_after_start,
            t.volume_l <= 1.05 * (select v.tank_l from marts.dim_vehicle as v
                where v.tenant_id = t.tenant_id and v.vehicle_id = t.vehicle_id) as within_the_tank""",
    name.ANOMALY: """
        select t.tenant_id, t.vehicle_id, t.anomaly_id, t.score, t.severity, t.volume_l,
            coalesce(jsonb_array_length(t.causes) > 0 and t.causes #>> '{{0,why}}' <> '', false) as has_causes""",
    name.SPELL: """
        select t.tenant_id, t.vehicle_id, t.ecu, t.listing, t.spn, t.fmi, t.code, t.opened_at,
            t.last_seen_at >= t.opened_at and coalesce(t.closed_at, t.last_seen_at) >= t.opened_at
                as closes_after_opening,
            t.opened_at >= lag(coalesce(t.closed_at, 'infinity')) over (
                partition by t.tenant_id, t.vehicle_id, t.ecu, t.listing, t.spn, t.fmi, t.code
                order by t.opened_at) as no_overlap""",
    name.METER: """
        select t.tenant_id, t.vehicle_id, t.meter, t.day,
            t.used >= lag(t.used) over (
                partition by t.tenant_id, t.vehicle_id, t.meter order by t.day) as never_falls""",
    name.SERVICE: """
        select t.tenant_id, t.event_id, t.done_on <= current_date + 1 as in_the_past""",
    name.SIGNAL: """
        select t.tenant_id, t.vehicle_id, t.minute, t.name,
            t.min_value <= t.mean_value + 1e-9 and t.mean_value <= t.max_value + 1e-9 as in_order,
            case when t.unit = 'km/h' then t.min_value >= 0 and t.max_value <= 260 end as speed_in_range,
            case when t.name ~ '^fuel_level' then t.min_value >= 0 and t.max_value <= 100 end as level_in_range,
            case when t.unit = 'l/h' then t.min_value >= 0 end as rate_not_negative""",
}

_BY_DRIVER: dict[str, LiteralString] = {
    name.DRIVERS: """
        select t.tenant_id, t.driver_key, t.local_date, t.utilization_share, {driver_known},
            least(t.on_duty_s, t.driving_s, t.idle_s, t.site_wait_s, t.distance_km) >= 0 as not_negative,
            t.on_duty_s <= t.day_s + 1 as fits_the_day""",
    name.FINDING: """
        select t.tenant_id, t.driver_key, t.rule, t.broken_at, t.started_at, t.limit_min, t.severity, {driver_known},
            case when t.rule = any({rests}) then t.measured_min < t.limit_min
                when t.rule = any({caps}) then t.measured_min > t.limit_min end as beyond_the_limit,
            case when t.needs_evidence then coalesce(t.reason, '') <> '' end as evidence_is_named""",
    name.DRIVER_DAY: """
        select t.tenant_id, t.driver_key, t.started_at, {driver_known},
            least(t.driving_min, t.other_work_min, t.availability_min, t.rest_min) >= 0 as not_negative,
            t.driving_min + t.other_work_min + t.availability_min
                <= extract(epoch from t.ended_at - t.started_at) / 60 as fits_the_period,
            t.started_at >= lag(t.ended_at) over (
                partition by t.tenant_id, t.driver_key order by t.started_at) as no_overlap""",
}

# With the trips, stops fill a vehicle's time: each begins where the one before ends.
_SEGMENTS: LiteralString = """
    select s.started_at >= s.ended_before as no_overlap, s.started_at <= s.ended_before as no_hole
    from (
        select t.started_at,
            lag(t.ended_at) over (partition by t.tenant_id, t.vehicle_id order by t.started_at, t.ended_at)
                as ended_before
        from (
            select tenant_id, vehicle_id, started_at, ended_at from marts.fct_trip as t where {sample}
            union all
            select tenant_id, vehicle_id, started_at, ended_at from marts.fct_stop as t where {sample}
        ) as t
    ) as s"""

_PLAN: LiteralString = """
    select t.tenant_id, t.plan_date, t.job_id,
        case when t.state = 'placed' then t.first_day >= t.plan_date and t.last_day >= t.first_day end
            as not_in_the_past,
        case when t.state = 'unplaced' then coalesce(t.reason, '') <> '' end as reason_given
    from marts.fct_maintenance_plan as t
    where t.plan_date >= current_date - 35"""

# Only plans of late: what a site had of bays in spring is not written down. Work that runs already cannot be moved.
_PLAN_DAYS: LiteralString = """
    select t.tenant_id, t.plan_date, d.day,
        count(distinct t.vehicle_id) <= greatest(
            max(n.fleet_limit), count(distinct t.vehicle_id) filter (where t.state = 'running')
        ) as within_fleet_share
    from marts.fct_maintenance_plan as t
    inner join intermediate.int_maintenance_night as n on t.tenant_id = n.tenant_id and t.plan_date = n.plan_date
    cross join lateral (
        select t.first_day + s.n as day from generate_series(0, t.last_day - t.first_day) as s (n)
    ) as d
    where t.plan_date >= current_date - 7
    group by t.tenant_id, t.plan_date, d.day"""

BAYS = 2
"""What a hub or depot has where its tenant has named no workshops."""

_PLAN_BAYS: LiteralString = """
    select t.tenant_id, t.plan_date, t.site_id, d.day,
        count(*) <= greatest(coalesce(max(w.bays), {bays}), count(*) filter (where t.state = 'running'))
            as within_bays
    from marts.fct_maintenance_plan as t
    left join ops.workshop as w on t.tenant_id = w.tenant_id and t.site_id = w.site_id
    cross join lateral (
        select t.first_day + s.n as day from generate_series(0, t.last_day - t.first_day) as s (n)
    ) as d
    where t.plan_date >= current_date - 1
    group by t.tenant_id, t.plan_date, t.site_id, d.day"""

_REFUSED: LiteralString = """
    select
        (select coalesce(sum(fixes) filter (where rule not in ('kept', 'undecided')), 0)::float8 / sum(fixes)::float8
            from marts.fct_position_quality_daily where utc_date >= current_date - 2) as fixes,
        (select coalesce(sum(fixes) filter (where rule in ('future', 'outdated')), 0)::float8 / sum(fixes)::float8
            from marts.fct_position_quality_daily where utc_date >= current_date - 2) as fixes_untimely,
        f.unread / nullif(f.frames, 0) as frames,
        f.no_decoder / nullif(f.frames, 0) as frames_no_decoder,
        (select count(*) filter (where a.is_left_out)::float8 from intermediate.int_driver_activity_fault as a
            where a.started_at >= current_date - 7)
        / nullif((select count(*) from intermediate.int_driver_activity as a
            where a.started_at >= current_date - 7), 0)::float8 as activities
    from (
        select sum(frames)::float8 as frames, sum(no_decoder)::float8 as no_decoder,
            sum(frames - decoded - transport)::float8 as unread
        from intermediate.int_frame_count where hour >= now() - interval '2 days'
    ) as f"""


def nightly_subjects(conn: psycopg.Connection[Any]) -> list[Subject]:
    """Return the marts of the vehicle side, what of its feeds was refused, and how fresh they are.

    Where no run of the vehicle side was ever done, there is nothing to look at; where one was, a mart that is missing
    is a fault. The same holds for the plan of the workshops, which is made by itself.
    """
    built = _any(
        conn, "select 1 from ops.transform_run where pipeline = 'vehicles' and state = 'done' limit 1"
    )
    planned = built and _any(conn, "select 1 from intermediate.int_maintenance_night limit 1")
    subjects = [
        *(_of(table, query, "vehicle_id") for table, query in _BY_VEHICLE.items()),
        *(_of(table, query, "driver_key") for table, query in _BY_DRIVER.items()),
        Subject(name.SEGMENTS, sql.SQL(_SEGMENTS.strip()).format(sample=_sample(name.TRIP, "vehicle_id"))),
        Subject(name.REFUSED, sql.SQL(_REFUSED.strip())),
    ]
    plans = {name.PLAN: _PLAN, name.PLAN_DAYS: _PLAN_DAYS, name.PLAN_BAYS: _PLAN_BAYS}
    return [
        *(subject if built else Subject(subject.name, None) for subject in subjects),
        *(
            Subject(plan, sql.SQL(query.strip()).format(bays=BAYS) if planned else None)
            for plan, query in plans.items()
        ),
        Subject(name.FEEDS, _feeds()),
    ]


def gate_subjects(claim: Claim) -> list[Subject]:
    """Return what a run of the vehicle side has claimed: the claim as a whole, its vehicles and its drivers."""
    streams = [feed for feed in name.STREAMS if feed in claim.feeds]
    return [
        Subject("claim", _claim_total(claim)),
        Subject(
            "claim.vehicles",
            _claimed_vehicles(claim, [feed for feed in streams if feed != "driver_activity"]),
        ),
        Subject("claim.drivers", _claimed_drivers(claim) if "driver_activity" in streams else None),
    ]


def _any(conn: psycopg.Connection[Any], query: LiteralString) -> bool:
    return conn.execute(query).fetchone() is not None


def _of(table: str, query: LiteralString, entity: str) -> Subject:
    parts = {
        "driver_known": sql.SQL(_DRIVER_KNOWN),
        "rests": sql.Literal([str(rule) for rule in RESTS]),
        "caps": sql.Literal([str(rule) for rule in CAPS]),
    }
    text = sql.SQL("{select} from {table} as t where {sample}").format(
        select=sql.SQL(query.strip()).format(**parts),
        table=sql.Identifier(*table.split(".")),
        sample=_sample(table, entity),
    )
    return Subject(table, text)


def _sample(table: str, entity: str) -> sql.Composable:
    """Of a table that Postgres takes to be large, whole entities by hash of their id; else all of it."""
    return sql.SQL(
        "mod(hashtext(t.{entity})::bigint + 2147483648, (select greatest(1, ceil(c.reltuples / {limit}))::bigint"
        " from pg_class as c where c.oid = {table}::regclass)) = 0"
    ).format(entity=sql.Identifier(entity), limit=sql.Literal(MART_SAMPLE), table=sql.Literal(table))


def _feeds() -> sql.Composable:
    """One row: for each feed how long ago anything of it landed, for each stream its last hour against usual ones."""
    ages = [
        sql.SQL(
            "(select extract(epoch from clock_timestamp() - max(landed_at))::float8 from ops.batch"
            " where feed = {feed} and source <> 'replay') as {age}"
        ).format(feed=sql.Literal(feed), age=sql.Identifier(f"{feed}_age_s"))
        for feed in (*name.STREAMS, *name.FILES)
    ]
    ratios = [
        sql.SQL(
            "(select case when v.days >= 3 then v.last / nullif(v.mean, 0) end from volume as v"
            " where v.feed = {feed}) as {ratio}"
        ).format(feed=sql.Literal(feed), ratio=sql.Identifier(f"{feed}_ratio"))
        for feed in name.STREAMS
    ]
    return sql.SQL(
        "select * from (with hourly as (select feed, date_trunc('hour', landed_at) as hour,"
        " sum(accepted)::float8 as events from ops.batch where source = 'stream' and feed = any({feeds})"
        " and landed_at >= date_trunc('hour', now()) - interval '8 days'"
        " and landed_at < date_trunc('hour', now()) group by 1, 2),"
        " volume as (select feed,"
        " coalesce(max(events) filter (where hour = date_trunc('hour', now()) - interval '1 hour'), 0) as last,"
        " avg(events) filter (where hour < date_trunc('hour', now()) - interval '1 hour') as mean,"
        " count(*) filter (where hour < date_trunc('hour', now()) - interval '1 hour') as days from hourly"
        " where extract(hour from hour) = extract(hour from now() - interval '1 hour') group by feed)"
        " select {columns}, (select extract(epoch from clock_timestamp() - min(b.landed_at))::float8"
        " from ops.pending_batch as p join ops.batch as b using (batch_id)"
        " where p.pipeline = {pipeline} and p.priority = 0) as pending_age_s) as f"
    ).format(
        feeds=sql.Literal(list(name.STREAMS)),
        columns=sql.SQL(", ").join([*ages, *ratios]),
        pipeline=sql.Literal(PIPELINE),
    )


def _claim_total(claim: Claim) -> sql.Composable:
    feeds = (*name.STREAMS, *name.FILES)
    found = sql.SQL(" + ").join(
        sql.SQL("(select count(*) from {})").format(claimed(feed, claim)) for feed in feeds
    )
    return sql.SQL(
        "select ({found})::float8 / nullif(sum(b.accepted), 0)::float8 as found_share"
        " from ops.pending_batch as p join ops.batch as b using (batch_id)"
        " where p.pipeline = {pipeline} and p.run_id = {run}"
    ).format(found=found, pipeline=sql.Literal(claim.pipeline), run=sql.Literal(claim.run_id))


def _claimed_vehicles(claim: Claim, feeds: list[str]) -> sql.Composable | None:
    """One row a vehicle; what frames are read by is its model, so that is wanted of those that send any."""
    if not feeds:
        return None
    sent = sql.SQL(" union all ").join(
        sql.SQL("select e.tenant_id, e.vehicle_id, {frames} as frames from {rows} group by 1, 2").format(
            frames=sql.Literal(feed == "can_frame"), rows=claimed(feed, claim)
        )
        for feed in feeds
    )
    return sql.SQL(
        "select count(v.vehicle_id) > 0 as vehicle_known,"
        " case when bool_or(s.frames) then coalesce(bool_or(v.model is not null and v.model_year is not null), false)"
        " end as model_known from ({sent}) as s left join source.vehicles as v"
        " on s.tenant_id = v.tenant_id and s.vehicle_id = v.vehicle_id and not v._deleted"
        " group by s.tenant_id, s.vehicle_id"
    ).format(sent=sent)


def _claimed_drivers(claim: Claim) -> sql.Composable:
    return sql.SQL(
        "select exists (select 1 from source.drivers as d where d.tenant_id = e.tenant_id"
        " and d.driver_id = e.driver_id and not d._deleted) as driver_known from {rows}"
        " group by e.tenant_id, e.driver_id"
    ).format(rows=claimed("driver_activity", claim))
