"""What is expected of a partner, held against what came: which file served which delivery, and which one is missing.

`ops.partner_watch` says since when a partner is watched; nothing before that is ever missing. A delivery that did not
come is a row `missing`; the first file that serves it later takes over that row, as late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ingestion.partners.declare.model import Declaration
from ingestion.partners.fetch.arrival import Served, expected_at, next_expected, serve
from ingestion.partners.ledger import (
    Connection,
    Listed,
    PartnerFile,
    find_files,
    move,
    note,
    note_seen,
)
from ingestion.partners.states import State

HORIZON = timedelta(days=40)


@dataclass(frozen=True)
class Watch:
    """Since when a partner is watched, and when it was last looked at before now."""

    watched_from: datetime
    looked_at: datetime


def look(conn: Connection, declaration: Declaration, now: datetime) -> Watch:
    """Note that the partner is looked at now; return what held before."""
    row = conn.execute(
        "insert into ops.partner_watch as w (partner, watched_from, judged_through, looked_at)"
        " values (%(partner)s, %(now)s, %(now)s, %(now)s)"
        " on conflict (partner) do update set looked_at = excluded.looked_at"
        " returning watched_from, coalesce("
        "(select looked_at from ops.partner_watch where partner = %(partner)s), w.looked_at)",
        {"partner": declaration.name, "now": now},
    ).fetchone()
    assert row is not None
    return Watch(*row)


def enter(
    conn: Connection,
    declaration: Declaration,
    listed: Listed,
    known: Mapping[str, Sequence[PartnerFile]],
    watch: Watch,
    now: datetime,
) -> PartnerFile:
    """Enter a listed file. A name of its own serves an expected delivery; a name that came before serves none."""
    came = min(max(listed.modified_at, watch.looked_at), now)
    if listed.name in known:
        return note_seen(conn, declaration, listed, came, now)
    served = _served_by(conn, declaration, watch, came, now)
    if served is None:
        return note_seen(conn, declaration, listed, came, now)
    for missing in find_files(conn, declaration.name, state=State.MISSING):
        if missing.expected_at == served.expected_at:
            listing = {"name": listed.name, "size_bytes": listed.size, "modified_at": listed.modified_at}
            return move(
                conn, missing, State.SEEN, **listing, came_at=came, seen_at=now, looked_at=now, is_late=True,
                reason=None,
            )  # fmt: skip
    seen = note_seen(conn, declaration, listed, came, now)
    return note(conn, seen, expected_at=served.expected_at, is_late=served.is_late)


def _served_by(
    conn: Connection, declaration: Declaration, watch: Watch, came: datetime, now: datetime
) -> Served | None:
    judged = _judge(conn, declaration, watch, now, [came])
    taken = {file.expected_at for file in find_files(conn, declaration.name) if file.state != State.MISSING}
    fitting = [one for one in judged if one.at == came and one.expected_at not in taken]
    return fitting[0] if fitting else None


def note_missing(
    conn: Connection, declaration: Declaration, watch: Watch, now: datetime
) -> list[PartnerFile]:
    """Enter every delivery that is overdue and that nothing served; return those that are missing now."""
    if declaration.arrival is None:
        return []
    with conn.transaction():
        for one in _judge(conn, declaration, watch, now, []):
            if one.is_missing:
                _enter_missing(conn, declaration, one.expected_at, now)
        conn.execute(
            "update ops.partner_watch set judged_through = %s where partner = %s", (now, declaration.name)
        )
    return find_files(conn, declaration.name, state=State.MISSING)


def _enter_missing(conn: Connection, declaration: Declaration, expected: datetime, now: datetime) -> None:
    grace = declaration.arrival.grace if declaration.arrival else timedelta(0)
    reason = (
        f"expected at {expected:%F %H:%M} UTC and not there by {expected + grace:%F %H:%M} UTC;"
        f" ask {declaration.name} for {declaration.pattern}"
    )
    conn.execute(
        "insert into ops.partner_file (partner, tenant_id, feed, name, state, reason, expected_at, seen_at, looked_at)"
        " select %(partner)s, %(tenant)s, %(feed)s, %(pattern)s, 'missing', %(reason)s, %(expected)s, %(now)s, %(now)s"
        " where not exists (select from ops.partner_file where partner = %(partner)s and expected_at = %(expected)s)",
        {
            "partner": declaration.name, "tenant": declaration.tenant_id, "feed": declaration.feed, "now": now,
            "pattern": declaration.pattern, "reason": reason, "expected": expected,
        },
    )  # fmt: skip


def _judge(
    conn: Connection, declaration: Declaration, watch: Watch, now: datetime, coming: Sequence[datetime]
) -> list[Served]:
    if declaration.arrival is None:
        return []
    begin = max(watch.watched_from, now - HORIZON)
    following = next_expected(declaration, now)
    end = now if following is None else following + timedelta(microseconds=1)
    rows = conn.execute(
        "select min(came_at) from ops.partner_file where partner = %s and state <> 'missing'"
        " group by name having min(came_at) >= %s",
        (declaration.name, begin - HORIZON),
    ).fetchall()
    came = [*(at for (at,) in rows), *coming]
    return serve(declaration, expected_at(declaration, begin, end), came, now)
