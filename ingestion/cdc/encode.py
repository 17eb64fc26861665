"""Turns messages of plain changes into rows of a binary COPY, thousands at once.

A row in a message and in a COPY differ only in that each value has a byte before it that tells its form. So the values
are never cut apart: all messages are walked column by column, in step, and one copy of their bytes leaves out the
forms, writes nulls as COPY has them, and leaves room for what stands before each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

# A message of an insert, an update or a delete by key: kind, relation, form of the tuple, number of columns.
PREFIX = 8
_TEXT, _NULL = ord("t"), ord("n")
_NULL_FIELD_BYTES = 4
_LONGEST_FIELD_LENGTH = 4
_BYTES_AT_ONCE = 1 << 20

Bytes = npt.NDArray[np.uint8]


def encode_rows(
    messages: Sequence[bytes], heads: npt.NDArray[Any], width: int
) -> tuple[list[bytes], list[int]]:
    """Return the COPY rows of messages, each behind its head (one record of `heads`), and which could not be encoded.

    Left out, by their place in `messages`, are those with a value that is neither text nor null, or with another
    number of columns than `width`.
    """
    encoded: list[bytes] = []
    left_out: list[int] = []
    start = size = 0
    for end, message in enumerate(messages, start=1):
        size += len(message)
        if size >= _BYTES_AT_ONCE or end == len(messages):
            rows, odd = _encode(messages[start:end], heads[start:end], width)
            encoded.append(rows)
            left_out += [start + int(place) for place in odd]
            start, size = end, 0
    return encoded, left_out


def _encode(messages: Sequence[bytes], heads: npt.NDArray[Any], width: int) -> tuple[bytes, list[int]]:
    sizes = np.fromiter(map(len, messages), np.int64, len(messages))
    starts = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    # The walk may look a few bytes beyond the last message before it knows that no length stands there.
    data = np.frombuffer(bytearray(b"".join(messages) + bytes(PREFIX)), np.uint8)
    copies = np.ones(total + PREFIX, np.int64)
    plain = _walk(data, copies, starts, width)
    head_size = heads.dtype.itemsize
    for place in range(PREFIX):
        copies[starts + place] = 0
    copies[starts] = head_size
    odd = np.flatnonzero(~plain)
    for number in odd.tolist():
        copies[starts[number] : starts[number] + sizes[number]] = 0
    copies = copies[:total]
    rows = np.repeat(data[:total], copies)
    lengths = np.add.reduceat(copies, starts)
    row_starts = (np.cumsum(lengths) - lengths)[plain]
    flat = np.ascontiguousarray(heads[plain]).view(np.uint8).reshape(len(row_starts), head_size)
    rows[row_starts[:, None] + np.arange(head_size)] = flat
    return rows.tobytes(), odd.tolist()


def _walk(
    data: Bytes, copies: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], width: int
) -> npt.NDArray[np.bool_]:
    """Note for each byte how often it is copied; return which messages hold nothing but text and nulls."""
    last = len(data) - _LONGEST_FIELD_LENGTH - 1
    columns = data[starts + 6].astype(np.int64) << 8 | data[starts + 7]
    plain: npt.NDArray[np.bool_] = np.equal(columns, width)
    at = starts + PREFIX
    for _ in range(width):
        at = np.minimum(at, last)
        form = data[at]
        is_text = form == _TEXT
        plain &= is_text | (form == _NULL)
        copies[at] = np.where(is_text, 0, _NULL_FIELD_BYTES)
        data[at[~is_text]] = 0xFF
        length = np.zeros(len(at), np.int64)
        for place in range(1, _LONGEST_FIELD_LENGTH + 1):
            length = length << 8 | data[at + place]
        at = at + 1 + np.where(is_text, _LONGEST_FIELD_LENGTH + length, 0)
    return plain
