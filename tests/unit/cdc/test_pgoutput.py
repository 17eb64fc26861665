"""The decoder against messages written by hand from the protocol's description."""

from __future__ import annotations

import struct

import pytest

from ingestion.cdc import pgoutput
from ingestion.cdc.pgoutput import NULL_FIELD, Begin, ProtocolError, RelationColumn


def text(value: str) -> bytes:
    return b"t" + struct.pack(">I", len(value.encode())) + value.encode()


def field(value: str) -> bytes:
    return struct.pack(">I", len(value.encode())) + value.encode()


def row(*columns: bytes) -> bytes:
    return struct.pack(">H", len(columns)) + b"".join(columns)


def test_begin_and_commit() -> None:
    begin = b"B" + struct.pack(">QqI", 0x16_B374_D848, 812_345, 77)
    assert pgoutput.read_begin(begin) == Begin(0x16_B374_D848, 812_345)
    assert pgoutput.read_commit_end(b"C" + struct.pack(">BQQq", 0, 10, 20, 30)) == 20


def test_relation() -> None:
    columns = (
        b"\x01site_id\0" + struct.pack(">Ii", 25, -1) + b"\x00weight\0" + struct.pack(">Ii", 1700, 655366)
    )
    data = b"R" + struct.pack(">I", 16400) + b"public\0sites\0d" + struct.pack(">H", 2) + columns
    relation = pgoutput.read_relation(data)
    assert (relation.oid, relation.schema, relation.name) == (16400, "public", "sites")
    assert relation.columns == (RelationColumn("site_id", 25, -1), RelationColumn("weight", 1700, 655366))


def test_truncate() -> None:
    assert pgoutput.read_truncate(b"T" + struct.pack(">IBII", 2, 1, 16400, 16500)) == (16400, 16500)


def test_insert_keeps_values_as_they_came() -> None:
    change = pgoutput.read_change(b"I" + struct.pack(">I", 7) + b"N" + row(text("é\t"), b"n", text("")))
    assert change.relation == 7
    assert change.old is None
    assert change.new is not None
    assert change.new.fields == [field("é\t"), NULL_FIELD, field("")]
    assert change.new.kept == ()


def test_update_with_kept_values_and_old_key() -> None:
    data = b"U" + struct.pack(">I", 7) + b"K" + row(text("a"), b"n", b"n") + b"N" + row(text("b"), b"u", b"u")
    change = pgoutput.read_change(data)
    assert change.old_is_key
    assert change.old is not None
    assert change.new is not None
    assert change.old.fields[0] == field("a")
    assert change.new.kept == (1, 2)


@pytest.mark.parametrize(("form", "is_key"), [(b"K", True), (b"O", False)])
def test_delete(form: bytes, is_key: bool) -> None:
    change = pgoutput.read_change(b"D" + struct.pack(">I", 7) + form + row(text("a")))
    assert (change.new, change.old_is_key) == (None, is_key)
    assert change.old is not None
    assert change.old.fields == [field("a")]


@pytest.mark.parametrize(
    "data",
    [
        b"I" + struct.pack(">I", 7) + b"X" + row(text("a")),
        b"I" + struct.pack(">I", 7) + b"N" + row(b"b" + field("binary")),
    ],
)
def test_unknown_forms_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="expected one of"):
        pgoutput.read_change(data)
