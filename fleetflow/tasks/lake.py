"""What the lake's DAG calls: compaction every hour, maintenance once a day."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

Report = dict[str, Any]

MAINTENANCE_HOUR = 2

log = logging.getLogger("fleetflow.tasks.lake")


class UnreadableBatchesError(RuntimeError):
    """Raw objects of some batches could not be read; the message names each. Everything else went in."""


def compact_lake() -> Report | None:
    """Take what waits into the lake; None where another compaction was at work all the while, and takes it.

    Raises:
        UnreadableBatchesError: some batches stay out of the lake until their objects are there again.
    """
    from fleetflow.lake import compact
    from fleetflow.settings import load_settings
    from fleetflow.transform import PipelineBusyError

    feeds: dict[str, dict[str, int]] = {}
    left_out: dict[int, str] = {}
    try:
        for done in compact(load_settings()):
            for result in done.feeds:
                facts = feeds.setdefault(result.intake.feed, {"read": 0, "added": 0, "batches": 0})
                facts["read"] += result.intake.rows_read
                facts["added"] += result.intake.rows_added
                facts["batches"] += len(result.intake.batch_ids)
                left_out |= {one.batch.batch_id: one.reason for one in result.left_out}
    except PipelineBusyError as busy:
        log.info("%s", busy)
        if not feeds:
            return None
    if left_out:
        named = "; ".join(f"batch {batch}: {reason}" for batch, reason in sorted(left_out.items())[:20])
        raise UnreadableBatchesError(f"{len(left_out)} batches stay out of the lake: {named}")
    return {"feeds": feeds}


def is_maintenance_hour(start: datetime) -> bool:
    """Return whether the run that starts then also maintains the tables."""
    return start.hour == MAINTENANCE_HOUR


def maintain_tables() -> Report:
    """Merge the files of closed days, expire snapshots, remove orphans; return the counts by feed."""
    from fleetflow.lake import maintain_lake
    from fleetflow.settings import load_settings

    return {
        done.feed: {
            "days_merged": len(done.merged),
            "files_before": done.files_before,
            "files_after": done.files_after,
            "snapshots_expired": done.snapshots_expired,
            "orphans_removed": done.orphans_removed,
        }
        for done in maintain_lake(load_settings())
    }
