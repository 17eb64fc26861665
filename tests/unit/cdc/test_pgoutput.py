"""The decoder against messages written by hand from the protocol's description."""

from __future__ import annotations

import struct

import pytest

from ingestion.cdc import pgoutput
from ingestion.cdc.pgoutput import TEXT, Begin, FormError, ProtocolError, RelationColumn


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


def test_values_of_an_insert() -> None:
    message = b"I" + struct.pack(">I", 7) + b"N" + row(text("é\t"), b"n", text(""))
    assert pgoutput.read_values(message, TEXT) == (["é\t".encode(), None, b""], [])


def test_update_with_kept_values_and_old_key() -> None:
    data = b"U" + struct.pack(">I", 7) + b"K" + row(text("a"), b"n", b"n") + b"N" + row(text("b"), b"u", b"u")
    old, new = pgoutput.split_update(data)
    assert pgoutput.read_values(old, TEXT) == ([b"a", None, None], [])
    assert pgoutput.read_values(new, TEXT) == ([b"b", None, None], [1, 2])
    assert (old[5], new[5]) == (pgoutput.KEY, pgoutput.NEW)


@pytest.mark.parametrize(("positions", "key"), [((0,), ["a"]), ((2, 0), ["bc", "a"])])
def test_keys(positions: tuple[int, ...], key: list[str]) -> None:
    message = b"I" + struct.pack(">I", 7) + b"N" + row(text("a"), b"n", text("bc"))
    cut = pgoutput.key_reader(positions)(message)
    assert pgoutput.split_key(cut) == [field(value) for value in key]
    assert pgoutput.tells_key(message, positions)
    assert not pgoutput.tells_key(message, (*positions, 1))


def test_unknown_forms_are_refused() -> None:
    with pytest.raises(ProtocolError, match="expected one of"):
        pgoutput.split_update(b"U" + struct.pack(">I", 7) + b"X" + row(text("a")))
    with pytest.raises(FormError, match="expected one of t"):
        pgoutput.read_values(b"I" + struct.pack(">I", 7) + b"N" + row(b"b" + field("binary")), TEXT)
