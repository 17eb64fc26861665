"""Retention in the warehouse: landing's daily partitions."""

from __future__ import annotations

from collections.abc import Iterator

from fleetflow.retention import Action, Task
from fleetflow.runtime import connect


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
