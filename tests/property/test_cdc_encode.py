"""Messages encoded thousands at once are the rows that decoding them one by one gives."""

from __future__ import annotations

from struct import pack

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestion.cdc.encode import Heads, encode_row, encode_rows
from ingestion.cdc.pgoutput import BINARY, read_values

WIDTH = 4
text = st.binary(max_size=300)
value = st.one_of(st.none(), text)
plain = st.lists(value, min_size=WIDTH, max_size=WIDTH)
odd = st.lists(st.one_of(value, st.just(...)), min_size=WIDTH, max_size=WIDTH).filter(lambda row: ... in row)


def message(row: list[object]) -> bytes:
    """An insert as pgoutput sends it; an ellipsis stands for a value that was left alone."""
    fields = [
        b"n" if item is None else b"u" if item is ... else b"b" + pack(">I", len(item)) + item  # type: ignore[arg-type, operator]
        for item in row
    ]
    return b"I" + pack(">I", 16_400) + b"N" + pack(">H", len(row)) + b"".join(fields)


def numbered(count: int) -> Heads:
    heads = np.empty(count, [("number", ">i4"), ("rest", "V7")])
    heads["number"] = np.arange(count)
    heads["rest"] = np.void(b"headend")
    return heads


def body(row: list[object]) -> bytes:
    """The values as a binary COPY has them."""
    return b"".join(pack(">i", -1) if item is None else pack(">i", len(item)) + item for item in row)  # type: ignore[arg-type, operator]


@given(rows=st.lists(st.one_of(plain, odd), min_size=1, max_size=40), data=st.data())
def test_at_once_is_one_by_one(rows: list[list[object]], data: st.DataObject) -> None:
    skipped = data.draw(st.sets(st.integers(0, len(rows) - 1)))
    encoded = encode_rows([message(row) for row in rows], numbered(len(rows)), WIDTH, skipped)
    assert encoded.odd == [place for place, row in enumerate(rows) if ... in row or place in skipped]
    whole = [place for place in range(len(rows)) if place not in encoded.odd]
    assert b"".join(encoded.portions) == b"".join(pack(">i", p) + b"headend" + body(rows[p]) for p in whole)
    again = whole[::-2]
    heads = np.full(len(again), b"H", "S1")
    assert b"".join(encoded.behind(heads, again)) == b"".join(b"H" + body(rows[place]) for place in again)
    values = [(place, read_values(message(rows[place]), BINARY)[0]) for place in whole]
    assert [encode_row(np.void(b""), row) for _, row in values] == [body(rows[place]) for place in whole]


@given(rows=st.lists(plain, min_size=1, max_size=5))
def test_portions_are_cut_between_rows(rows: list[list[object]]) -> None:
    """More than a portion takes: the rows are the same, and each is found in its portion."""
    many = [message(row) for row in rows] + [message([b"x" * 300_000, None, b"", b"y"])] * 4
    encoded = encode_rows(many, numbered(len(many)), WIDTH)
    assert len(encoded.portions) > 1
    assert encoded.odd == []
    heads = numbered(len(many))
    assert encoded.behind(heads, range(len(many)))[1::2] == [
        *map(body, rows),
        *[body([b"x" * 300_000, None, b"", b"y"])] * 4,
    ]


def test_a_message_of_another_width_is_left_out() -> None:
    heads = np.zeros(2, [("number", ">i4")])
    encoded = encode_rows([message([b"a"] * 3), message([b"b"] * WIDTH)], heads, WIDTH)
    assert encoded.odd == [0]
    assert b"".join(encoded.portions).endswith(b"b" * 1)
