"""The logical slot in the order database: made, copied, advanced, dropped, measured.

A pull reads a temporary copy of the slot. So whoever dies has lost nothing, and the slot moves only when the warehouse
has what was read; and what comes next is decoded while the warehouse writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from ingestion.cdc.errors import (
    RECREATE,
    AlreadyRunningError,
    NoFreeSlotError,
    SlotMissingError,
    SlotOvertakenError,
)
from ingestion.cdc.lsn import format_lsn, parse_lsn

Connection = psycopg.Connection[tuple[Any, ...]]

# The order database may print dates its own way; the stream has to be what any Postgres reads alike.
_PLAIN_OUTPUT = (
    "set local client_encoding = 'UTF8'; set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres';"
    " set local timezone = 'UTC'; set local bytea_output = 'hex'; set local extra_float_digits = 1"
)

_FETCH_FIRST = 256
_FETCH_MOST = 16_384
_FETCH_BYTES = 4 << 20


@dataclass(frozen=True)
class SlotState:
    """Where a slot stands; positions and sizes in bytes of write-ahead log."""

    slot: str
    confirmed_lsn: int
    active: bool
    wal_status: str
    lag_bytes: int
    retained_bytes: int


def plain_output(source: Connection) -> None:
    """Make the running transaction print values in one form, whatever the server's settings are."""
    source.execute(_PLAIN_OUTPUT)


def read_state(source: Connection, slot: str) -> SlotState | None:
    """Return the slot's state, None if there is no such slot.

    `lag_bytes` is what was written since the last advance, `retained_bytes` what the server keeps on disk for
    the slot.
    """
    with source.transaction():
        row = source.execute(
            "select confirmed_flush_lsn::text, active, coalesce(wal_status, 'reserved'),"
            " pg_wal_lsn_diff(pg_current_wal_flush_lsn(), confirmed_flush_lsn)::bigint,"
            " coalesce(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), restart_lsn), 0)::bigint"
            " from pg_replication_slots where slot_name = %s and plugin = 'pgoutput'"
            " and database = current_database()",
            (slot,),
        ).fetchone()
    if row is None:
        return None
    confirmed, active, wal_status, lag, retained = row
    return SlotState(slot, parse_lsn(confirmed) if confirmed else 0, active, wal_status, lag or 0, retained)


def check(state: SlotState | None, slot: str, applied: int) -> SlotState:
    """Refuse a slot that cannot give everything after the applied position.

    Raises:
        SlotMissingError: the slot is gone.
        SlotOvertakenError: the slot was advanced, re-made or invalidated behind the mirror's back.
    """
    if state is None:
        raise SlotMissingError(
            f"the order database has no slot {slot}, but the mirror stands on it; {RECREATE}"
        )
    if state.wal_status == "lost":
        raise SlotOvertakenError(
            f"slot {slot} was invalidated: the server dropped the log it needs; {RECREATE}"
        )
    if state.confirmed_lsn > applied:
        raise SlotOvertakenError(
            f"slot {slot} stands at {format_lsn(state.confirmed_lsn)}, but only {format_lsn(applied)} is applied:"
            f" what lies between is lost to it; {RECREATE}"
        )
    if state.confirmed_lsn + state.lag_bytes < applied:
        raise SlotOvertakenError(
            f"the order database is at {format_lsn(state.confirmed_lsn + state.lag_bytes)},"
            f" before {format_lsn(applied)}, which is applied: it was restored from an older state; {RECREATE}"
        )
    return state


def flush_lsn(source: Connection) -> int:
    """Return the end of what the order database has safely on disk."""
    with source.transaction():
        row = source.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return parse_lsn(row[0])


def copy_temporarily(source: Connection, slot: str) -> str:
    """Copy the slot to a temporary one, which may be moved and ends with the connection; return its name.

    Raises:
        NoFreeSlotError: the server has as many slots as it may have.
    """
    name = f"{slot[:40]}_pull_{source.info.backend_pid}"
    try:
        source.execute("select pg_copy_logical_replication_slot(%s, %s, true)", (slot, name))
    except psycopg.errors.ConfigurationLimitExceeded as fault:
        raise NoFreeSlotError(
            f"a pull needs one replication slot beside {slot}, but the order database has none left:"
            " raise max_replication_slots there, or drop slots that nobody reads"
        ) from fault
    return name


def take(
    source: Connection, slot: str, publication: str, upto: tuple[int, int], *, binary: bool
) -> Iterator[list[bytes]]:
    """Take messages out of a slot in portions of a few MiB; the slot moves. For a temporary one.

    Whole transactions only: `upto` has a position, and a number of messages, of which the first that is reached ends
    the stream. The server spools what it decodes to its disk.
    """
    lsn, changes = upto
    statement = sql.SQL(
        "select data from pg_logical_slot_get_binary_changes({slot}, {upto}::pg_lsn, {changes},"
        " 'proto_version', '1', 'publication_names', {publication}, 'binary', {binary})"
    ).format(
        slot=slot, upto=format_lsn(lsn), changes=changes, publication=_quoted(publication),
        binary="true" if binary else "false",
    )  # fmt: skip
    with source.transaction():
        plain_output(source)
        with psycopg.ServerCursor(source, "cdc_take") as cursor:
            cursor.execute(statement, binary=True)
            yield from _in_portions(cursor)


def _in_portions(cursor: psycopg.ServerCursor[tuple[Any, ...]]) -> Iterator[list[bytes]]:
    """Fetch as many messages at a time as make about FETCH_BYTES, judged by the ones before."""
    count = _FETCH_FIRST
    while rows := cursor.fetchmany(count):
        portion = [data for (data,) in rows]
        yield portion
        count = max(1, min(_FETCH_MOST, _FETCH_BYTES * len(portion) // sum(map(len, portion))))


def _quoted(publication: str) -> str:
    # pgoutput parses the list of names as identifiers: unquoted it would fold upper case.
    return '"' + publication.replace('"', '""') + '"'


def advance(source: Connection, slot: str, applied: int) -> None:
    """Let the order database forget what is applied; a slot that is there already stays.

    Raises:
        AlreadyRunningError: another session reads the slot; the next pull advances it.
    """
    try:
        with source.transaction():
            source.execute(
                "select pg_replication_slot_advance(slot_name, %s::text::pg_lsn) from pg_replication_slots"
                " where slot_name = %s and confirmed_flush_lsn < %s::text::pg_lsn",
                (format_lsn(applied), slot, format_lsn(applied)),
            )
    except psycopg.errors.ObjectInUse as fault:
        raise AlreadyRunningError(f"slot {slot} is in use: {fault.diag.message_primary}") from fault


def drop(source: Connection, slot: str) -> bool:
    """Drop the slot if it is there; return whether it was.

    Raises:
        AlreadyRunningError: another session reads the slot.
    """
    try:
        with source.transaction():
            dropped = source.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s",
                (slot,),
            ).rowcount
    except psycopg.errors.ObjectInUse as fault:
        raise AlreadyRunningError(f"slot {slot} is in use: {fault.diag.message_primary}") from fault
    return dropped > 0


def create(replication: Connection, slot: str) -> tuple[int, str]:
    """Make the slot; return its first position and the name of the snapshot of exactly what precedes it.

    The snapshot lives until the replication connection is used again or closed.
    """
    row = replication.execute(
        sql.SQL("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput EXPORT_SNAPSHOT").format(sql.Identifier(slot))
    ).fetchone()
    assert row is not None
    return parse_lsn(row[1]), row[2]
