"""Compares what came of a chunk's events with what had to come; SQL of its own, not the models'.

The events are in the store once each, with the content that was sent first, by count and by a hash of the content;
nothing is in the store that never landed. What is derived from them (positions, verdicts, lives, marts) is checked in
`shipments`. Everything is read in one snapshot. A run that is at work has its tables half done: `busy` says so, and the
caller looks again.

Feeds that no pipeline makes tables of are verified where they landed: rows, and sums over them, as the lake has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
import pyarrow.compute as pc
from psycopg import sql

from domain.contracts.model import Feed
from ingestion.backfill.model import Archive, Backfill, Chunk, Connection
from ingestion.backfill.shipments import ASSIGNMENT_STORE, EVENT_STORE, Store, closing_checks, derived_checks

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STORES = {"shipment_event": EVENT_STORE, "driver_assignment_event": ASSIGNMENT_STORE}


@dataclass(frozen=True)
class Difference:
    """Something that is not as it had to be: how many rows, and one of them."""

    what: str
    count: int
    example: str

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.count:,} {self.what}, such as {self.example}"


@dataclass(frozen=True)
class Verdict:
    """What a verification saw. `wrong` are rows of the store that no sender ever sent: they can be mended."""

    rows: int
    content_hash: str
    differences: tuple[Difference, ...]
    wrong: tuple[tuple[str, ...], ...] = ()
    busy: bool = False

    @property
    def passed(self) -> bool:
        """Whether everything is as it had to be."""
        return not self.differences


def verify_store(conn: Connection, chunk: Chunk, feed: Feed, batches: Sequence[int]) -> Verdict:
    """Verify a chunk whose feed has a store of events. The connection is the transformer's, outside a transaction."""
    store = STORES[feed.name]
    with _one_snapshot(conn):
        busy = bool(
            conn.execute(
                "select from ops.transform_run where state = 'claimed' and pipeline <> 'lake'"
            ).rowcount
        )
        _expect(conn, chunk, feed, store, batches)
        expected = _figures(conn, store.hash_expected)
        found = _figures(conn, store.hash_found)
        differences: list[Difference] = []
        wrong: list[tuple[str, ...]] = []
        if expected != found:
            differences += _named(conn, {"events are missing in " + store.table: store.missing})
            differing = conn.execute(store.differing, {"in_lake": chunk.arm == "lake"}).fetchall()
            if differing:
                differences.append(
                    Difference(
                        f"events in {store.table} have a content that never landed",
                        len(differing),
                        _key(differing[0]),
                    )
                )
                wrong += differing
        extra = _extra(conn, chunk, store)
        if extra:
            differences.append(
                Difference(f"events in {store.table} never landed", len(extra), _key(extra[0]))
            )
            wrong += _of_known_shipments(conn)
        differences += _named(conn, derived_checks(feed.name))
    return Verdict(expected[0], expected[1], tuple(differences), tuple(wrong), busy)


@contextmanager
def _one_snapshot(conn: Connection) -> Iterator[None]:
    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with conn.transaction():
            yield
    finally:
        conn.isolation_level = None


def _expect(conn: Connection, chunk: Chunk, feed: Feed, store: Store, batches: Sequence[int]) -> None:
    """Collect what had to come, once each, from what has landed."""
    values = {
        "from_at": chunk.span.from_at, "to_at": chunk.span.to_at, "ids": list(batches),
        "first": min(batches, default=0), "last": max(batches, default=-1),
    }  # fmt: skip
    conn.execute(
        "drop table if exists pg_temp.backfill_expected, pg_temp.backfill_shipment, pg_temp.backfill_extra"
    )
    conn.execute(store.expect(feed), values)
    conn.execute("alter table pg_temp.backfill_expected add primary key (tenant_id, shipment_id, event_id)")
    conn.execute(
        "create temporary table backfill_shipment on commit drop as"
        " select distinct tenant_id, shipment_id from pg_temp.backfill_expected"
    )
    conn.execute("alter table pg_temp.backfill_shipment add primary key (tenant_id, shipment_id)")
    conn.execute("analyze pg_temp.backfill_expected, pg_temp.backfill_shipment")


def _figures(conn: Connection, statement: sql.Composed) -> tuple[int, str]:
    row = conn.execute(statement).fetchone()
    assert row is not None
    return row[0], row[1]


def _extra(conn: Connection, chunk: Chunk, store: Store) -> list[tuple[str, ...]]:
    """Find events of the range in the store that the chunk does not explain, and that no landed row explains."""
    bounds = {"from_at": chunk.span.from_at, "to_at": chunk.span.to_at}
    if not conn.execute(store.collect_extra, bounds).rowcount:
        return []
    conn.execute(store.explain_extra)
    return conn.execute(
        "select tenant_id, shipment_id, event_id from pg_temp.backfill_extra order by 1, 2, 3 limit 10000"
    ).fetchall()


def _of_known_shipments(conn: Connection) -> list[tuple[str, ...]]:
    """Return those whose shipment the chunk has queued: only they are folded again once the row is gone."""
    return conn.execute(
        "select x.tenant_id, x.shipment_id, x.event_id from pg_temp.backfill_extra as x"
        " inner join pg_temp.backfill_shipment as t on x.tenant_id = t.tenant_id and x.shipment_id = t.shipment_id"
    ).fetchall()


def _named(conn: Connection, checks: dict[str, sql.Composed | sql.SQL]) -> list[Difference]:
    """Run checks, each a query of the keys that fail it."""
    found = []
    for what, query in checks.items():
        statement = sql.SQL("select count(*), min(f::text) from ({}) as f").format(query)
        row = conn.execute(statement).fetchone()
        if row is not None and row[0]:
            found.append(Difference(what, row[0], row[1].strip("()").replace(",", "/")))
    return found


def _key(row: Sequence[str]) -> str:
    return "/".join(row)


def verify_days(conn: Connection) -> list[Difference]:
    """Verify, once every chunk is, that the counts of days are those of their shipments."""
    return _named(conn, closing_checks())


def verify_landed(
    conn: Connection,
    backfill: Backfill,
    chunk: Chunk,
    feed: Feed,
    batches: Sequence[int],
    archive: Archive | None,
) -> Verdict:
    """Verify a chunk of a feed without a store: what landed against the ledger, and against the lake it came from."""
    statement = sql.SQL(
        "select count(*), coalesce(sum((extract(epoch from e.{at} - %s) * 1000000)::bigint), 0)::numeric,"
        " coalesce(sum(octet_length(e.event_id)), 0)::bigint from {table} as e"
        " where e.batch_id between %s and %s and e.batch_id = any(%s) and e.{at} >= %s and e.{at} < %s"
    ).format(at=sql.Identifier(feed.event_time), table=sql.Identifier("landing", feed.name))
    span = chunk.span
    values = (
        span.from_at, min(batches, default=0), max(batches, default=-1), list(batches), span.from_at, span.to_at,
    )  # fmt: skip
    row = conn.execute(statement, values).fetchone()
    assert row is not None
    found = (int(row[0]), int(row[1]), int(row[2]))
    expected = _landed_again(conn, backfill, chunk, feed, archive)
    differences = []
    if expected is not None and expected != found:
        differences.append(
            Difference(
                f"rows of {feed.name} are in landing, where the lake has {expected[0]:,}", found[0],
                f"sums of time {found[1]} and {expected[1]}",
            )
        )  # fmt: skip
    return Verdict(found[0], f"{found[1] % (1 << 64):016x}", tuple(differences))


def _landed_again(
    conn: Connection, backfill: Backfill, chunk: Chunk, feed: Feed, archive: Archive | None
) -> tuple[int, int, int] | None:
    """Read the same figures from the lake; None where the chunk did not come from it."""
    unarchived = conn.execute(
        "select from ops.backfill_batch as q join ops.batch as b using (batch_id)"
        " where q.backfill_id = %s and q.chunk = %s and b.source <> 'backfill' limit 1",
        (backfill.backfill_id, chunk.number),
    ).fetchone()
    if chunk.arm != "lake" or archive is None or unarchived is not None:
        return None
    rows = time_us = length = 0
    start_us = int((chunk.span.from_at - _EPOCH) / timedelta(microseconds=1))
    for batch in archive.scan(chunk.span, [feed.event_time, "event_id"]):
        rows += batch.num_rows
        since = pc.subtract(batch[feed.event_time].cast("int64"), start_us)
        time_us += int(pc.sum(since).as_py() or 0)
        length += int(pc.sum(pc.binary_length(batch["event_id"])).as_py() or 0)
    return rows, time_us, length
