"""A run of the vehicle side: claim, the steps in their order, the models, mark."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from psycopg import sql

from fleetflow import transform
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles.driver_hours.step import fold_driver_hours
from fleetflow.vehicles.fuel.step import fold_fuel
from fleetflow.vehicles.maintenance.step import keep_maintenance
from fleetflow.vehicles.telemetry.step import decode_telemetry
from fleetflow.vehicles.touched import begin_fold
from fleetflow.vehicles.tracks.step import fold_tracks

PIPELINE = "vehicles"
GATE = "vehicles_gate"
ROW_LIMIT = 4_000_000
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """What a step works with: the run's id, the warehouse as the transformer (autocommit), the time of the run.

    `goes_on`: from a fold of a run that was not marked, which may have been this one.
    """

    settings: Settings
    conn: Connection
    run_id: UUID
    goes_on: bool = False
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    tell: Tell = lambda _: None


class Step(NamedTuple):
    """A step of the run; `fold` returns what it did, by name of what it counts."""

    name: str
    fold: Callable[[Work], Mapping[str, int]]


# In this order: later steps read what earlier ones wrote.
STEPS: tuple[Step, ...] = (
    Step("telemetry", decode_telemetry),
    Step("tracks", fold_tracks),
    Step("driver_hours", fold_driver_hours),
    Step("fuel", fold_fuel),
    Step("maintenance", keep_maintenance),
)


def fold(
    settings: Settings,
    run: transform.Run,
    tell: Tell = lambda _: None,
    watch: transform.Watch = lambda _step, _seconds: None,
) -> dict[str, dict[str, int]]:
    """Do every step for what the run has claimed; return their counts. May be repeated."""
    counts = {}
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        work = Work(settings, conn, run.run_id, begin_fold(conn, run.run_id), tell=tell)
        for step in STEPS:
            started = time.perf_counter()
            counts[step.name] = dict(step.fold(work))
            _analyse_changed(conn)
            done = ", ".join(f"{count:,} {what}" for what, count in counts[step.name].items() if count)
            seconds = time.perf_counter() - started
            watch(step.name, seconds)
            tell(f"{step.name} {seconds:.1f} s: {done or 'nothing to do'}")
    return counts


def _analyse_changed(conn: Connection) -> None:
    """Have the planner know what a step wrote; autovacuum comes by once a minute, the models at once."""
    conn.execute("select pg_stat_force_next_flush()")
    changed = conn.execute(
        "select c.oid::regclass::text from pg_stat_user_tables as s join pg_class as c on c.oid = s.relid"
        " where s.schemaname = 'intermediate' and s.n_mod_since_analyze > 50 + 0.1 * greatest(c.reltuples, 0)"
        " and pg_has_role(c.relowner, 'usage')"
    ).fetchall()
    for (table,) in changed:
        conn.execute(sql.SQL("analyze {}").format(sql.SQL(table)))


def run_vehicles(
    settings: Settings,
    gate: transform.Gate | None = None,
    *,
    row_limit: int = ROW_LIMIT,
    full_refresh: bool = False,
    even_if_empty: bool = False,
    watch: transform.Watch | None = None,
    tell: Tell = lambda _: None,
) -> transform.Outcome | None:
    """Do one run in this process; None when nothing is pending, unless it is to be done even then.

    The gate returns why the run must be held, or None.

    Raises:
        PipelineBusyError: another run holds the pipeline.
        TransformError: a model failed; the run is failed and its batches are claimable.
    """
    return transform.run_pipeline(
        settings,
        gate,
        pipeline=PIPELINE,
        fold=lambda run: _fold(settings, run, tell),
        row_limit=row_limit,
        full_refresh=full_refresh,
        even_if_empty=even_if_empty,
        watch=watch,
    )


def _fold(settings: Settings, run: transform.Run, tell: Tell) -> None:
    fold(settings, run, tell)
