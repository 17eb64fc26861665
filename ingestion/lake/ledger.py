"""What compaction reads and writes in `ops`: claimed batches, announcements, and commits as they are settled.

A commit to an Iceberg table and one to the warehouse cannot be one. So a run announces what it is about to commit,
commits it under its own id (a property of the snapshot), and records it with the mark of its batches. What a crash
leaves between the two is an announcement: if the table has a snapshot of that run, its batches are in, and are
settled; if not, they are as if never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from ingestion.lake.objects import RawBatch

Connection = psycopg.Connection[tuple[Any, ...]]

# Behind what is live: a batch that could not be read must not keep others out of a claim.
_SET_ASIDE = 1


@dataclass(frozen=True)
class Intake:
    """What one run takes into one feed's table: rows read are rows added and rows repeated."""

    run_id: UUID
    feed: str
    batch_ids: tuple[int, ...]
    rows_read: int
    rows_added: int
    days: int
    seconds: float


def claimed_batches(conn: Connection, run_id: UUID) -> list[RawBatch]:
    """Return the batches that a run holds, oldest first."""
    rows = conn.execute(
        "select b.batch_id, b.feed, b.object_key, b.accepted from ops.pending_batch as p"
        " join ops.batch as b using (batch_id) where p.run_id = %s order by b.batch_id",
        (run_id,),
    ).fetchall()
    return [RawBatch(*row) for row in rows]


def announce(conn: Connection, intake: Intake) -> None:
    """Write down what is about to be committed."""
    conn.execute(
        "insert into ops.lake_announcement (run_id, feed, batch_ids, rows_read, rows_added, days, seconds)"
        " values (%s, %s, %s, %s, %s, %s, %s)",
        (intake.run_id, intake.feed, list(intake.batch_ids), *_figures(intake)),
    )


def announced(conn: Connection) -> list[Intake]:
    """Return what was announced and neither recorded nor found to be void."""
    rows = conn.execute(
        "select run_id, feed, batch_ids, rows_read, rows_added, days, seconds from ops.lake_announcement"
        " order by announced_at"
    ).fetchall()
    return [Intake(run_id, feed, tuple(ids), *rest) for run_id, feed, ids, *rest in rows]


def record(conn: Connection, intake: Intake, snapshot_id: int | None, *, void_others: bool = False) -> None:
    """Enter a commit and drop its announcement. The caller's transaction also marks the batches.

    With `void_others` the feed's other announcements are dropped: a commit of ours came before them, so that theirs,
    made for an older snapshot, can no longer succeed.
    """
    conn.execute(
        "insert into ops.lake_commit"
        " (run_id, feed, snapshot_id, batches, rows_read, rows_added, rows_repeated, days, seconds)"
        " values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
        (
            intake.run_id, intake.feed, snapshot_id, len(intake.batch_ids), intake.rows_read, intake.rows_added,
            intake.rows_read - intake.rows_added, intake.days, intake.seconds,
        ),
    )  # fmt: skip
    conn.execute(
        "delete from ops.lake_announcement where feed = %s and (run_id = %s or %s)",
        (intake.feed, intake.run_id, void_others),
    )


def settle(conn: Connection, intake: Intake, snapshot_id: int) -> None:
    """Record a commit whose run died before it could, and mark its batches, whoever holds them now."""
    with conn.transaction():
        record(conn, intake, snapshot_id)
        conn.execute(
            "with moved as (delete from ops.pending_batch"
            " where pipeline = 'lake' and batch_id = any(%s) returning pipeline, batch_id)"
            " insert into ops.transformed_batch (pipeline, batch_id, run_id)"
            " select pipeline, batch_id, %s from moved",
            (list(intake.batch_ids), intake.run_id),
        )


def set_aside(conn: Connection, batches: Sequence[RawBatch]) -> None:
    """Let go of batches that cannot be read: they wait, behind the others, until their objects are there again."""
    conn.execute(
        "update ops.pending_batch set run_id = null, priority = greatest(priority, %s)"
        " where pipeline = 'lake' and batch_id = any(%s)",
        (_SET_ASIDE, [batch.batch_id for batch in batches]),
    )


def _figures(intake: Intake) -> tuple[int, int, int, float]:
    return intake.rows_read, intake.rows_added, intake.days, intake.seconds
