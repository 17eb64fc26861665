"""Messages encoded thousands at once are the rows that decoding them one by one gives."""

from __future__ import annotations

from struct import pack

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestion.cdc.encode import encode_rows
from ingestion.cdc.pgoutput import read_tuple

WIDTH = 4
text = st.binary(max_size=300)
value = st.one_of(st.none(), text)
plain = st.lists(value, min_size=WIDTH, max_size=WIDTH)
odd = st.lists(st.one_of(value, st.just(...)), min_size=WIDTH, max_size=WIDTH).filter(lambda row: ... in row)


def message(row: list[object]) -> bytes:
    """An insert as pgoutput sends it; an ellipsis stands for a value that was left alone."""
    fields = [
        b"n" if item is None else b"u" if item is ... else b"t" + pack(">I", len(item)) + item  # type: ignore[arg-type, operator]
        for item in row
    ]
    return b"I" + pack(">I", 16_400) + b"N" + pack(">H", len(row)) + b"".join(fields)


@given(rows=st.lists(st.one_of(plain, odd), min_size=1, max_size=40))
def test_at_once_is_one_by_one(rows: list[list[object]]) -> None:
    messages = [message(row) for row in rows]
    heads = np.empty(len(rows), [("number", ">i4"), ("rest", "V7")])
    heads["number"] = np.arange(len(rows))
    heads["rest"] = np.void(b"headend")
    encoded, left_out = encode_rows(messages, heads, WIDTH)
    assert left_out == [place for place, row in enumerate(rows) if ... in row]
    expected = [
        pack(">i", place) + b"headend" + b"".join(read_tuple(data, 6)[0].fields)
        for place, data in enumerate(messages)
        if place not in left_out
    ]
    assert b"".join(encoded) == b"".join(expected)


def test_a_message_of_another_width_is_left_out() -> None:
    heads = np.zeros(2, [("number", ">i4")])
    encoded, left_out = encode_rows([message([b"a"] * 3), message([b"b"] * WIDTH)], heads, WIDTH)
    assert left_out == [0]
    assert b"".join(encoded).endswith(b"b" * 1)
