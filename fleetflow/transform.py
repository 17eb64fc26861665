"""The transform ledger: claim landed batches, gate them, build the models they touch, mark them.

Reads `ops.batch`, `ops.pending_batch`; writes `ops.transform_run`, `ops.pending_batch`,
`ops.transformed_batch`. The models are dbt's. Each step is a function of the run's id, so that four tasks
in four processes can take one each.

Asserted: one open run a pipeline (a unique index), and only the run that still holds its claim is marked. A
step may be repeated: models recompute what the claimed batches touch and write only what differs. A run
that shows no life for 60 seconds loses its claim to the next one.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from fleetflow.freshness import Freshness, measure_freshness
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

PIPELINE = "shipments"
ROW_LIMIT = 3_000_000
BACKFILL_ROWS = 250_000
STALE_S = 60
_BEAT_S = 10.0

log = logging.getLogger("fleetflow.transform")


class TransformError(RuntimeError):
    """A model failed, or dbt could not start; the message names which and why. The batches stay claimable."""


class PipelineBusyError(RuntimeError):
    """Another run holds the pipeline and is alive."""


class RunLostError(RuntimeError):
    """The run no longer holds its claim: it was failed, held, or is done."""


@dataclass(frozen=True)
class Run:
    """One run's claim: how many batches, and how many events were accepted in them."""

    run_id: UUID
    pipeline: str
    batches: int
    events: int


@dataclass(frozen=True)
class Outcome:
    """What became of a run: `done` or `held`, seconds per step, freshness, and why it is held."""

    run: Run
    state: str
    seconds: Mapping[str, float]
    freshness: Freshness = field(default_factory=Freshness)
    reason: str | None = None


Gate = Callable[[Run], str | None]
Fold = Callable[[Run], None]
Watch = Callable[[str, float], None]


def this_process() -> str:
    """Return the name under which this process claims: host and process id."""
    return f"{socket.gethostname()}:{os.getpid()}"


def claim(
    conn: Connection,
    pipeline: str = PIPELINE,
    claimed_by: str | None = None,
    *,
    row_limit: int = ROW_LIMIT,
    backfill_rows: int = BACKFILL_ROWS,
    even_if_empty: bool = False,
) -> Run | None:
    """Claim what is pending: live batches first, oldest first, up to row_limit events; at least one batch.

    Beside them, if no live batch had to stay behind, what a backfill has queued: up to backfill_rows events, at least
    one batch. So a backfill goes on under any load that the runs keep up with, and never makes one much longer.

    Returns None when nothing is pending, unless `even_if_empty`: then the run holds the pipeline alone.

    Raises:
        PipelineBusyError: another run holds the pipeline and has shown life in the last 60 seconds.
    """
    with conn.transaction():
        _fail_stale(conn, pipeline)
        waiting = conn.execute(
            "select 1 from ops.pending_batch where pipeline = %s and run_id is null limit 1", (pipeline,)
        ).fetchone()
        if waiting is None and not even_if_empty:
            return None
        run_id = _open_run(conn, pipeline, claimed_by or this_process())
        return _take_batches(conn, pipeline, run_id, row_limit, backfill_rows)


def _fail_stale(conn: Connection, pipeline: str) -> None:
    stale = conn.execute(
        "update ops.transform_run set state = 'failed', finished_at = clock_timestamp(),"
        " error = 'no heartbeat for 60 s; its batches were claimed again'"
        " where pipeline = %s and state = 'claimed'"
        " and heartbeat_at < clock_timestamp() - make_interval(secs => %s)"
        " returning run_id",
        (pipeline, STALE_S),
    ).fetchall()
    for (run_id,) in stale:
        _let_go(conn, run_id)


def _let_go(conn: Connection, run_id: UUID) -> None:
    conn.execute("update ops.pending_batch set run_id = null where run_id = %s", (run_id,))


def _open_run(conn: Connection, pipeline: str, claimed_by: str) -> UUID:
    row = conn.execute(
        "insert into ops.transform_run (pipeline, claimed_by) values (%s, %s)"
        " on conflict (pipeline) where state = 'claimed' do nothing returning run_id",
        (pipeline, claimed_by),
    ).fetchone()
    if row is None:
        raise PipelineBusyError(f"pipeline {pipeline} is held by another run that is alive")
    run_id: UUID = row[0]
    return run_id


_TAKE = """
with waiting as (
    select b.batch_id, b.accepted, p.priority > 0 as is_backfill,
        sum(b.accepted) over (partition by p.priority > 0 order by b.batch_id) - b.accepted as before
    from ops.pending_batch as p join ops.batch as b using (batch_id)
    where p.pipeline = %(pipeline)s and p.run_id is null
), judged as (
    select w.*, w.before = 0
        or w.before + w.accepted <= case when w.is_backfill then %(backfill_rows)s else %(row_limit)s end as fits
    from waiting as w
), taken as (
    update ops.pending_batch as p set run_id = %(run_id)s from judged as j
    where p.pipeline = %(pipeline)s and p.batch_id = j.batch_id and p.run_id is null and j.fits
    and not (j.is_backfill and exists (select from judged as live where not live.is_backfill and not live.fits))
    returning j.accepted
), counted as (
    select count(*) as batches, coalesce(sum(accepted), 0) as events from taken
)
update ops.transform_run as r set batches = c.batches, events = c.events from counted as c
where r.run_id = %(run_id)s returning r.batches, r.events
"""


def _take_batches(conn: Connection, pipeline: str, run_id: UUID, row_limit: int, backfill_rows: int) -> Run:
    limits = {"row_limit": row_limit, "backfill_rows": backfill_rows}
    row = conn.execute(_TAKE, {"pipeline": pipeline, "run_id": run_id, **limits}).fetchone()
    assert row is not None
    return Run(run_id, pipeline, *row)


def read_run(conn: Connection, run_id: UUID) -> Run:
    """Return a run that still holds its claim.

    Raises:
        RunLostError: it holds it no longer.
    """
    row = conn.execute(
        "select pipeline, batches, events, state from ops.transform_run where run_id = %s", (run_id,)
    ).fetchone()
    if row is None or row[3] != "claimed":
        raise RunLostError(f"run {run_id} is {row[3] if row else 'unknown'}, expected claimed")
    return Run(run_id, *row[:3])


def beat(conn: Connection, run: Run) -> None:
    """Show that the run is alive.

    Raises:
        RunLostError: it no longer holds its claim.
    """
    alive = conn.execute(
        "update ops.transform_run set heartbeat_at = clock_timestamp()"
        " where run_id = %s and state = 'claimed'",
        (run.run_id,),
    ).rowcount
    if not alive:
        raise RunLostError(f"run {run.run_id} lost its claim")


@contextmanager
def heartbeat(settings: Settings, run: Run, role: str = "transformer") -> Iterator[None]:
    """Keep the run alive from a thread of its own while a step works; a warehouse that is away is asked again.

    A beat that fails is not raised here: marking checks the claim, and that is what counts.
    """
    ended = threading.Event()

    def keep_on() -> None:
        with connect(settings.dsn(role), autocommit=True) as conn:
            beat(conn, run)
            while not ended.wait(_BEAT_S):
                beat(conn, run)

    def keep() -> None:
        while not ended.is_set():
            try:
                keep_on()
            except RunLostError:
                return
            except psycopg.OperationalError as fault:
                log.warning("run %s: no heartbeat: %s", run.run_id, fault)
                ended.wait(1.0)

    thread = threading.Thread(target=keep, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def mark(conn: Connection, run: Run) -> Freshness:
    """Mark the run's batches as transformed and the run as done, in one transaction; return their freshness.

    Freshness is measured where the batches have come into the marts, that is for the pipeline of shipments.

    Raises:
        RunLostError: the run no longer holds its claim; nothing was marked.
    """
    freshness = measure_freshness(conn, run.run_id) if run.pipeline == PIPELINE else Freshness()
    with conn.transaction():
        done = conn.execute(
            "update ops.transform_run set state = 'done', finished_at = clock_timestamp(),"
            " freshness_p50_s = %s, freshness_p95_s = %s, freshness_p99_s = %s"
            " where run_id = %s and state = 'claimed'",
            (freshness.p50_s, freshness.p95_s, freshness.p99_s, run.run_id),
        ).rowcount
        if not done:
            raise RunLostError(f"run {run.run_id} lost its claim before it was marked")
        conn.execute(
            "with moved as ("
            " delete from ops.pending_batch where run_id = %s returning pipeline, batch_id, run_id)"
            " insert into ops.transformed_batch (pipeline, batch_id, run_id) select * from moved",
            (run.run_id,),
        )
    return freshness


def fail(conn: Connection, run: Run, error: str) -> None:
    """End the run as failed; its batches can be claimed again. A run that lost its claim stays as it is."""
    with conn.transaction():
        if _end(conn, run, "failed", error):
            _let_go(conn, run.run_id)


def hold(conn: Connection, run: Run, reason: str) -> None:
    """End the run as held: its batches stay out of the marts until `release`.

    Raises:
        RunLostError: the run no longer holds its claim.
    """
    with conn.transaction():
        if not _end(conn, run, "held", reason):
            raise RunLostError(f"run {run.run_id} lost its claim before it was held")


def _end(conn: Connection, run: Run, state: str, error: str) -> bool:
    return bool(
        conn.execute(
            "update ops.transform_run set state = %s, finished_at = clock_timestamp(), error = left(%s, 4000)"
            " where run_id = %s and state = 'claimed'",
            (state, error, run.run_id),
        ).rowcount
    )


def release(conn: Connection, pipeline: str = PIPELINE) -> int:
    """Let the batches of held runs be claimed again; return how many."""
    with conn.transaction():
        return conn.execute(
            "update ops.pending_batch as p set run_id = null from ops.transform_run as r"
            " where p.run_id = r.run_id and r.state = 'held' and p.pipeline = %s",
            (pipeline,),
        ).rowcount


def build(
    settings: Settings,
    run: Run,
    select: str | None = None,
    *,
    full_refresh: bool = False,
    watch: Watch | None = None,
) -> None:
    """Build the models for a run, with a heartbeat. May be repeated.

    Raises:
        TransformError: a model failed; the message names it.
    """
    from fleetflow.dbt_project import run_models

    with heartbeat(settings, run):
        run_models(
            settings, run.run_id, pipeline=run.pipeline, select=select, full_refresh=full_refresh, watch=watch
        )


def run_pipeline(
    settings: Settings,
    gate: Gate | None = None,
    *,
    pipeline: str = PIPELINE,
    fold: Fold | None = None,
    row_limit: int = ROW_LIMIT,
    full_refresh: bool = False,
    even_if_empty: bool = False,
    watch: Watch | None = None,
) -> Outcome | None:
    """Do one run in this process: claim, gate, fold, build, mark. None when nothing is pending, unless even then.

    The gate returns why the run must be held, or None. `fold` is what a pipeline does before its models are built.

    Raises:
        PipelineBusyError: another run holds the pipeline.
        TransformError: a model failed; the run is failed and its batches are claimable.
    """
    seconds: dict[str, float] = {}
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        with _timed(seconds, "claim"):
            run = claim(conn, pipeline, row_limit=row_limit, even_if_empty=full_refresh or even_if_empty)
        if run is None:
            return None
        try:
            if gate is not None:
                with _timed(seconds, "gate"), heartbeat(settings, run):
                    reason = gate(run)
                if reason is not None:
                    hold(conn, run, reason)
                    return Outcome(run, "held", seconds, reason=reason)
            if fold is not None:
                with _timed(seconds, "fold"), heartbeat(settings, run):
                    fold(run)
            with _timed(seconds, "build"):
                build(settings, run, full_refresh=full_refresh, watch=watch)
            with _timed(seconds, "mark"):
                freshness = mark(conn, run)
        except BaseException as fault:
            if not conn.broken:
                fail(conn, run, f"{type(fault).__name__}: {fault}")
            raise
        return Outcome(run, "done", seconds, freshness)


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - started
