"""What the backfill's DAG calls: bring a range back, or only verify what the marts hold of a day.

Light to import. A backfill of the DAG waits for the micro-batch's runs and does none itself, unless it is told to.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

Report = dict[str, Any]

RUNBOOK = "docs/runbooks/load__history__backfill.md"


class DifferencesError(RuntimeError):
    """What the tables hold is not what landed; the message names each difference."""


def backfill_range(
    feed: str,
    from_at: str,
    to_at: str,
    *,
    dry_run: bool = False,
    max_rows: int | None = None,
    transform_here: bool = False,
    requested_by: str = "airflow",
) -> Report:
    """Land, build and verify a range of a feed again, or go on with it; `dry_run` only counts.

    Raises:
        BackfillError: it cannot go on; the message says why and what to do.
        DifferencesError: differences remain.
    """
    from fleetflow.backfill import Request, plan_backfill, run_backfill
    from fleetflow.settings import load_settings
    from ingestion.backfill.model import Span, parse_instant
    from ingestion.backfill.plan import ROWS_PER_CHUNK

    settings = load_settings()
    span = Span(parse_instant(from_at), parse_instant(to_at))
    request = Request(feed, span, requested_by, max_rows or ROWS_PER_CHUNK)
    if dry_run:
        plan = plan_backfill(settings, request)
        arms = {arm: plan.rows_from(arm) for arm in ("landing", "lake")}
        return {
            "dry_run": True,
            "rows": plan.rows,
            "chunks": len(plan.chunks),
            "bytes": plan.size_bytes,
            **arms,
        }
    outcome = run_backfill(settings, request, drive=transform_here)
    if outcome.state != "done":
        raise DifferencesError(f"backfill {outcome.backfill_id}: {'; '.join(outcome.failures)}")
    return {
        "backfill_id": outcome.backfill_id,
        "rows": outcome.progress.rows_verified,
        "chunks": outcome.progress.chunks,
        "rows_per_s": round(outcome.progress.rows_per_s),
    }


def had_landed(moment: datetime) -> bool:
    """Tell whether anything had landed by a moment."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        return bool(
            conn.execute("select exists (select from ops.batch where landed_at < %s)", (moment,)).fetchall()[
                0
            ][0]
        )


def verify_day(day: str) -> Report:
    """Compare the stores and marts with what landed of a day (YYYY-MM-DD, UTC); changes nothing.

    Raises:
        DifferencesError: they differ, or landing no longer has the day whole, so that it could not be counted.
    """
    from datetime import date

    from fleetflow.backfill import verify_range
    from fleetflow.settings import load_settings
    from ingestion.backfill.model import BackfillError, day_span
    from ingestion.backfill.verify import STORES

    settings = load_settings()
    counted: dict[str, int] = {}
    found: list[str] = []
    for feed in STORES:
        try:
            verdict = verify_range(settings, feed, day_span(date.fromisoformat(day)))
        except BackfillError as fault:
            found.append(f"{feed}: {fault}")
            continue
        counted[feed] = verdict.rows
        found += [f"{feed}: {difference}" for difference in verdict.differences]
    if found:
        raise DifferencesError(f"{day}: {'; '.join(found)}")
    return {"day": day, "verified": counted}
