"""Retention in the warehouse: landing's daily partitions, and what the ledger keeps about itself."""

from __future__ import annotations

from collections.abc import Iterator

from fleetflow.retention import Action, Task
from fleetflow.runtime import connect

NOTES = ("check_result", "alert", "cdc_pull")
CHUNK_ROWS = 10_000


def drop_days(task: Task) -> Iterator[Action]:
    """Drop the partitions that are past keeping, each in a transaction of its own: who lands waits for none but it."""
    with connect(task.settings.dsn("loader"), autocommit=True) as conn:
        days = conn.execute(
            "select feed, day, ops.landing_refusal(feed, day) from ops.landing_days(%s, %s)",
            (task.policy.landing, task.as_of),
        ).fetchall()
        for feed, day, refusal in days:
            subject = f"landing.{feed}_{day:%Y%m%d}"
            if task.dry_run:
                words = "would refuse" if refusal else "would drop"
                yield Action("landing", subject, words, refusal or "past its days")
                continue
            task.step("landing day")
            conn.execute("select ops.drop_landing_day(%s, %s)", (feed, day))
            row = conn.execute(
                "select action, reason, row_count, size_bytes from ops.retention_action"
                " where area = 'landing' and subject = %s order by retention_action_id desc limit 1",
                (subject,),
            ).fetchone()
            task.step("landing day done")
            if row is not None:
                yield Action("landing", subject, *row)


def drop_notes(task: Task) -> Iterator[Action]:
    """Delete old check results, alerts, and CDC pulls, in chunks."""
    before = task.before("ledger")
    with connect(task.settings.dsn("loader"), autocommit=True) as conn:
        for table in NOTES:
            if task.dry_run:
                continue
            total = 0
            while True:
                row = conn.execute(
                    "select ops.expire_rows(%s, %s, %s)", (table, before, CHUNK_ROWS)
                ).fetchone()
                assert row is not None
                total += row[0]
                task.step("notes chunk")
                if row[0] < CHUNK_ROWS:
                    break
            if total:
                yield task.keep(conn, Action("ledger", f"ops.{table}", "dropped", "past its days", total))
