"""`ops.partner_file`: what every partner sent, one row a content, and where it stands.

A content is taken once by (partner, name, SHA-256). A name that is listed and not read yet is one row `seen`; when its
content turns out to be known, that row goes and the known one counts a repeat. Every change of state goes through
`move`, which expects the state it found: of two who decide, one is told that he is late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from ingestion.partners.states import ENDED, IllegalTransitionError, State, require

if TYPE_CHECKING:
    from ingestion.partners.declare.model import Declaration

Connection = psycopg.Connection[tuple[Any, ...]]
# A server's time of change has whole seconds: content read so soon after it may have changed again since.
RACY = timedelta(seconds=2)


class Listed(Protocol):
    """A name on the server, as a look finds it."""

    @property
    def name(self) -> str:
        """The file's name in its directory."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def modified_at(self) -> datetime:
        """The server's time of change."""


@dataclass(frozen=True)
class PartnerFile:
    """One row of `ops.partner_file`."""

    file_id: int
    partner: str
    tenant_id: str
    feed: str
    name: str
    size_bytes: int | None
    modified_at: datetime | None
    sha256: str | None
    state: State
    reason: str | None
    cause: str | None
    expected_at: datetime | None
    is_late: bool
    promised_lines: int | None
    lines: int | None
    accepted: int | None
    rejected: int | None
    unchanged: int | None
    superseded: int | None
    absent: int | None
    supersedes: int | None
    schema_version: int | None
    archive_key: str | None
    observations: Mapping[str, Any]
    attempts: int
    repeats: int
    seen_at: datetime
    came_at: datetime | None
    looked_at: datetime
    checked_at: datetime | None
    sent_at: datetime | None
    whole_at: datetime | None
    ended_at: datetime | None
    approved_by: str | None
    approved_at: datetime | None

    @property
    def arrived_at(self) -> datetime:
        """When its rows arrive in landing: when it was whole, or was approved. A retry finds the same instant."""
        return max(at for at in (self.whole_at, self.approved_at) if at is not None)

    def is_current(self, listed: Listed) -> bool:
        """Whether what is listed is certainly the content that was read."""
        same = (self.size_bytes, self.modified_at) == (listed.size, listed.modified_at)
        return same and self.checked_at is not None and self.checked_at > listed.modified_at + RACY


COLUMNS = sql.SQL(", ").join(sql.Identifier(field.name) for field in fields(PartnerFile))


def find_files(
    conn: Connection,
    partner: str | None = None,
    *,
    state: State | None = None,
    name: str | None = None,
    limit: int | None = None,
) -> list[PartnerFile]:
    """Return files, newest first; None means any."""
    query = sql.SQL(
        "select {} from ops.partner_file"
        " where (%(partner)s::text is null or partner = %(partner)s)"
        " and (%(state)s::text is null or state = %(state)s)"
        " and (%(name)s::text is null or name = %(name)s)"
        " order by file_id desc limit %(limit)s"
    ).format(COLUMNS)
    values = {"partner": partner, "state": state, "name": name, "limit": limit}
    return [_file(row) for row in conn.execute(query, values)]


def read_file(conn: Connection, file_id: int) -> PartnerFile | None:
    """Return one file, None where there is none."""
    query = sql.SQL("select {} from ops.partner_file where file_id = %s").format(COLUMNS)
    row = conn.execute(query, (file_id,)).fetchone()
    return None if row is None else _file(row)


def find_content(conn: Connection, partner: str, name: str, sha256: str) -> PartnerFile | None:
    """Return the file of this name and content, None where it has not come yet."""
    query = sql.SQL(
        "select {} from ops.partner_file where partner = %s and name = %s and sha256 = %s"
    ).format(COLUMNS)
    row = conn.execute(query, (partner, name, sha256)).fetchone()
    return None if row is None else _file(row)


def _file(row: Sequence[Any]) -> PartnerFile:
    found = PartnerFile(*row)
    return PartnerFile(**{**vars(found), "state": State(found.state)})


def move(conn: Connection, file: PartnerFile, state: State, **columns: Any) -> PartnerFile:
    """Bring a file from the state it was read in to another, with what becomes of its columns.

    Raises:
        IllegalTransitionError: that is no way to go, or somebody else has moved the file meanwhile.
    """
    require(file.state, state)
    values = {**columns, "state": state} | ({"ended_at": _now(conn)} if state in ENDED else {})
    changes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(k), sql.Placeholder(k)) for k in values
    )
    query = sql.SQL(
        "update ops.partner_file set {} where file_id = %(_id)s and state = %(_from)s returning {}"
    ).format(changes, COLUMNS)
    row = conn.execute(query, {**_adapted(values), "_id": file.file_id, "_from": file.state}).fetchone()
    if row is None:
        found = read_file(conn, file.file_id)
        raise IllegalTransitionError(
            f"file {file.file_id} ({file.name}) is {found.state if found else 'gone'}, expected {file.state}"
        )
    return _file(row)


def note(conn: Connection, file: PartnerFile, **columns: Any) -> PartnerFile:
    """Write columns of a file that stays in its state."""
    changes = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(k), sql.Placeholder(k)) for k in columns
    )
    query = sql.SQL("update ops.partner_file set {} where file_id = %(_id)s returning {}").format(
        changes, COLUMNS
    )
    row = conn.execute(query, {**_adapted(columns), "_id": file.file_id}).fetchone()
    assert row is not None, f"file {file.file_id} is gone"
    return _file(row)


def _adapted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}


def _now(conn: Connection) -> datetime:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def note_seen(
    conn: Connection, declaration: Declaration, listed: Listed, came_at: datetime, now: datetime
) -> PartnerFile:
    """Enter a name that is listed and not read yet, or what it looks like now; return its row."""
    query = sql.SQL(
        "insert into ops.partner_file"
        " (partner, tenant_id, feed, name, size_bytes, modified_at, state, came_at, seen_at, looked_at)"
        " values (%s, %s, %s, %s, %s, %s, 'seen', %s, %s, %s)"
        " on conflict (partner, name) where state = 'seen' do update set"
        " size_bytes = excluded.size_bytes, modified_at = excluded.modified_at, looked_at = excluded.looked_at"
        " returning {}"
    ).format(COLUMNS)
    owner = (declaration.name, declaration.tenant_id, declaration.feed)
    shape = (listed.name, listed.size, listed.modified_at)
    row = conn.execute(query, (*owner, *shape, came_at, now, now)).fetchone()
    assert row is not None
    return _file(row)


def become_whole(conn: Connection, seen: PartnerFile, sha256: str, now: datetime) -> PartnerFile:
    """Enter the content of a name that was seen: a new file, whole; or a repeat of one that is known.

    A repeat leaves the known file as it is, whatever its state, and the first sight goes.
    """
    with conn.transaction():
        known = find_content(conn, seen.partner, seen.name, sha256)
        if known is None:
            sent = _sent_at(conn, seen)
            content = {"sha256": sha256, "whole_at": now, "checked_at": now, "sent_at": sent}
            return move(conn, seen, State.WHOLE, **content, reason=None)
        conn.execute("delete from ops.partner_file where file_id = %s", (seen.file_id,))
        listed = {"size_bytes": seen.size_bytes, "modified_at": seen.modified_at, "checked_at": now}
        again = int(known.modified_at != seen.modified_at)
        return note(conn, known, **listed, looked_at=now, repeats=known.repeats + again)


def _sent_at(conn: Connection, seen: PartnerFile) -> datetime:
    """The time of change, or just after that of the version before it: clocks of servers go back."""
    row = conn.execute(
        "select greatest(%(at)s::timestamptz, max(sent_at) + interval '1 microsecond') from ops.partner_file"
        " where partner = %(partner)s and name = %(name)s",
        {"at": seen.modified_at, "partner": seen.partner, "name": seen.name},
    ).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def find_versions(conn: Connection, file: PartnerFile) -> list[PartnerFile]:
    """Return the loaded versions of a file's name that were sent before it, oldest first."""
    query = sql.SQL(
        "select {} from ops.partner_file where partner = %s and name = %s and state = 'loaded' and sent_at < %s"
        " order by sent_at"
    ).format(COLUMNS)
    return [_file(row) for row in conn.execute(query, (file.partner, file.name, file.sent_at))]


def find_successor(conn: Connection, file: PartnerFile) -> PartnerFile | None:
    """Return the newest loaded version of a file's name that was sent after it, if there is one."""
    query = sql.SQL(
        "select {} from ops.partner_file where partner = %s and name = %s and state = 'loaded' and sent_at > %s"
        " order by sent_at desc limit 1"
    ).format(COLUMNS)
    row = conn.execute(query, (file.partner, file.name, file.sent_at)).fetchone()
    return None if row is None else _file(row)


def find_objects(conn: Connection, file_id: int) -> list[str]:
    """Return the keys of a file's raw objects that are still kept."""
    rows = conn.execute(
        "select object_key from ops.batch where partner_file_id = %s and object_key is not null"
        " and source = 'partner' and object_expired_at is null order by batch_id",
        (file_id,),
    )
    return [key for (key,) in rows]


def try_lock(conn: Connection, partner: str) -> bool:
    """Take the partner for this session, if nobody else has it; a session that ends lets it go."""
    row = conn.execute(
        "select pg_try_advisory_lock(hashtext('ops.partner_file'), hashtext(%s))", (partner,)
    ).fetchone()
    return bool(row and row[0])


def unlock(conn: Connection, partner: str) -> None:
    """Let the partner go."""
    conn.execute("select pg_advisory_unlock(hashtext('ops.partner_file'), hashtext(%s))", (partner,))
