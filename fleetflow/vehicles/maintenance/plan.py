"""A night's plan of the workshops: jobs from what is due and broken, planned under the fleet's limits, and compared.

The plan of a night is a function of the warehouse as of that day and of the plan of the night before it: planned
again, it replaces itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any

from psycopg import sql

from domain.maintenance.planner import EFFORT, Plan, make_plan
from domain.maintenance.projection import Projected, project
from domain.maintenance.trouble_codes import Severity
from domain.maintenance.workshop import Capacity, Job, Placement, Problem, share_of
from fleetflow.faults import UserError
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles.maintenance.situation import (
    Situation,
    Task,
    planner_vehicles,
    read_situation,
    running_jobs,
    running_work,
)

HORIZON_DAYS = 42
AHEAD_DAYS = 28
"""What is due within so many days is planned: later it would only be planned again and again."""
FLEET_PERCENT = 15
_TROUBLE = {Severity.STOP: (0, 1), Severity.SOON: (7, 2), Severity.PLAN: (30, 3)}
"""How many days after a code opened its repair is due, and of what priority it is."""


@dataclass(frozen=True)
class PlannedJob:
    """A job with what it is: a service task, or all open trouble codes of a vehicle."""

    job: Job
    kind: str
    task_id: str | None
    words: str


@dataclass(frozen=True)
class Night:
    """One tenant's night: the jobs, the plan, what runs on from before, and the projections it was made from.

    `homeless`: jobs of vehicles whose home site is unknown, or whose tenant has no workshop.
    """

    tenant_id: str
    plan_date: date
    problem: Problem
    jobs: tuple[PlannedJob, ...]
    homeless: tuple[PlannedJob, ...]
    plan: Plan
    running: Mapping[str, tuple[Placement, PlannedJob]]
    projections: tuple[tuple[str, str, Projected], ...]
    previous_date: date | None


def plan_night(
    settings: Settings,
    plan_date: date | None = None,
    *,
    dry_run: bool = False,
    effort: float = EFFORT,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Night]:
    """Plan every tenant's services from `plan_date` on, today if left out; write the plans and build their marts.

    Raises:
        UserError: the marts of the vehicle side were never built.
        TransformError: a model failed; the plan is written and a repetition builds it.
    """
    from fleetflow.dbt_project import run_models

    nights = []
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        _require_marts(conn)
        day = plan_date or _today(conn)
        conn.execute("select set_config('fleetflow.as_of', %s, false)", (_as_of(conn, day),))
        tenants = [
            tenant
            for (tenant,) in conn.execute("select distinct tenant_id from marts.dim_vehicle order by 1")
        ]
        for tenant in tenants:
            night = make_night(read_situation(conn, tenant, day, HORIZON_DAYS), day, effort)
            nights.append(night)
            figures = night.plan.figures
            tell(
                f"{tenant}: {figures.placed} of {len(night.jobs)} jobs placed, {len(night.plan.changes)} changes"
            )
        if not dry_run:
            with conn.transaction():
                conn.execute("truncate intermediate.int_plan_night_touched")
                for night in nights:
                    write_night(conn, night)
    if not dry_run and nights:
        run_models(settings, None, pipeline="vehicles", select="tag:maintenance_plan")
    return nights


def _require_marts(conn: Connection) -> None:
    found = conn.execute("select to_regclass('marts.fct_maintenance_due') is not null").fetchone()
    if not (found and found[0]):
        raise UserError(
            "nothing is known of due services: run `fleetflow transform --pipeline vehicles` first"
        )


def _today(conn: Connection) -> date:
    (today,) = conn.execute("select (ops.as_of() at time zone 'UTC')::date").fetchall()[0]
    found: date = today
    return found


def _as_of(conn: Connection, day: date) -> str:
    """Return the moment that the night is seen from: now, if it is today's, else the day's end."""
    (now,) = conn.execute("select ops.as_of()").fetchall()[0]
    if day == _today(conn):
        return str(now)
    return datetime.combine(day, time(23, 59, 59)).isoformat() + "+00:00"


def make_night(situation: Situation, start: date, effort: float = EFFORT) -> Night:
    """Make the plan of a night; the same situation gives the same plan."""
    begun = running_jobs(situation, start)
    projections = [
        (one, project(one.due, start, situation.uses[one.due.vehicle_id])) for one in situation.tasks
    ]
    jobs = [*_services(situation, projections, start), *_repairs(situation)]
    jobs.sort(key=lambda one: one.job.job_id)
    homeless = tuple(one for one in jobs if not one.job.site_ids)
    waiting = tuple(one for one in jobs if one.job.site_ids and one.job.job_id not in begun)
    known = {site.site_id for site in situation.workshops}
    problem = Problem(
        start=start,
        horizon_days=HORIZON_DAYS,
        jobs=tuple(one.job for one in waiting),
        sites=situation.workshops,
        vehicles=planner_vehicles(situation),
        capacity=Capacity(FLEET_PERCENT),
        running=tuple(running_work(situation, start)),
        previous=tuple(
            one for one in situation.before.placements if one.job_id not in begun and one.site_id in known
        ),
        previously_unplaced=situation.before.unplaced,
    )
    by_id = {one.job.job_id: one for one in jobs}
    return Night(
        tenant_id=situation.tenant_id,
        plan_date=start,
        problem=problem,
        jobs=waiting,
        homeless=homeless,
        plan=make_plan(problem, effort),
        running={
            job_id: (place, by_id.get(job_id) or _from_before(situation, place))
            for job_id, place in begun.items()
        },
        projections=tuple((one.due.vehicle_id, one.due.task_id, found) for one, found in projections),
        previous_date=situation.before.plan_date,
    )


def _from_before(situation: Situation, place: Placement) -> PlannedJob:
    """Return a job that is under way and no longer due (its service record came) as the plan before had it."""
    kind, words, task = situation.before.words[place.job_id]
    days = (place.last_day - place.first_day).days + 1
    return PlannedJob(
        Job(place.job_id, place.vehicle_id, (place.site_id,), days, place.last_day), kind, task, words
    )


def _services(
    situation: Situation, projections: Sequence[tuple[Task, Projected]], start: date
) -> Iterator[PlannedJob]:
    stood = {one.job_id for one in situation.before.placements}
    for task, projected in projections:
        vehicle, done, due_on = task.due.vehicle_id, task.due.last_done_on, _due_on(task, projected)
        job_id = f"{vehicle}/{task.due.task_id}/{done or 'first'}"
        # Who was told a day keeps it, though the expected day moves out a little.
        ahead = HORIZON_DAYS if job_id in stood else AHEAD_DAYS
        if due_on is None or due_on > start + timedelta(days=ahead):
            continue
        job = Job(job_id, vehicle, _sites(situation, vehicle), task.days, due_on, task.priority)
        after = f"last done on {done}" if done else "never done"
        yield PlannedJob(job, "service", task.due.task_id, f"{task.due.task_id}, {after}, {projected.words}")


def _due_on(task: Task, projected: Projected) -> date | None:
    """Return the last day that is in time: the earliest on which a limit was reached, or is expected to be."""
    dates = [limit.due_on for limit in task.due.limits if limit.due_on is not None]
    return min([*dates, *([projected.due_on] if projected.due_on else [])], default=None)


def _repairs(situation: Situation) -> Iterator[PlannedJob]:
    """Yield one job for all open codes of a vehicle: it is in the workshop once for them."""
    for vehicle, some in groupby(situation.troubles, key=lambda one: one.vehicle_id):
        troubles = list(some)
        due_on = min(one.opened_on + timedelta(days=_TROUBLE[one.severity][0]) for one in troubles)
        first = min(one.opened_on for one in troubles)
        priority = min(_TROUBLE[one.severity][1] for one in troubles)
        words = ", ".join(sorted({f"{one.words} ({one.severity.name.lower()})" for one in troubles}))
        job = Job(
            f"{vehicle}/trouble_codes/{first}", vehicle, _sites(situation, vehicle), 1, due_on, priority
        )
        yield PlannedJob(job, "trouble_codes", None, words)


def _sites(situation: Situation, vehicle: str) -> tuple[str, ...]:
    return situation.near.get(situation.homes[vehicle].home_site_id or "", ())


def write_night(conn: Connection, night: Night) -> None:
    """Put a night's plan in the place of what was written of it before. The caller commits."""
    key = night.tenant_id, night.plan_date
    for table in (
        "int_maintenance_night",
        "int_maintenance_job",
        "int_maintenance_change",
        "int_due_projection",
    ):
        statement = sql.SQL("delete from intermediate.{} where tenant_id = %s and plan_date = %s")
        conn.execute(statement.format(sql.Identifier(table)), key)
    figures, problem = night.plan.figures, night.problem
    _copy(conn, "int_maintenance_night", [(
        *key, night.previous_date, problem.horizon_days, len(problem.vehicles),
        share_of(len(problem.vehicles), problem.capacity.fleet_percent), len(night.jobs) + len(night.homeless),
        figures.placed, figures.unplaced, figures.moves, figures.late_days, figures.cost, figures.overdue_cost,
    )])  # fmt: skip
    _copy(conn, "int_maintenance_job", ((*key, *row) for row in job_rows(night)))
    _copy(conn, "int_maintenance_change", ((*key, *row) for row in change_rows(night)))
    _copy(
        conn,
        "int_due_projection",
        (
            (*key, vehicle, task, one.due_on, one.not_before, one.not_after, one.by, one.words)
            for vehicle, task, one in night.projections
        ),
    )
    conn.execute(
        "insert into intermediate.int_plan_night_touched (tenant_id, plan_date) values (%s, %s)", key
    )


def _copy(conn: Connection, table: str, rows: Any) -> None:
    statement = sql.SQL("copy intermediate.{} from stdin").format(sql.Identifier(table))
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


JOB_FIELDS = (
    "job_id", "vehicle_id", "kind", "task_id", "words", "priority", "days", "due_on", "is_overdue", "state", "site_id",
    "first_day", "last_day", "hindrance", "missing_days", "reason",
)  # fmt: skip
CHANGE_FIELDS = (
    "job_id", "vehicle_id", "kind", "site_before", "first_day_before", "site_after", "first_day_after", "reason",
)  # fmt: skip


def job_rows(night: Night) -> Iterator[tuple[Any, ...]]:
    """Yield the jobs of a night in the order of `JOB_FIELDS`: under way, without a workshop, the others by id."""
    for place, one in night.running.values():
        yield *_facts(night, one), "running", place.site_id, place.first_day, place.last_day, None, None, None
    places = {one.job_id: one for one in night.plan.placements}
    reasons = {one.job_id: one for one in night.plan.unplaced}
    for one in night.homeless:
        reason = "no workshop is known for the vehicle's home site: `fleetflow maintenance workshops set`"
        yield *_facts(night, one), "unplaced", None, None, None, "no_workshop", None, reason
    for one in night.jobs:
        found = places.get(one.job.job_id)
        if found is not None:
            yield (
                *_facts(night, one),
                "placed",
                found.site_id,
                found.first_day,
                found.last_day,
                None,
                None,
                None,
            )
        else:
            why = reasons[one.job.job_id]
            yield (
                *_facts(night, one),
                "unplaced",
                None,
                None,
                None,
                why.constraint.value,
                why.missing_days,
                why.words,
            )


def _facts(night: Night, one: PlannedJob) -> tuple[Any, ...]:
    job = one.job
    overdue = night.problem.is_overdue(job)
    return (
        job.job_id,
        job.vehicle_id,
        one.kind,
        one.task_id,
        one.words,
        job.priority,
        job.days,
        job.due_on,
        overdue,
    )


def change_rows(night: Night) -> Iterator[tuple[Any, ...]]:
    """Yield what stands elsewhere than the night before, in the order of `CHANGE_FIELDS`."""
    for one in night.plan.changes:
        before, after = one.before, one.after
        vehicle = after.vehicle_id if after else before.vehicle_id if before else ""
        yield (
            one.job_id, vehicle, one.kind.value, before and before.site_id, before and before.first_day,
            after and after.site_id, after and after.first_day, one.words,
        )  # fmt: skip
