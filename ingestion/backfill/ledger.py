"""What the warehouse remembers of backfills: ops.backfill, ops.backfill_chunk, ops.backfill_batch.

A chunk's states: waiting -> landed -> transformed -> verified; failed where the verification named differences that
could not be mended. Every transition is one transaction, so a process that dies leaves a state from which the same
command goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ingestion.backfill.model import Backfill, BackfillError, BusyError, Chunk, Connection, Span
from ingestion.backfill.plan import CANDIDATES, Plan

_COLUMNS = "backfill_id, feed, from_at, to_at, state, requested_by, rows_per_chunk"


def find_unfinished(conn: Connection, feed: str, span: Span) -> Backfill | None:
    """Return the backfill of exactly this range that is open, or failed and can be tried again."""
    row = conn.execute(
        f"select {_COLUMNS} from ops.backfill where feed = %s and from_at = %s and to_at = %s"
        " order by backfill_id desc limit 1".encode(),
        (feed, span.from_at, span.to_at),
    ).fetchone()
    if row is None or row[4] not in ("open", "failed"):
        return None
    return Backfill(row[0], row[1], Span(row[2], row[3]), *row[4:])


def record_plan(conn: Connection, plan: Plan, requested_by: str, rows_per_chunk: int) -> Backfill:
    """Enter a backfill with all its chunks, in one transaction."""
    with conn.transaction():
        row = conn.execute(
            "insert into ops.backfill (feed, from_at, to_at, requested_by, rows_per_chunk)"
            " values (%s, %s, %s, %s, %s) returning backfill_id",
            (plan.feed, plan.span.from_at, plan.span.to_at, requested_by, rows_per_chunk),
        ).fetchone()
        assert row is not None
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into ops.backfill_chunk (backfill_id, chunk, from_at, to_at, arm, rows_expected)"
                " values (%s, %s, %s, %s, %s, %s)",
                [(row[0], c.number, c.span.from_at, c.span.to_at, c.arm, c.rows) for c in plan.chunks],
            )
    return Backfill(row[0], plan.feed, plan.span, "open", requested_by, rows_per_chunk)


@contextmanager
def exclusive(conn: Connection, backfill: Backfill) -> Iterator[None]:
    """Keep every other process off the backfill; the lock ends with the connection at the latest.

    Raises:
        BusyError: another one is at work on it.
    """
    key = f"fleetflow.backfill.{backfill.backfill_id}"
    row = conn.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)).fetchone()
    if row is None or not row[0]:
        raise BusyError(
            f"backfill {backfill.backfill_id} is being worked on by another process;"
            f" `fleetflow backfill show {backfill.backfill_id}` shows how far it is"
        )
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))


def read_chunks(conn: Connection, backfill_id: int) -> list[tuple[Chunk, str]]:
    """Return the chunks in order, each with its state."""
    rows = conn.execute(
        "select chunk, from_at, to_at, arm, rows_expected, state from ops.backfill_chunk"
        " where backfill_id = %s order by chunk",
        (backfill_id,),
    ).fetchall()
    return [(Chunk(n, Span(start, end), arm, rows), state) for n, start, end, arm, rows, state in rows]


def is_open(conn: Connection, backfill_id: int) -> bool:
    """Tell whether the backfill still goes on: somebody may have cancelled it."""
    return bool(
        conn.execute(
            "select from ops.backfill where backfill_id = %s and state = 'open'", (backfill_id,)
        ).rowcount
    )


def batches_of(conn: Connection, backfill_id: int, span: Span) -> list[int]:
    """Return the queued batches that may hold events of a chunk."""
    rows = conn.execute(
        "select b.batch_id from ops.backfill_batch as q join ops.batch as b using (batch_id)"
        " where q.backfill_id = %s and coalesce(b.max_event_time, 'infinity') >= %s"
        " and coalesce(b.min_event_time, '-infinity') < %s order by 1",
        (backfill_id, span.from_at, span.to_at),
    ).fetchall()
    return [batch_id for (batch_id,) in rows]


def transformed_batches(conn: Connection, feed: str, span: Span) -> list[int]:
    """Return the batches that may hold events of a range and that no pipeline but the lake's waits for."""
    rows = conn.execute(
        f"select c.batch_id from ({CANDIDATES}) as c where not exists (select from ops.pending_batch as p"
        " where p.batch_id = c.batch_id and p.pipeline <> 'lake') order by 1".encode(),
        {"feed": feed, "from_at": span.from_at, "to_at": span.to_at},
    ).fetchall()
    return [batch_id for (batch_id,) in rows]


def count_pending(conn: Connection, batches: Sequence[int]) -> tuple[int, str | None]:
    """Return how many batches wait to be transformed, and why a run holds any of them."""
    row = conn.execute(
        "select count(*), max('run ' || r.run_id || ' is held: ' || r.error) filter (where r.state = 'held')"
        " from ops.pending_batch as p left join ops.transform_run as r using (run_id)"
        " where p.pipeline <> 'lake' and p.batch_id = any(%s)",
        (list(batches),),
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def mark_chunk(conn: Connection, backfill_id: int, chunk: int, before: str, after: str) -> None:
    """Move a chunk from one state to the next.

    Raises:
        BackfillError: it is not in that state.
    """
    moved = conn.execute(
        "update ops.backfill_chunk set state = %s, heartbeat_at = clock_timestamp(), error = null"
        " where backfill_id = %s and chunk = %s and state = %s",
        (after, backfill_id, chunk, before),
    ).rowcount
    if not moved:
        raise BackfillError(f"chunk {chunk} of backfill {backfill_id} is no longer {before}")


def mark_verified(conn: Connection, backfill_id: int, chunk: int, content_hash: str) -> None:
    """Enter that a chunk's rows are what they had to be."""
    conn.execute(
        "update ops.backfill_chunk set state = 'verified', content_hash = %s, heartbeat_at = clock_timestamp(),"
        " error = null where backfill_id = %s and chunk = %s",
        (content_hash, backfill_id, chunk),
    )


def mark_failed(conn: Connection, backfill_id: int, chunk: int, error: str) -> None:
    """Enter why a chunk could not be verified; the same command tries it again."""
    conn.execute(
        "update ops.backfill_chunk set state = 'failed', error = left(%s, 4000), heartbeat_at = clock_timestamp()"
        " where backfill_id = %s and chunk = %s",
        (error, backfill_id, chunk),
    )


def reopen(conn: Connection, backfill_id: int) -> None:
    """Let a failed backfill, and its failed chunks, begin anew: their batches are queued once more."""
    with conn.transaction():
        conn.execute(
            "update ops.backfill set state = 'open', ended_at = null, reason = null"
            " where backfill_id = %s and state = 'failed'",
            (backfill_id,),
        )
        failed = [chunk for chunk, state in read_chunks(conn, backfill_id) if state == "failed"]
        for chunk in failed:
            conn.execute(
                "delete from ops.backfill_batch where backfill_id = %s and batch_id = any(%s)",
                (backfill_id, batches_of(conn, backfill_id, chunk.span)),
            )
        conn.execute(
            "update ops.backfill_chunk set state = 'waiting', repairs = 0 where backfill_id = %s and state = 'failed'",
            (backfill_id,),
        )


def read_repairs(conn: Connection, backfill_id: int, chunk: int) -> int:
    """Return how often the store was mended for a chunk."""
    row = conn.execute(
        "select repairs from ops.backfill_chunk where backfill_id = %s and chunk = %s", (backfill_id, chunk)
    ).fetchone()
    assert row is not None
    return int(row[0])


def switch_to_lake(conn: Connection, backfill_id: int, chunk: int) -> None:
    """Take a chunk from the lake after all: its rows left landing since the plan was made."""
    conn.execute(
        "update ops.backfill_chunk set arm = 'lake' where backfill_id = %s and chunk = %s and state = 'waiting'",
        (backfill_id, chunk),
    )


def close(conn: Connection, backfill_id: int, state: str, reason: str | None = None) -> bool:
    """End a backfill that is open or failed; return whether it was."""
    return bool(
        conn.execute(
            "update ops.backfill set state = %s, reason = left(%s, 4000), ended_at = clock_timestamp()"
            " where backfill_id = %s and state in ('open', 'failed')",
            (state, reason, backfill_id),
        ).rowcount
    )
