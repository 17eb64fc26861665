"""From when on landing has all that vehicles sent; what happened before then has to be read from the lake as well.

Landing's days are of arrival, the lake's of the event. A day goes from landing when the lake has its rows: retention
asks for that, nothing here does.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from domain.contracts.wire import FUTURE_TOLERANCE_S
from fleetflow.runtime import Connection

CLOCK_AHEAD = timedelta(seconds=FUTURE_TOLERANCE_S)
"""How far the time of an event may lie beyond its arrival: what arrives on a day may be of the next."""


def landing_keeps_since(conn: Connection, feed: str) -> datetime:
    """Return the start of the oldest day of which landing still has what arrived; tomorrow, if it has no day."""
    ((first,),) = conn.execute(
        "select coalesce(min(to_date(right(c.relname, 8), 'YYYYMMDD')), current_date + 1)::timestamp at time zone 'UTC'"
        " from pg_inherits as i join pg_class as c on c.oid = i.inhrelid"
        " where i.inhparent = format('landing.%%I', %s::text)::regclass and c.relname ~ '_[0-9]{8}$'",
        (feed,),
    ).fetchall()
    kept: datetime = first
    return kept


def landing_has_all_since(conn: Connection, feed: str) -> datetime:
    """Return the event time from which on nothing of a feed is gone from landing."""
    return landing_keeps_since(conn, feed) + CLOCK_AHEAD
