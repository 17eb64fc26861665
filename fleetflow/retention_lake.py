"""Retention of the lake: whole days of events, dropped from the Iceberg tables by their metadata.

The ledger is told first: what it calls dropped and still lies there is dropped by the next run, and counted once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from domain.contracts import FEEDS
from fleetflow.retention import Action, Task
from fleetflow.runtime import Connection, connect

if TYPE_CHECKING:
    from ingestion.lake.read import DayFiles
    from ingestion.lake.tables import Lake


def drop_days(task: Task) -> Iterator[Action]:
    """Drop the days of events that are past keeping and guarded by nothing."""
    from fleetflow.lake import open_lake
    from ingestion.lake.read import days

    lake, before = open_lake(task.settings), task.before("lake").date()
    with connect(task.settings.dsn("loader"), autocommit=True) as conn:
        for feed in FEEDS:
            if lake.find(feed) is None:
                continue
            for day in [found for found in days(lake, feed) if found.day < before]:
                yield _drop(task, conn, lake, feed, day)


def _drop(task: Task, conn: Connection, lake: Lake, feed: str, day: DayFiles) -> Action:
    from ingestion.lake.maintain import drop_day
    from ingestion.lake.read import days
    from quality.reconcile.lake import read_books

    subject = f"lake.{feed} {day.day.isoformat()}"
    books = said, announced = read_books(conn, feed)
    there = sum(found.rows for found in days(lake, feed))
    refusal = _refusal(conn, feed, day)
    if refusal is None and (announced or read_books(conn, feed) != books):
        refusal = "a compaction is at work"  # what lies there and what the books say is not of one moment
    if refusal:
        return task.keep(conn, Action("lake", subject, "refused", refusal, day.rows, day.size_bytes))
    told = min(max(there - said, 0), day.rows)
    done = Action("lake", subject, "dropped", "past its days", day.rows - told, day.size_bytes)
    if task.dry_run or done.row_count:
        done = task.keep(conn, done)
    task.step("lake told")
    if not task.dry_run:
        drop_day(lake, feed, day.day)
        task.step("lake dropped")
    return done


def _refusal(conn: Connection, feed: str, day: DayFiles) -> str | None:
    """Say what stands against it: arrivals of that time, later arrivals with events of the day, a hold."""
    start = datetime(day.day.year, day.day.month, day.day.day, tzinfo=UTC)
    row = conn.execute(
        "select coalesce(ops.unverified(%(feed)s, %(end)s),"
        " ops.unverified_events(%(feed)s, %(start)s, %(end)s), ops.held_by(%(feed)s, %(start)s, %(end)s))",
        {"feed": feed, "start": start, "end": start + timedelta(days=1)},
    ).fetchone()
    return str(row[0]) if row and row[0] else None
