"""Backfills: plan, then per chunk re-land, re-transform and verify, several chunks in flight; resumable at every step.

Opens what the settings name; the steps are `ingestion.backfill`'s. The transform runs are the ordinary ones: by
default this process does them whenever no other holds the pipeline, live batches first; with `drive=False` it waits
for the scheduler's. Asserted: one process a backfill (an advisory lock).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from domain.contracts.model import Feed
from fleetflow.lake_archive import LakeArchive
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.transform import Gate, PipelineBusyError, run_pipeline, this_process
from fleetflow.vehicles.run import PIPELINE as VEHICLES
from fleetflow.vehicles.run import run_vehicles
from ingestion.backfill import ledger
from ingestion.backfill.land import copy_chunk, queue_landed, queue_unarchived
from ingestion.backfill.mend import mend_store
from ingestion.backfill.model import Archive, ArmGoneError, Backfill, BackfillError, Chunk, Span
from ingestion.backfill.plan import ROWS_PER_CHUNK, Plan, feed_of, make_plan
from ingestion.backfill.verify import STORES, Verdict, verify_days, verify_landed, verify_store
from ingestion.landing.ledger import Ledger

IN_FLIGHT = 2
_POLL_S = 0.25
_SETTLE_S = 60.0
_REPAIRS = 1


class CancelledError(BackfillError):
    """Somebody cancelled the backfill while it was at work."""


@dataclass(frozen=True)
class Request:
    """What is asked for: a feed and a range of event time; who asks; how large chunks may be, and how many at once."""

    feed: str
    span: Span
    requested_by: str
    rows_per_chunk: int = ROWS_PER_CHUNK
    in_flight: int = IN_FLIGHT


@dataclass(frozen=True)
class Progress:
    """How far a backfill is: rows of chunks that landed and that are verified, of all; seconds since it went on."""

    rows: int
    rows_landed: int
    rows_verified: int
    chunks: int
    chunks_verified: int
    seconds: float
    rows_verified_before: int = 0

    @property
    def rows_per_s(self) -> float:
        """Rows verified a second, in this process."""
        return (self.rows_verified - self.rows_verified_before) / self.seconds if self.seconds else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds until the end at this rate; None before anything is done."""
        return (self.rows - self.rows_verified) / self.rows_per_s if self.rows_per_s else None


@dataclass(frozen=True)
class Outcome:
    """What became of a backfill: `done`, or `failed` with the differences in words."""

    backfill_id: int
    state: str
    progress: Progress
    failures: tuple[str, ...] = ()


Tell = Callable[[Progress], None]


def plan_backfill(settings: Settings, request: Request, archive: Archive | None = None) -> Plan:
    """Say what a backfill would do; changes nothing.

    Raises:
        BackfillError: there is no such feed, or rows are neither in landing nor in the lake.
    """
    feed = feed_of(request.feed)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        return make_plan(
            conn, feed, request.span, archive or LakeArchive(settings, feed), request.rows_per_chunk
        )


def pipelines_of(conn: Connection, feed: str) -> list[str]:
    """Return the pipelines that make tables of a feed."""
    query = "select pipeline from ops.pipeline_feed where feed = %s and pipeline <> 'lake' order by 1"
    return [pipeline for (pipeline,) in conn.execute(query, (feed,))]


def run_backfill(
    settings: Settings,
    request: Request,
    *,
    gate: Gate | None = None,
    drive: bool = True,
    tell: Tell = lambda progress: None,
    archive: Archive | None = None,
) -> Outcome:
    """Do a backfill, or go on with the unfinished one of the same range; return when every chunk is verified.

    Raises:
        BackfillError: it cannot go on: no such feed, rows that are nowhere, a held run, another process at work,
            cancelled. What is done stays done; the same call goes on.
        TransformError: a model failed.
    """
    feed = feed_of(request.feed)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        archive = archive or LakeArchive(settings, feed)
        backfill = ledger.find_unfinished(conn, request.feed, request.span)
        if backfill is None:
            plan = make_plan(conn, feed, request.span, archive, request.rows_per_chunk)
            backfill = ledger.record_plan(conn, plan, request.requested_by, request.rows_per_chunk)
        with ledger.exclusive(conn, backfill):
            ledger.reopen(conn, backfill.backfill_id)
            driven = pipelines_of(conn, feed.name) if drive else []
            work = _Work(settings, feed, backfill, archive, driven, gate)
            failures = work.run(conn, request.in_flight, tell)
            failures += _close(settings, conn, backfill, feed, failures)
    return Outcome(backfill.backfill_id, "failed" if failures else "done", work.progress(), tuple(failures))


def _close(
    settings: Settings, conn: Connection, backfill: Backfill, feed: Feed, failures: list[str]
) -> list[str]:
    """Look at the days once, and end the backfill; return what is wrong with them."""
    found: list[str] = []
    if feed.name in STORES and not failures:
        with connect(settings.dsn("transformer"), autocommit=True) as transformer:
            found = _settled(transformer, lambda: [str(d) for d in verify_days(transformer)])
    if failures or found:
        ledger.close(conn, backfill.backfill_id, "failed", "; ".join([*failures, *found]))
    else:
        ledger.close(conn, backfill.backfill_id, "done")
    return found


def _settled(conn: Connection, look: Callable[[], list[str]]) -> list[str]:
    """Look until nothing is found, or something is while no run is at work: a run has its tables half done."""
    give_up = time.monotonic() + _SETTLE_S
    while found := look():
        at_work = conn.execute(
            "select from ops.transform_run where state = 'claimed' and pipeline <> 'lake'"
        ).rowcount
        if not at_work and (found := look()):
            return found
        if time.monotonic() > give_up:
            return found
        time.sleep(_POLL_S)
    return []


@dataclass
class _Work:
    """A backfill that is being worked on in this process."""

    settings: Settings
    feed: Feed
    backfill: Backfill
    archive: Archive
    driven: list[str]
    gate: Gate | None
    landed: dict[int, int] = field(default_factory=dict)
    verified: dict[int, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _chunks: int = 0
    _rows: int = 0
    _rows_before: int = 0
    _started: float = field(default_factory=time.monotonic)
    _stopping: threading.Event = field(default_factory=threading.Event)
    # Reading the lake is what takes memory: one chunk copies, others are transformed and verified meanwhile.
    _reading: threading.Lock = field(default_factory=threading.Lock)

    def run(self, conn: Connection, in_flight: int, tell: Tell) -> list[str]:
        """Bring every chunk to its end; return what is wrong with those that failed."""
        chunks = ledger.read_chunks(conn, self.backfill.backfill_id)
        self._chunks, self._rows = len(chunks), sum(chunk.rows for chunk, _ in chunks)
        for chunk, state in chunks:
            if state == "verified":
                self.landed[chunk.number] = self.verified[chunk.number] = chunk.rows
        self._rows_before = sum(self.verified.values())
        tell(self.progress())
        with ThreadPoolExecutor(in_flight, thread_name_prefix="backfill") as pool:
            tasks = [
                pool.submit(self._do_chunk, chunk, state) for chunk, state in chunks if state != "verified"
            ]
            try:
                self._attend(tasks, tell)
            except BaseException:
                self._stopping.set()
                for task in tasks:
                    task.cancel()
                raise
        return self.failures

    def progress(self) -> Progress:
        """How far it is."""
        return Progress(
            self._rows, sum(self.landed.values()), sum(self.verified.values()), self._chunks, len(self.verified),
            time.monotonic() - self._started, self._rows_before,
        )  # fmt: skip

    def _attend(self, tasks: list[Future[None]], tell: Tell) -> None:
        """Do transform runs while chunks wait for them; raise what a chunk raised."""
        told = None
        while True:
            done, waiting = wait(tasks, timeout=0, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
            if (standing := (len(self.landed), len(self.verified))) != told:
                tell(self.progress())
                told = standing
            if not waiting:
                return
            if not self._transform():
                wait(waiting, timeout=_POLL_S, return_when=FIRST_EXCEPTION)

    def _transform(self) -> bool:
        """Do a run of each pipeline, if it has anything to do and nobody is at it; return whether one was done."""
        done = [self._run(pipeline) for pipeline in self.driven]
        return any(done)

    def _run(self, pipeline: str) -> bool:
        try:
            if pipeline == VEHICLES:
                return run_vehicles(self.settings) is not None
            return run_pipeline(self.settings, self.gate) is not None
        except PipelineBusyError:
            return False

    def _do_chunk(self, chunk: Chunk, state: str) -> None:
        """Bring one chunk from its state to its end."""
        with (
            connect(self.settings.dsn("loader"), autocommit=True) as loader,
            connect(self.settings.dsn("transformer"), autocommit=True) as transformer,
        ):
            if state == "waiting":
                self.landed[chunk.number] = self._land(loader, chunk)
                state = "landed"
            self.landed.setdefault(chunk.number, chunk.rows)
            repairs = ledger.read_repairs(loader, self.backfill.backfill_id, chunk.number)
            while True:
                if state == "landed":
                    self._await_transformed(loader, chunk)
                    ledger.mark_chunk(
                        loader, self.backfill.backfill_id, chunk.number, "landed", "transformed"
                    )
                verdict = self._verify(transformer, chunk)
                if verdict.passed or not verdict.wrong or repairs >= _REPAIRS:
                    break
                self._mend(transformer, chunk, verdict)
                repairs, state = repairs + 1, "landed"
            self._end(loader, chunk, verdict)

    def _land(self, conn: Connection, chunk: Chunk) -> int:
        if chunk.arm == "landing":
            try:
                return queue_landed(conn, self.backfill, chunk, self.feed)
            except ArmGoneError:
                if not self.archive.count(chunk.span):
                    raise
                ledger.switch_to_lake(conn, self.backfill.backfill_id, chunk.number)
        queue_unarchived(conn, self.backfill, chunk, self.feed)
        rows = Ledger(self.settings.dsn("loader"))
        try:
            with self._reading:
                return copy_chunk(rows, self.backfill, chunk, self.feed, self.archive, this_process())
        finally:
            rows.close()

    def _await_transformed(self, conn: Connection, chunk: Chunk) -> None:
        batches = ledger.batches_of(conn, self.backfill.backfill_id, chunk.span)
        while True:
            pending, held = ledger.count_pending(conn, batches)
            if not pending:
                return
            if held is not None:
                raise BackfillError(
                    f"backfill {self.backfill.backfill_id} waits for {pending} batches: {held};"
                    " `fleetflow transform --release-held --no-gate` lets them go on, then run the backfill again"
                )
            self._require_open(conn)
            self._stopping.wait(_POLL_S)

    def _require_open(self, conn: Connection) -> None:
        if self._stopping.is_set() or not ledger.is_open(conn, self.backfill.backfill_id):
            raise CancelledError(
                f"backfill {self.backfill.backfill_id} was stopped; what is queued is transformed yet"
            )

    def _verify(self, conn: Connection, chunk: Chunk) -> Verdict:
        batches = ledger.batches_of(conn, self.backfill.backfill_id, chunk.span)
        if self.feed.name not in STORES:
            return verify_landed(conn, self.backfill, chunk, self.feed, batches, self.archive)
        give_up = time.monotonic() + _SETTLE_S
        while True:
            verdict = verify_store(conn, chunk, self.feed, batches)
            if verdict.passed or not verdict.busy or time.monotonic() > give_up:
                return verdict
            self._stopping.wait(_POLL_S)

    def _mend(self, conn: Connection, chunk: Chunk, verdict: Verdict) -> None:
        batches = ledger.batches_of(conn, self.backfill.backfill_id, chunk.span)
        while not mend_store(conn, self.backfill, chunk, self.feed, verdict.wrong, batches):
            self._require_open(conn)
            self._stopping.wait(_POLL_S)

    def _end(self, conn: Connection, chunk: Chunk, verdict: Verdict) -> None:
        if verdict.passed:
            ledger.mark_verified(conn, self.backfill.backfill_id, chunk.number, verdict.content_hash)
            self.verified[chunk.number] = chunk.rows
            return
        words = "; ".join(map(str, verdict.differences))
        ledger.mark_failed(conn, self.backfill.backfill_id, chunk.number, words)
        self.failures.append(f"chunk {chunk.number} ({chunk.span.from_at:%F %H:%M}): {words}")


def verify_range(settings: Settings, feed: str, span: Span) -> Verdict:
    """Compare what the tables hold of a range with what landed of it and is transformed; changes nothing.

    Raises:
        BackfillError: landing no longer has all rows of the range.
    """
    contract = feed_of(feed)
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        make_plan(conn, contract, span, None)
        whole = Chunk(0, span, "landing", 0)
        give_up = time.monotonic() + _SETTLE_S
        while True:
            verdict = verify_store(conn, whole, contract, ledger.transformed_batches(conn, feed, span))
            if verdict.passed or not verdict.busy or time.monotonic() > give_up:
                return verdict
            time.sleep(_POLL_S)
