"""Keeps attempts, and moves `ops.verified_through` over what passed without a gap.

`verified_through` is stored and only ever moves from where it stands: rows of attempts that are dropped later change
nothing about it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from psycopg.types.json import Jsonb

from quality.reconcile.model import Attempt, Connection, Difference, Verdict, Window
from quality.reconcile.windows import floor

KEPT = 200
"""So many differences, and so many repairs, of an attempt are kept in words; how many more there were is said."""


def record(conn: Connection, attempt: Attempt) -> int:
    """Keep an attempt under the next number of its window; return the number. The caller commits."""
    window = attempt.window
    plain = attempt.as_dict()
    if left_out := plain["differences"][KEPT:]:
        words = f"and {len(left_out)} more differences"
        more = Difference(left_out[0]["arm"], attempt.differences[KEPT].cause, words, len(left_out))
        plain["differences"][KEPT:] = [more.as_dict()]
    if left_out := plain["repairs"][KEPT:]:
        plain["repairs"][KEPT:] = [f"and {len(left_out)} more"]
    row = conn.execute(
        "insert into ops.reconciliation (feed, grain, window_start, window_end, attempt, verdict, counts, differences,"
        "  causes, repairs, checked_at, objects_digest)"
        " select %(feed)s, %(grain)s, %(start)s, %(end)s, coalesce(max(attempt), 0) + 1, %(verdict)s, %(counts)s,"
        "  %(differences)s, %(causes)s, %(repairs)s, %(at)s, %(digest)s"
        " from ops.reconciliation where feed = %(feed)s and grain = %(grain)s and window_start = %(start)s"
        " returning attempt",
        {
            "feed": window.feed,
            "grain": window.grain,
            "start": window.start,
            "end": window.end,
            "verdict": attempt.verdict.value,
            "counts": Jsonb(plain["counts"]),
            "differences": Jsonb(plain["differences"]),
            "causes": Jsonb(plain["causes"]),
            "repairs": Jsonb(plain["repairs"]),
            "at": attempt.at,
            "digest": attempt.objects_digest,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def newest(conn: Connection, window: Window) -> Attempt | None:
    """Return the newest attempt at a window, with its verdict, counts and repairs; without its differences."""
    row = conn.execute(
        "select verdict, checked_at, counts, repairs, attempt from ops.reconciliation"
        " where feed = %s and grain = %s and window_start = %s order by attempt desc limit 1",
        (window.feed, window.grain, window.start),
    ).fetchone()
    if row is None:
        return None
    verdict, at, counts, repairs, number = row
    return Attempt(window, Verdict(verdict), at, counts, repairs=tuple(repairs), number=number)


def advance(conn: Connection, feed: str, grain: str) -> datetime | None:
    """Move `verified_through` over the windows that hold, up to the first that does not; return where it stands.

    It begins at the feed's first batch, never at its first pass: what came before that would never be looked at.
    The caller commits. None where nothing is verified yet.
    """
    known = conn.execute(
        "select verified_through from ops.verified_through where feed = %s and grain = %s for update",
        (feed, grain),
    ).fetchone()
    start = known[0] if known else _first_window(conn, feed, grain)
    if start is None:
        return None
    through = _contiguous(conn, feed, grain, start)
    if known is None and through == start:
        return None
    conn.execute(
        "insert into ops.verified_through (feed, grain, verified_from, verified_through) values (%s, %s, %s, %s)"
        " on conflict (feed, grain) do update set verified_through = excluded.verified_through,"
        " updated_at = clock_timestamp() where verified_through.verified_through < excluded.verified_through",
        (feed, grain, start, through),
    )
    return through


def stand_at(conn: Connection, window: Window) -> None:
    """Move `verified_through` to the end of a window that says of everything before it, too, that it holds.

    The caller commits.
    """
    conn.execute(
        "insert into ops.verified_through (feed, grain, verified_from, verified_through) values (%s, %s, %s, %s)"
        " on conflict (feed, grain) do update set verified_through = excluded.verified_through,"
        " updated_at = clock_timestamp() where verified_through.verified_through < excluded.verified_through",
        (window.feed, window.grain, window.start, window.end),
    )


def _contiguous(conn: Connection, feed: str, grain: str, start: datetime) -> datetime:
    rows = conn.execute(
        "select window_start, window_end, verdict from ops.reconciliation_standing"
        " where feed = %s and grain = %s and window_start >= %s order by window_start",
        (feed, grain, start),
    ).fetchall()
    through = start
    for window_start, window_end, verdict in rows:
        if window_start != through or not Verdict(verdict).holds:
            break
        through = window_end
    return through.astimezone(UTC)


def _first_window(conn: Connection, feed: str, grain: str) -> datetime | None:
    row = conn.execute(
        "select least("
        " (select min(first_arrived_at) from ops.batch where feed = %(feed)s and source <> 'cdc'),"
        " (select min(window_start) from ops.reconciliation where feed = %(feed)s and grain = %(grain)s))",
        {"feed": feed, "grain": grain},
    ).fetchone()
    if row is None or row[0] is None:
        return None
    return floor(row[0], grain)
