"""Brings a chunk's rows back to where the pipelines take them, in one transaction with the chunk's state.

From landing: nothing is copied; the batches that hold events of the chunk are queued again, behind what is live. From
the lake: the rows are copied into landing as batches of source `backfill`, arrived now, whose ledger entries queue
them. A process that dies before the commit leaves nothing; one that dies after it leaves the chunk `landed`.
Assumed: the caller holds the backfill alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import sql

from domain.contracts.arrow import arrow_schema
from domain.contracts.decode import Rows
from domain.contracts.model import Feed
from ingestion.backfill.model import Archive, ArmGoneError, Backfill, BackfillError, Chunk, Connection
from ingestion.backfill.plan import CANDIDATES
from ingestion.landing.ledger import BatchEntry, Cut, Ledger, copy_rows, write_entries

SOURCE = "backfill"
# A claim takes a bounded number of backfilled rows beside the live ones, so batches have to be smaller than that.
ROWS_PER_BATCH = 50_000

# The pipelines that make tables of a feed. The lake is not one: what is queued again is in it, or comes from it.
_PIPELINES = "select pipeline from ops.pipeline_feed where feed = %(feed)s and pipeline <> 'lake'"


def queue_landed(conn: Connection, backfill: Backfill, chunk: Chunk, feed: Feed) -> int:
    """Queue again the batches that hold events of a chunk; return the chunk's rows in landing.

    A batch is queued once in a backfill, by the first chunk that needs it; one that still waits stays as it is.

    Raises:
        ArmGoneError: a batch is no longer whole in landing; nothing was queued.
    """
    with conn.transaction():
        rows, gone = _look_again(conn, chunk, feed)
        if gone:
            raise ArmGoneError(
                f"{feed.name}: landing no longer has all rows of {len(gone)} batches (such as {gone[0]})"
            )
        ids = [batch_id for batch_id, _ in _candidates(conn, chunk, feed)]
        _queue(conn, backfill, chunk, feed, ids)
        _advance(conn, backfill, chunk, rows)
    return rows


def _candidates(conn: Connection, chunk: Chunk, feed: Feed) -> list[tuple[int, int]]:
    bounds = {"feed": feed.name, "from_at": chunk.span.from_at, "to_at": chunk.span.to_at}
    rows = conn.execute(f"select batch_id, accepted from ({CANDIDATES}) as c order by 1".encode(), bounds)
    return [(batch_id, accepted) for batch_id, accepted in rows.fetchall()]


def _look_again(conn: Connection, chunk: Chunk, feed: Feed) -> tuple[int, list[int]]:
    """Count the chunk's rows in landing, and name the batches of which landing lacks any."""
    known = dict(_candidates(conn, chunk, feed))
    if not known:
        return 0, []
    statement = sql.SQL(
        "select e.batch_id, count(*), count(*) filter (where e.{at} >= %s and e.{at} < %s) from {table} as e"
        " where e.batch_id between %s and %s and e.batch_id = any(%s) group by 1"
    ).format(at=sql.Identifier(feed.event_time), table=sql.Identifier("landing", feed.name))
    values = (chunk.span.from_at, chunk.span.to_at, min(known), max(known), list(known))
    found = {
        batch_id: (total, inside) for batch_id, total, inside in conn.execute(statement, values).fetchall()
    }
    gone = [batch_id for batch_id, accepted in known.items() if found.get(batch_id, (0, 0))[0] != accepted]
    return sum(inside for _, inside in found.values()), gone


def _queue(conn: Connection, backfill: Backfill, chunk: Chunk, feed: Feed, ids: Sequence[int]) -> None:
    """Enter batches for the backfill, and hand those that are new to it to the pipelines."""
    new = [
        batch_id
        for (batch_id,) in conn.execute(
            "insert into ops.backfill_batch (backfill_id, batch_id, chunk) select %s, unnest(%s::bigint[]), %s"
            " on conflict do nothing returning batch_id",
            (backfill.backfill_id, list(ids), chunk.number),
        ).fetchall()
    ]
    requeue(conn, feed.name, new)


def requeue(conn: Connection, feed: str, ids: Sequence[int]) -> None:
    """Hand transformed batches to the pipelines once more, behind what is live. Within the caller's transaction."""
    values = {"feed": feed, "ids": list(ids)}
    conn.execute(
        f"delete from ops.transformed_batch where batch_id = any(%(ids)s) and pipeline in ({_PIPELINES})".encode(),
        values,
    )
    conn.execute(
        "insert into ops.pending_batch (pipeline, batch_id, priority) select p.pipeline, unnest(%(ids)s::bigint[]), 1"
        f" from ({_PIPELINES}) as p on conflict do nothing".encode(),
        values,
    )


def _advance(conn: Connection, backfill: Backfill, chunk: Chunk, rows: int) -> None:
    moved = conn.execute(
        "update ops.backfill_chunk set state = 'landed', arm = 'landing', rows_landed = %s, error = null,"
        " heartbeat_at = clock_timestamp() where backfill_id = %s and chunk = %s and state = 'waiting'",
        (rows, backfill.backfill_id, chunk.number),
    ).rowcount
    if not moved:
        raise BackfillError(f"chunk {chunk.number} of backfill {backfill.backfill_id} is no longer waiting")


def queue_unarchived(conn: Connection, backfill: Backfill, chunk: Chunk, feed: Feed) -> None:
    """Queue what landing has of a chunk and the lake has not yet; done before the chunk is copied from the lake."""
    with conn.transaction():
        known = [batch_id for batch_id, _ in _candidates(conn, chunk, feed)]
        missing = conn.execute(
            "select i.batch_id from unnest(%s::bigint[]) as i (batch_id) where not exists ("
            " select from ops.transformed_batch as t where t.pipeline = 'lake' and t.batch_id = i.batch_id)",
            (known,),
        ).fetchall()
        _queue(conn, backfill, chunk, feed, [batch_id for (batch_id,) in missing])


def copy_chunk(
    ledger: Ledger,
    backfill: Backfill,
    chunk: Chunk,
    feed: Feed,
    archive: Archive,
    worker: str,
    rows_per_batch: int = ROWS_PER_BATCH,
) -> int:
    """Copy a chunk from the lake into landing, in one transaction; return its rows. Memory: one batch.

    Raises:
        BackfillError: the chunk is not waiting; nothing was landed.
    """
    rows = 0
    with ledger.transaction() as cursor:
        for table in _portions(archive.scan(chunk.span), feed, rows_per_batch):
            _land_table(cursor, backfill, chunk, feed, table, worker)
            rows += table.num_rows
        cursor.execute(
            "update ops.backfill_chunk set state = 'landed', rows_landed = $1, heartbeat_at = clock_timestamp(),"
            " error = null where backfill_id = $2 and chunk = $3 and state = 'waiting' returning 1",
            (rows, backfill.backfill_id, chunk.number),
        )
        if cursor.fetchone() is None:
            raise BackfillError(
                f"chunk {chunk.number} of backfill {backfill.backfill_id} is no longer waiting"
            )
    return rows


def _land_table(
    cursor: Any, backfill: Backfill, chunk: Chunk, feed: Feed, table: pa.Table, worker: str
) -> None:
    count = table.num_rows
    rows = Rows(feed, table, np.zeros(count, np.int64), np.arange(count, dtype=np.int64))
    cut = Cut([""], np.asarray([int(datetime.now(UTC).timestamp() * 1_000_000)], np.int64))
    entry = BatchEntry(
        source=SOURCE, feed=feed.name, stream=None, shard=None, first_sequence=None, last_sequence=None,
        records=0, worker=worker, epoch=None, rows=rows, refusals=(),
    )  # fmt: skip
    ids = copy_rows(cursor, [entry], cut)
    write_entries(cursor, ids, [entry], cut)
    cursor.execute(
        "insert into ops.backfill_batch (backfill_id, batch_id, chunk) values ($1, $2, $3)",
        (backfill.backfill_id, ids[0], chunk.number),
    )
    cursor.execute(
        "update ops.batch set backfill_id = $1 where batch_id = $2", (backfill.backfill_id, ids[0])
    )


def _portions(batches: Iterator[pa.RecordBatch], feed: Feed, rows_per_batch: int) -> Iterator[pa.Table]:
    """Gather what the lake gives into tables of about rows_per_batch rows, in the contract's columns and types."""
    schema = arrow_schema(feed)
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        for start in range(0, batch.num_rows, rows_per_batch):
            part = batch.slice(start, rows_per_batch)
            waiting.append(part)
            rows += part.num_rows
            if rows >= rows_per_batch:
                yield _conformed(waiting, schema)
                waiting, rows = [], 0
    if rows:
        yield _conformed(waiting, schema)


def _conformed(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(batches).select(schema.names).cast(schema)
