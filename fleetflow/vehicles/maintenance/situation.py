"""What a night's plan depends on, from the warehouse: what is due, open codes, duties, workshops, the plan before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from domain.maintenance.due import Due, Limit, Status
from domain.maintenance.meters import ENGINE_HOURS, ODOMETER, Meter
from domain.maintenance.projection import WINDOW_DAYS, Use, observe, pool, shrink
from domain.maintenance.trouble_codes import Severity
from domain.maintenance.workshop import Placement, Running, Site, Vehicle
from fleetflow.runtime import Connection

_KINDS = {"odometer": ODOMETER, "engine_hours": ENGINE_HOURS}


@dataclass(frozen=True)
class Task:
    """A service task of a vehicle as it stands, and what doing it takes."""

    due: Due
    days: int
    priority: int
    service: str


@dataclass(frozen=True)
class Trouble:
    """An open trouble code."""

    vehicle_id: str
    opened_on: date
    severity: Severity
    words: str


class Home(NamedTuple):
    """A vehicle as the order system has it."""

    home_site_id: str | None
    model: str | None
    status: str


@dataclass(frozen=True)
class Before:
    """The plan of the last night before: where jobs stood, of which vehicle, and which had no place."""

    plan_date: date | None = None
    placements: tuple[Placement, ...] = ()
    unplaced: frozenset[str] = frozenset()
    words: Mapping[str, tuple[str, str, str | None]] = field(default_factory=dict)
    """By job: its kind, what it is in words, its task."""


@dataclass(frozen=True)
class Situation:
    """Everything that one tenant's plan is made from. Days are those of the vehicles' home sites."""

    tenant_id: str
    homes: Mapping[str, Home]
    tasks: tuple[Task, ...]
    troubles: tuple[Trouble, ...]
    uses: Mapping[str, Mapping[str, Use]]
    duties: Mapping[str, frozenset[date]]
    workshops: tuple[Site, ...]
    near: Mapping[str, tuple[str, ...]]
    """For each home site the workshops that its vehicles may go to, the preferred one first."""
    before: Before


def read_situation(conn: Connection, tenant_id: str, start: date, horizon_days: int) -> Situation:
    """Read what the plan of a night that begins at `start` depends on, as of then."""
    homes = {
        vehicle: Home(*rest)
        for vehicle, *rest in conn.execute(
            "select vehicle_id, home_site_id, model, status from marts.dim_vehicle"
            " where tenant_id = %s and status <> 'retired' order by vehicle_id",
            (tenant_id,),
        )
    }
    workshops = _workshops(conn, tenant_id)
    return Situation(
        tenant_id=tenant_id,
        homes=homes,
        tasks=tuple(_tasks(conn, tenant_id, homes)),
        troubles=tuple(_troubles(conn, tenant_id, homes)),
        uses=_uses(conn, tenant_id, homes, start),
        duties=_duties(conn, tenant_id, start, horizon_days),
        workshops=tuple(workshops),
        near=_near(conn, tenant_id, [site.site_id for site in workshops]),
        before=_before(conn, tenant_id, start),
    )


_DUE = """
select vehicle_id, task_id, service, duration_days, priority, status, last_done_on, km_limit, km_left, km_due_on,
    months_due_on, days_left, hours_limit, hours_left, hours_due_on
from marts.fct_maintenance_due where tenant_id = %s and status not in ('retired', 'unknown') order by 1, 2
"""


def _tasks(conn: Connection, tenant_id: str, homes: Mapping[str, Home]) -> list[Task]:
    found = []
    for row in conn.execute(_DUE, (tenant_id,)):
        (
            vehicle,
            task,
            service,
            days,
            priority,
            status,
            last,
            km,
            km_left,
            km_on,
            months_on,
            left,
            h,
            h_left,
            h_on,
        ) = row
        if vehicle not in homes:
            continue
        limits = [Limit("months", "d", float(left), due_on=months_on)] if months_on is not None else []
        limits += [Limit("odometer", "km", km_left, km, km_on)] if km_left is not None else []
        limits += [Limit("engine_hours", "h", h_left, h, h_on)] if h_left is not None else []
        due = Due(vehicle, task, Status(status), last, tuple(limits))
        found.append(Task(due, days, priority, service))
    return found


def _troubles(conn: Connection, tenant_id: str, homes: Mapping[str, Home]) -> list[Trouble]:
    rows = conn.execute(
        "select vehicle_id, (first_seen_at at time zone 'UTC')::date, severity,"
        " coalesce(code, 'SPN ' || coalesce(spn::text, '?') || ' FMI ' || coalesce(fmi::text, '?'))"
        " from marts.fct_dtc where tenant_id = %s and state = 'open' and severity in ('plan', 'soon', 'stop')"
        " order by 1, 2, 4, 3",
        (tenant_id,),
    )
    return [
        Trouble(vehicle, opened, Severity[severity.upper()], words)
        for vehicle, opened, severity, words in rows
        if vehicle in homes
    ]


def _uses(
    conn: Connection, tenant_id: str, homes: Mapping[str, Home], today: date
) -> dict[str, dict[str, Use]]:
    """Return each vehicle's use by meter, drawn towards that of its model, or of the fleet where it is the only one."""
    rows = conn.execute(
        "select vehicle_id, meter, day, used, is_replaced from marts.fct_meter_day"
        " where tenant_id = %s and day between %s::date - %s and %s order by 1, 2, 3",
        (tenant_id, today, WINDOW_DAYS + 7, today),
    )
    lines: dict[str, dict[str, list[tuple[Any, ...]]]] = {meter: defaultdict(list) for meter in _KINDS}
    for vehicle, meter, *line in rows:
        lines[meter][vehicle].append(tuple(line))
    uses: dict[str, dict[str, Use]] = {vehicle: {} for vehicle in homes}
    for meter, by_vehicle in lines.items():
        own = {v: observe(_meter(meter, by_vehicle.get(v, [])).daily(), today) for v in homes}
        fleet = pool(own.values())
        by_model: dict[str | None, list[Use]] = defaultdict(list)
        for vehicle, use in own.items():
            by_model[homes[vehicle].model].append(use)
        models = {model: pool(some) for model, some in by_model.items()}
        for vehicle, use in own.items():
            others = models[homes[vehicle].model]
            uses[vehicle][meter] = shrink(use, others if others.days > use.days else fleet)
    return uses


def _meter(name: str, line: list[tuple[Any, ...]]) -> Meter:
    days, used = tuple(one[0] for one in line), tuple(one[1] for one in line)
    return Meter(_KINDS[name], days, used, tuple(one[0] for one in line if one[2]))


def _duties(conn: Connection, tenant_id: str, start: date, horizon_days: int) -> dict[str, frozenset[date]]:
    """Return the days on which vehicles have shipments: from now until each is promised, one late now for two days."""
    rows = conn.execute(
        "select distinct s.vehicle_id, d.day::date from marts.fct_shipment as s"
        " cross join lateral generate_series(%(start)s::date,"
        "  least(greatest((s.promised_at at time zone 'UTC')::date, %(start)s::date + 1), %(start)s::date + %(days)s),"
        "  interval '1 day') as d (day)"
        " where s.tenant_id = %(tenant)s and s.vehicle_id is not null and s.promised_at is not null"
        " and s.status in ('assigned', 'picked_up', 'in_transit', 'out_for_delivery', 'failed_attempt', 'exception')",
        {"tenant": tenant_id, "start": start, "days": horizon_days - 1},
    )
    found: dict[str, set[date]] = defaultdict(set)
    for vehicle, day in rows:
        found[vehicle].add(day)
    return {vehicle: frozenset(days) for vehicle, days in found.items()}


def _workshops(conn: Connection, tenant_id: str) -> list[Site]:
    rows = conn.execute(
        "select site_id, bays, closed_weekdays, closed_on from ops.workshop where tenant_id = %s order by 1",
        (tenant_id,),
    ).fetchall()
    if rows:
        return [
            Site(site, bays, frozenset(weekdays), frozenset(days))
            for site, bays, weekdays, days in rows
            if bays
        ]
    sites = conn.execute(
        "select site_id from marts.dim_site where tenant_id = %s and kind in ('hub', 'depot') order by 1",
        (tenant_id,),
    )
    return [Site(site, DEFAULT_BAYS) for (site,) in sites]


DEFAULT_BAYS = 2
"""Of each hub and depot, where the tenant has named no workshops."""

# By the angle between the places: on a sphere its order is that of the distance.
_NEAR = """
select h.site_id, array_agg(w.site_id order by
    sin(radians(w.lat)) * sin(radians(h.lat))
    + cos(radians(w.lat)) * cos(radians(h.lat)) * cos(radians(w.lon - h.lon)) desc nulls last, w.site_id)
from marts.dim_site as h
inner join marts.dim_site as w on h.tenant_id = w.tenant_id and w.site_id = any(%(workshops)s)
where h.tenant_id = %(tenant)s
    and h.site_id in (select v.home_site_id from marts.dim_vehicle as v where v.tenant_id = %(tenant)s)
group by h.site_id
"""
_CHOICES = 2


def _near(conn: Connection, tenant_id: str, workshops: list[str]) -> dict[str, tuple[str, ...]]:
    rows = conn.execute(_NEAR, {"tenant": tenant_id, "workshops": workshops})
    return {home: tuple(some[:_CHOICES]) for home, some in rows}


def _before(conn: Connection, tenant_id: str, start: date) -> Before:
    rows = conn.execute(
        "select plan_date, job_id, vehicle_id, state, site_id, first_day, last_day, kind, words, task_id"
        " from intermediate.int_maintenance_job where tenant_id = %(tenant)s and plan_date = ("
        "  select max(plan_date) from intermediate.int_maintenance_night"
        "  where tenant_id = %(tenant)s and plan_date < %(start)s) order by job_id",
        {"tenant": tenant_id, "start": start},
    ).fetchall()
    if not rows:
        return Before()
    return Before(
        plan_date=rows[0][0],
        placements=tuple(
            Placement(job, vehicle, site, first, last)
            for _, job, vehicle, state, site, first, last, *_ in rows
            if state != "unplaced"
        ),
        unplaced=frozenset(row[1] for row in rows if row[3] == "unplaced"),
        words={row[1]: (row[7], row[8], row[9]) for row in rows},
    )


def running_jobs(situation: Situation, start: date) -> dict[str, Placement]:
    """Return what is under way at the plan's start, by job: begun by the plan before and not yet at its end."""
    return {one.job_id: one for one in situation.before.placements if one.first_day < start <= one.last_day}


def running_work(situation: Situation, start: date) -> list[Running]:
    """Return whose work is under way: by the plan before, or as the order system says that it is in the workshop."""
    known = {site.site_id for site in situation.workshops}
    found = {
        one.vehicle_id: Running(one.vehicle_id, one.site_id, one.last_day)
        for one in running_jobs(situation, start).values()
        if one.vehicle_id in situation.homes and one.site_id in known
    }
    for vehicle, home in situation.homes.items():
        near = situation.near.get(home.home_site_id or "", ())
        if home.status == "workshop" and vehicle not in found and near:
            found[vehicle] = Running(vehicle, near[0], start)
    return [found[vehicle] for vehicle in sorted(found)]


def planner_vehicles(situation: Situation) -> tuple[Vehicle, ...]:
    """Return the fleet as the planner takes it."""
    return tuple(
        Vehicle(vehicle, home.home_site_id, situation.duties.get(vehicle, frozenset()))
        for vehicle, home in situation.homes.items()
    )
