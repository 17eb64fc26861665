"""Which windows are due: closed, and not verified yet, or changed since they were."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from quality.reconcile.model import STEPS, Connection, Window

CLOSES_AFTER = timedelta(minutes=5)
"""A window is closed so long after its end: what arrived in it has had time to land."""
LOOK_BACK = timedelta(days=3)
"""How far back it is looked for batches that landed in a window, however old, after it was counted."""


def floor(at: datetime, grain: str) -> datetime:
    """Return the start of the window that a moment lies in, in UTC."""
    at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return at if grain == "hour" else at.replace(hour=0)


def closed_until(now: datetime, grain: str) -> datetime:
    """Return the end of the newest closed window."""
    return floor(now - CLOSES_AFTER, grain)


def span(feed: str, grain: str, start: datetime, end: datetime) -> list[Window]:
    """Return the windows that lie in a range, oldest first."""
    step, at, found = STEPS[grain], floor(start, grain), []
    while at + step <= end:
        found.append(Window(feed, grain, at, at + step))
        at += step
    return found


def due_windows(
    conn: Connection,
    feeds: Sequence[str],
    grain: str,
    now: datetime,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
) -> list[Window]:
    """Return the closed windows to count, by feed, oldest first.

    With a range, every closed window in it of which the ledger still holds all. Without, those after
    `verified_through` (a feed's first is that of its first batch) but for what passed meanwhile, those that do not
    hold, and those into which a batch came since.
    """
    limit = closed_until(now, grain)
    found: list[Window] = []
    for feed in feeds:
        if from_at is not None or to_at is not None:
            first = from_at or _first_arrival(conn, feed) or limit
            kept = _kept_from(conn, feed)
            found += span(feed, grain, max(first, kept) if kept else first, min(to_at or limit, limit))
            continue
        start = _verified_through(conn, feed, grain) or _first_arrival(conn, feed)
        passed = _passed(conn, feed, grain)
        after = [w for w in span(feed, grain, start, limit) if w.start not in passed] if start else []
        changed = set(_changed(conn, feed, grain, now - LOOK_BACK)) - {w.start for w in after}
        reopened = [
            Window(feed, grain, at, at + STEPS[grain]) for at in changed if at + STEPS[grain] <= limit
        ]
        found += sorted([*after, *reopened], key=lambda window: window.start)
    return found


def _first_arrival(conn: Connection, feed: str) -> datetime | None:
    row = conn.execute(
        "select min(first_arrived_at) from ops.batch where feed = %s and source <> 'cdc'", (feed,)
    ).fetchone()
    return row[0] if row else None


def _kept_from(conn: Connection, feed: str) -> datetime | None:
    """Return from when on the ledger holds all batches of a feed; None where retention never dropped any."""
    row = conn.execute(
        "select max(to_date(right(subject, 8), 'YYYYMMDD') + 1)::timestamp at time zone 'UTC'"
        " from ops.retention_action where area = 'batches' and action = 'dropped' and subject like %s",
        (f"batches.{feed}\\_________",),
    ).fetchone()
    return row[0] if row else None


def _verified_through(conn: Connection, feed: str, grain: str) -> datetime | None:
    row = conn.execute(
        "select verified_through from ops.verified_through where feed = %s and grain = %s", (feed, grain)
    ).fetchone()
    return row[0] if row else None


def _passed(conn: Connection, feed: str, grain: str) -> set[datetime]:
    rows = conn.execute(
        "select s.window_start from ops.reconciliation_standing as s where s.feed = %s and s.grain = %s"
        " and s.verdict in ('passed', 'repaired')"
        " and s.window_start >= coalesce((select v.verified_through from ops.verified_through as v"
        "  where v.feed = s.feed and v.grain = s.grain), '-infinity')",
        (feed, grain),
    ).fetchall()
    return {row[0].astimezone(UTC) for row in rows}


def _changed(conn: Connection, feed: str, grain: str, since: datetime) -> list[datetime]:
    """Windows that got a batch after they were counted, or do not hold any more.

    A partner's file that was held lands under its arrival, days ago: it is looked for by when it landed.
    """
    rows = conn.execute(
        "with late as materialized ("
        "  select date_trunc(%(grain)s, b.first_arrived_at, 'UTC') as window_start, max(b.landed_at) as landed_at"
        "  from ops.batch as b"
        "  where b.landed_at > %(since)s and b.feed = %(feed)s and b.source <> 'cdc' group by 1)"
        " select s.window_start from ops.reconciliation_standing as s"
        "  where s.feed = %(feed)s and s.grain = %(grain)s and s.verdict not in ('passed', 'repaired')"
        " union"
        " select l.window_start from late as l join ops.reconciliation_standing as s"
        "  on s.feed = %(feed)s and s.grain = %(grain)s and s.window_start = l.window_start"
        " where l.landed_at > s.checked_at",
        {"feed": feed, "grain": grain, "since": since},
    ).fetchall()
    return [row[0].astimezone(UTC) for row in rows]
