"""Opens the lake that the settings name, and runs compaction and maintenance on it."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from domain.contracts import FEEDS
from domain.contracts.signal import SIGNAL
from fleetflow import runtime, transform
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from ingestion.lake.compact import FeedResult
    from ingestion.lake.maintain import Maintained
    from ingestion.lake.tables import Lake

PIPELINE = "lake"
CATALOG = "fleetflow"
CLAIM_ROWS = 4_000_000
_M_ARENA_MAX = -8


def open_lake(settings: Settings, role: str = "loader") -> Lake:
    """Return the lake of the settings; nothing is read yet.

    With the SQL catalog, `role` is who reads the catalog in the warehouse: the loader may write, ops may read.
    """
    from ingestion.lake.tables import make_lake

    location, tables = f"s3://{settings.lake_bucket}", FEEDS | {SIGNAL.name: SIGNAL}
    return make_lake(open_catalog(settings, role), location, runtime.raw_filesystem(settings), tables)


def catalog_properties(settings: Settings, role: str = "loader") -> dict[str, str]:
    """Return what any pyiceberg needs to open the same tables: `load_catalog("fleetflow", **properties)`."""
    files = {"s3.region": settings.aws_region, "py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO"}
    if settings.aws_endpoint_url:
        files |= {
            "s3.endpoint": settings.aws_endpoint_url,
            "s3.access-key-id": settings.environment.get("AWS_ACCESS_KEY_ID", ""),
            "s3.secret-access-key": settings.environment.get("AWS_SECRET_ACCESS_KEY", ""),
        }
    if settings.lake_catalog == "glue":
        return {"type": "glue", "glue.region": settings.aws_region, **files}
    return {"type": "sql", "uri": _catalog_uri(settings.dsn(role)), "init_catalog_tables": "false", **files}


def open_catalog(settings: Settings, role: str = "loader") -> Catalog:
    """Return the catalog of the settings.

    A connection to the SQL catalog lives for one statement, so that none is left behind or goes stale.
    """
    from pyiceberg.catalog import load_catalog
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    properties = catalog_properties(settings, role)
    catalog = load_catalog(CATALOG, **properties)
    if isinstance(catalog, SqlCatalog):
        catalog.engine.dispose()
        catalog.engine = create_engine(properties["uri"], poolclass=NullPool)
    return catalog


def _catalog_uri(dsn: str) -> str:
    parts = urlsplit(dsn)
    query = [*parse_qsl(parts.query), ("options", "-csearch_path=lake -ctimezone=UTC")]
    return urlunsplit(parts._replace(scheme="postgresql+psycopg", query=urlencode(query)))


@dataclass(frozen=True)
class Round:
    """One claim and what became of it, feed by feed."""

    run_id: UUID
    batches: int
    feeds: tuple[FeedResult, ...]
    settled: tuple[str, ...]
    seconds: float

    @property
    def moved(self) -> bool:
        """Whether any batch left the queue."""
        return bool(self.settled) or any(result.intake.batch_ids for result in self.feeds)


def compact(
    settings: Settings,
    *,
    row_limit: int = CLAIM_ROWS,
    step: Callable[[str], None] = lambda _: None,
    lake: Lake | None = None,
    raw_files: Any = None,
) -> Iterator[Round]:
    """Take what waits into the lake, claim after claim, until nothing more can be taken.

    `lake` and `raw_files` (the Arrow filesystem of the raw bucket) are those of the settings if left out; `step` is
    told each of `ingestion.lake.compact.STEPS` as it is done.

    Batches whose objects cannot be read go back to the end of the queue, named in the round's results.

    Raises:
        PipelineBusyError: another compaction is at work.
        OSError: storage or the catalog refused for too long; the claim was given back.
    """
    _share_arenas()
    lake = lake or open_lake(settings)
    files = raw_files or runtime.raw_filesystem(settings)
    while True:
        done = _one_round(settings, lake, files, row_limit, step)
        if done is None:
            return
        yield done
        if not done.moved:
            return


def _share_arenas() -> None:
    """Let the C library's allocator keep two arenas, not eight a core: each keeps what its threads once used."""
    if sys.platform == "linux":
        allocator = ctypes.CDLL(None)
        if hasattr(allocator, "mallopt"):
            allocator.mallopt(_M_ARENA_MAX, 2)


def _one_round(
    settings: Settings, lake: Lake, files: Any, row_limit: int, step: Callable[[str], None]
) -> Round | None:
    from ingestion.lake.ledger import record, set_aside

    started = time.perf_counter()
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        run = transform.claim(conn, PIPELINE, row_limit=row_limit)
        if run is None:
            return None
        step("claimed")
        try:
            with transform.heartbeat(settings, run, "loader"):
                settled, results = _take_in(settings, lake, files, conn, run, step)
            with conn.transaction():
                for result in results:
                    if result.intake.batch_ids:
                        record(conn, result.intake, result.snapshot_id, void_others=bool(result.files))
                    set_aside(conn, [one.batch for one in result.left_out])
                transform.mark(conn, run)
        except BaseException as fault:
            if not conn.broken:
                transform.fail(conn, run, f"{type(fault).__name__}: {fault}")
            raise
        step("marked")
    return Round(run.run_id, run.batches, tuple(results), tuple(settled), time.perf_counter() - started)


def _take_in(
    settings: Settings,
    lake: Lake,
    files: Any,
    conn: Connection,
    run: transform.Run,
    step: Callable[[str], None],
) -> tuple[list[str], list[FeedResult]]:
    from ingestion.lake.compact import Work, compact_feed, open_tables, settle_announced
    from ingestion.lake.ledger import claimed_batches
    from ingestion.lake.objects import RawObjects

    feeds = sorted({batch.feed for batch in claimed_batches(conn, run.run_id)})
    tables = open_tables(lake, feeds)
    settled = [intake.feed for intake in settle_announced(lake, conn)]
    batches = claimed_batches(conn, run.run_id)
    results = []
    with TemporaryDirectory(prefix="fleetflow-lake-") as scratch:
        objects = RawObjects(files, settings.raw_bucket, Path(scratch))
        work = Work(lake, objects, run.run_id, conn, lambda: transform.beat(conn, run), step)
        for feed in feeds:
            mine = [batch for batch in batches if batch.feed == feed]
            if mine:
                results.append(compact_feed(work, lake.feeds[feed], tables[feed], mine))
    return settled, results


@dataclass(frozen=True)
class FeedStatus:
    """How one feed stands in the lake, and what waits for it; ages in seconds, None where there is nothing."""

    feed: str
    rows: int
    files: int
    size_bytes: int
    days: int
    first_day: str | None
    last_day: str | None
    snapshot_id: int | None
    snapshot_at: str | None
    waiting_batches: int
    waiting_rows: int
    oldest_waiting_s: float | None


def lake_status(settings: Settings) -> list[FeedStatus]:
    """Return how every feed stands; reads as ops."""
    lake = open_lake(settings, "ops")
    with connect(settings.dsn("ops")) as conn:
        rows = conn.execute(
            "select b.feed, count(*), sum(b.accepted)::bigint,"
            " extract(epoch from clock_timestamp() - min(b.landed_at))::float8"
            " from ops.pending_batch as p join ops.batch as b using (batch_id) where p.pipeline = %s group by b.feed",
            (PIPELINE,),
        ).fetchall()
    waiting = {feed: (batches, held, age) for feed, batches, held, age in rows}
    return [_feed_status(lake, feed, waiting.get(feed, (0, 0, None))) for feed in lake.feeds]


def _feed_status(lake: Lake, feed: str, waiting: tuple[int, int, float | None]) -> FeedStatus:
    from ingestion.lake.read import days

    table = lake.find(feed)
    snapshot = table.current_snapshot() if table is not None else None
    found = days(lake, feed)
    return FeedStatus(
        feed=feed,
        rows=sum(day.rows for day in found),
        files=sum(day.files for day in found),
        size_bytes=sum(day.size_bytes for day in found),
        days=len(found),
        first_day=found[0].day.isoformat() if found else None,
        last_day=found[-1].day.isoformat() if found else None,
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        snapshot_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC).isoformat()
        if snapshot
        else None,
        waiting_batches=waiting[0],
        waiting_rows=waiting[1],
        oldest_waiting_s=None if waiting[2] is None else round(waiting[2], 1),
    )


def maintain_lake(
    settings: Settings, now: datetime | None = None, step: Callable[[str], None] = lambda _: None
) -> Iterator[Maintained]:
    """Maintain every feed's table, one after the other: see `ingestion.lake.maintain`."""
    from ingestion.lake.compact import settle_announced
    from ingestion.lake.maintain import maintain

    lake = open_lake(settings)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        settle_announced(lake, conn)  # before the snapshot that tells of a commit can expire
    keep = timedelta(days=settings.lake_snapshot_days)
    with TemporaryDirectory(prefix="fleetflow-lake-") as scratch:
        for feed in lake.feeds:
            yield maintain(lake, feed, now or datetime.now(UTC), keep, Path(scratch), step)
