"""Decodes pgoutput, protocol version 1: what a logical slot says about each transaction.

A row is a message of its own: kind, relation, form of the row, number of columns, then the values; each value is a form
and, unless it is null or left alone, 4 bytes of length and the bytes, binary or text as was asked for. Trusted
unchecked: the server sends whole messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct

BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE = b"BCRIUDT"
KEY, OLD, NEW = b"KON"
NULL, KEPT, TEXT, BINARY = b"nutb"
# Kind, relation, form of the row, number of columns.
PREFIX = 8
_FORM = 5

_U16 = Struct(">H")
_U32 = Struct(">I")
_COLUMN_TYPE = Struct(">Ii")
_BEGIN = Struct(">QqI")
_COMMIT = Struct(">BQQq")

Values = list[bytes | None]


class ProtocolError(ValueError):
    """The slot sent something that version 1 of pgoutput does not know."""


class FormError(ProtocolError):
    """A value has no binary form that the mirror's column takes; as text it comes."""


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


def split_update(data: bytes) -> tuple[bytes, bytes]:
    """Cut an update that tells the row before, or its key, in two: a message of that row, and one of the new row.

    Raises:
        ProtocolError: the row comes in a form that was not asked for.
    """
    if data[_FORM] not in (KEY, OLD):
        raise ProtocolError(f"an update starts with {data[_FORM]:#x}, expected one of N, K, O")
    end = _skip(data, PREFIX, _U16.unpack_from(data, PREFIX - 2)[0])
    return data[:end], data[:_FORM] + data[end:]


def read_values(message: bytes, form: int) -> tuple[Values, list[int]]:
    """Return a row's values, and the positions of those that the change left alone (TOAST); they read None.

    Raises:
        FormError: a value has not the form that was asked for (TEXT or BINARY).
    """
    (count,) = _U16.unpack_from(message, PREFIX - 2)
    values: Values = []
    kept = []
    at = PREFIX
    for position in range(count):
        seen = message[at]
        end = _skip(message, at, 1)
        if seen == KEPT:
            kept.append(position)
        elif seen not in (form, NULL):
            raise FormError(
                f"column {position} has the form {chr(seen)!r}, expected one of {chr(form)}, n, u"
            )
        values.append(message[at + 5 : end] if seen == form else None)
        at = end
    return values, kept


def key_reader(positions: tuple[int, ...]) -> Callable[[bytes], bytes]:
    """Return a function that cuts the columns at these positions, each with its length, out of a row's message."""
    if positions == (0,):
        return lambda message: message[9 : 13 + int.from_bytes(message[9:13])]

    def read(message: bytes) -> bytes:
        starts = [PREFIX]
        for _ in range(max(positions) + 1):
            starts.append(_skip(message, starts[-1], 1))
        return b"".join(message[starts[p] + 1 : starts[p + 1]] for p in positions)

    return read


def split_key(key: bytes) -> list[bytes]:
    """Return the columns of a key that `key_reader` cut out, each with its length."""
    columns = []
    while key:
        end = 4 + int.from_bytes(key[:4])
        columns.append(key[:end])
        key = key[end:]
    return columns


def tells_key(message: bytes, positions: tuple[int, ...]) -> bool:
    """Tell whether the columns at these positions hold values."""
    at, forms = PREFIX, []
    for _ in range(max(positions) + 1):
        forms.append(message[at])
        at = _skip(message, at, 1)
    return all(forms[p] in (TEXT, BINARY) for p in positions)


def _skip(data: bytes, at: int, columns: int) -> int:
    """Return where the next columns end."""
    for _ in range(columns):
        at += 5 + _U32.unpack_from(data, at + 1)[0] if data[at] in (TEXT, BINARY) else 1
    return at


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    end = data.index(0, offset)
    return data[offset:end].decode(), end + 1
