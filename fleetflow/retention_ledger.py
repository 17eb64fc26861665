"""Retention of the ledger itself: rejects and batches by a feed's arrival day, and notes that account for nothing.

The guard is in the warehouse, with the deletion, in one transaction: see `ops.drop_ledger_day`.
"""

from __future__ import annotations

from collections.abc import Iterator

from fleetflow.retention import Action, Task
from fleetflow.runtime import Connection, connect

CHUNK_ROWS = 10_000
NOTES = {
    "check_result": "select count(*) from ops.check_result where checked_at < %(before)s",
    "alert": "select count(*) from ops.alert where raised_at < %(before)s and resolved_at < %(before)s",
    "cdc_pull": "select count(*) from ops.cdc_pull where started_at < %(before)s",
}
"""What the ledger notes about itself, and how many rows of it are past keeping."""
_CUTS = "select count(*) from ops.shard_cut where coalesce(first_arrived_at, cut_at) < %(before)s"


def drop_rejects(task: Task) -> Iterator[Action]:
    """Delete refused lines day by day of their arrival, those still open too."""
    yield from _drop_days(task, "rejects")


def drop_batches(task: Task) -> Iterator[Action]:
    """Delete batches day by day with all that hangs on them, then the cuts of which no batch is left."""
    yield from _drop_days(task, "batches")
    yield from _drop_rows(
        task, "batches", "shard_cut", _CUTS, "select ops.expire_cuts(%(before)s, %(chunk)s)"
    )


def drop_notes(task: Task) -> Iterator[Action]:
    """Delete old check results, CDC pulls, and alerts that are over."""
    for table, count in NOTES.items():
        delete = "select ops.expire_rows(%(table)s, %(before)s, %(chunk)s)"
        yield from _drop_rows(task, "ledger", table, count, delete)


def _drop_days(task: Task, area: str) -> Iterator[Action]:
    with connect(task.settings.dsn("loader"), autocommit=True) as conn:
        for feed in _feeds(conn):
            days = conn.execute(
                "select d.day, ops.ledger_refusal(%(feed)s, %(area)s, d.day)"
                " from ops.ledger_days(%(feed)s, %(area)s, %(before)s) as d (day)",
                {"feed": feed, "area": area, "before": task.before(area)},
            ).fetchall()
            for day, refusal in days:
                subject = f"{area}.{feed}_{day:%Y%m%d}"
                if task.dry_run:
                    words = "would refuse" if refusal else "would drop"
                    yield Action(area, subject, words, refusal or "past its days")
                    continue
                task.step(f"{area} day")
                conn.execute("select ops.drop_ledger_day(%s, %s, %s)", (feed, area, day))
                task.step(f"{area} day done")
                row = conn.execute(
                    "select action, reason, row_count from ops.retention_action"
                    " where area = %s and subject = %s order by retention_action_id desc limit 1",
                    (area, subject),
                ).fetchone()
                assert row is not None
                yield Action(area, subject, *row)


def _feeds(conn: Connection) -> list[str]:
    """Every feed that a batch can be of; without a look at all batches."""
    rows = conn.execute(
        "with recursive known as ("
        " (select feed from ops.batch order by feed limit 1)"
        " union all"
        " select (select b.feed from ops.batch as b where b.feed > k.feed order by b.feed limit 1)"
        " from known as k where k.feed is not null)"
        " select feed from known where feed is not null"
    ).fetchall()
    return [feed for (feed,) in rows]


def _drop_rows(task: Task, area: str, table: str, count: str, delete: str) -> Iterator[Action]:
    """Delete rows chunk by chunk; a chunk goes with its entry in retention's ledger, or stays."""
    values = {"table": table, "before": task.before(area), "chunk": CHUNK_ROWS}
    with connect(task.settings.dsn("loader"), autocommit=True) as conn:
        while True:
            with conn.transaction():
                row = conn.execute((count if task.dry_run else delete).encode(), values).fetchone()
                assert row is not None
                if not row[0]:
                    return
                done = task.keep(conn, Action(area, f"ops.{table}", "dropped", "past its days", row[0]))
                task.step("notes chunk")
            yield done
            if task.dry_run:
                return
