"""Decodes pgoutput, protocol version 1: what a logical slot says about each transaction.

A row's values stay as they came: each is one field of a binary COPY (4 bytes of length, then the text), so
that staging a change copies bytes and parses nothing. Trusted unchecked: the server sends whole messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE = b"BCRIUDT"
KEY, OLD, NEW = b"KON"
_NULL, _KEPT, _TEXT = b"nut"

NULL_FIELD = b"\xff\xff\xff\xff"

_U16 = Struct(">H")
_U32 = Struct(">I")
_COLUMN_TYPE = Struct(">Ii")
_BEGIN = Struct(">QqI")
_COMMIT = Struct(">BQQq")


class ProtocolError(ValueError):
    """The slot sent something that version 1 of pgoutput does not know."""


@dataclass(frozen=True)
class RelationColumn:
    """One published column: its name and type as the order database has them."""

    name: str
    type_oid: int
    type_modifier: int


@dataclass(frozen=True)
class Relation:
    """The published columns of a table from here on in the stream, in the table's order."""

    oid: int
    schema: str
    name: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction starts; `lsn` is where its commit record begins, times count from 2000-01-01 UTC."""

    lsn: int
    committed_us: int


class Tuple(NamedTuple):
    """A row: COPY fields, and the positions of columns whose stored value the change left alone (TOAST)."""

    fields: list[bytes]
    kept: tuple[int, ...]


class Change(NamedTuple):
    """An insert, update or delete: `old` is the key or the row before, where the stream tells it."""

    relation: int
    new: Tuple | None
    old: Tuple | None
    old_is_key: bool = False


def read_begin(data: bytes) -> Begin:
    """Decode the start of a transaction."""
    lsn, committed_us, _ = _BEGIN.unpack_from(data, 1)
    return Begin(lsn, committed_us)


def read_commit_end(data: bytes) -> int:
    """Decode the end of a transaction: the position after its commit record."""
    return int(_COMMIT.unpack_from(data, 1)[2])


def read_relation(data: bytes) -> Relation:
    """Decode a table's description."""
    (oid,) = _U32.unpack_from(data, 1)
    schema, offset = _read_name(data, 5)
    name, offset = _read_name(data, offset)
    (count,) = _U16.unpack_from(data, offset + 1)
    offset += 3
    columns = []
    for _ in range(count):
        column, offset = _read_name(data, offset + 1)
        columns.append(RelationColumn(column, *_COLUMN_TYPE.unpack_from(data, offset)))
        offset += 8
    return Relation(oid, schema, name, tuple(columns))


def read_truncate(data: bytes) -> tuple[int, ...]:
    """Decode a TRUNCATE: the tables that it empties."""
    (count,) = _U32.unpack_from(data, 1)
    return Struct(f">{count}I").unpack_from(data, 6)


def read_change(data: bytes) -> Change:
    """Decode an insert, update or delete.

    Raises:
        ProtocolError: the row comes in a form that was not asked for.
    """
    (relation,) = _U32.unpack_from(data, 1)
    form = data[5]
    if form == NEW:
        return Change(relation, read_tuple(data, 6)[0], None)
    if form not in (KEY, OLD):
        raise ProtocolError(f"a change of relation {relation} starts with {form:#x}, expected one of N, K, O")
    old, offset = read_tuple(data, 6)
    if data[0] == DELETE:
        return Change(relation, None, old, form == KEY)
    return Change(relation, read_tuple(data, offset + 1)[0], old, form == KEY)


def read_tuple(data: bytes, offset: int) -> tuple[Tuple, int]:
    """Decode one row; return it and the offset after it.

    Raises:
        ProtocolError: a value is neither null, kept nor text.
    """
    (count,) = _U16.unpack_from(data, offset)
    offset += 2
    fields: list[bytes] = []
    append, length = fields.append, _U32.unpack_from
    kept: tuple[int, ...] = ()
    for position in range(count):
        form = data[offset]
        offset += 1
        if form == _TEXT:
            end = offset + 4 + length(data, offset)[0]
            append(data[offset:end])
            offset = end
        elif form == _NULL:
            append(NULL_FIELD)
        elif form == _KEPT:
            append(NULL_FIELD)
            kept = (*kept, position)
        else:
            raise ProtocolError(f"column {position} has the form {form:#x}, expected one of t, n, u")
    return Tuple(fields, kept), offset


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    end = data.index(0, offset)
    return data[offset:end].decode(), end + 1
