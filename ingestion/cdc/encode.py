"""Turns messages of whole rows into rows of a COPY, thousands at once.

A row in a message and in a binary COPY differ only in that each value has a byte before it that tells its form. So the
values are never cut apart: all messages are walked column by column, in step, and one copy of their bytes leaves out
the forms, writes nulls as COPY has them, and leaves room for what stands before each row: its head, the mirror's own
columns. Rows that the walk cannot take, and all rows where the values come as text, are put together one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ingestion.cdc.lsn import format_lsn
from ingestion.cdc.pgoutput import BINARY, NULL, PREFIX, Values

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
_NULL_FIELD = b"\xff\xff\xff\xff"
_LENGTH_BYTES = 4
_BYTES_AT_ONCE = 1 << 19
_ESCAPES = ((b"\\", rb"\\"), (b"\n", rb"\n"), (b"\r", rb"\r"), (b"\t", rb"\t"))
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

# The mirror's own columns: how a binary COPY has them, and the sizes of that.
_OWN = {
    "_op": ("S1", 1), "_lsn": (">u8", 8), "_seq": (">i8", 8), "_committed_at": (">i8", 8), "_deleted": ("u1", 1),
    "batch_id": (">i8", 8),
}  # fmt: skip

Bytes = npt.NDArray[np.uint8]
Heads = npt.NDArray[Any]


def make_heads(names: Sequence[str], own: Mapping[str, Any], count: int, width: int) -> Heads:
    """Return what stands before each row: the number of its fields, then the columns `names`.

    `own` has one value for all rows, or one for each; `width` is the number of the row's other columns. Times are
    microseconds since 2000-01-01 UTC.
    """
    kinds: list[tuple[str, str]] = [("fields", ">i2")]
    for name in names:
        kinds += [(f"{name} size", ">i4"), (name, _OWN[name][0])]
    heads = np.empty(count, kinds)
    heads["fields"] = len(names) + width
    for name in names:
        heads[f"{name} size"] = _OWN[name][1]
        heads[name] = own[name]
    return heads


def encode_row(head: Any, values: Values) -> bytes:
    """Return one row of a binary COPY."""
    fields = [_NULL_FIELD if v is None else len(v).to_bytes(_LENGTH_BYTES) + v for v in values]
    return b"".join([head.tobytes(), *fields])


def encode_text_row(head: Any, values: Values) -> bytes:
    """Return one row of a text COPY."""
    own = [_spell(name, head[name]) for name in head.dtype.names if name in _OWN]
    return b"\t".join([*own, *(rb"\N" if value is None else _escape(value) for value in values)]) + b"\n"


def _escape(value: bytes) -> bytes:
    for plain, escaped in _ESCAPES:
        value = value.replace(plain, escaped)
    return value


def _spell(name: str, value: Any) -> bytes:
    if name == "_op":
        return bytes(value)
    number = int(value)
    if name == "_lsn":
        return format_lsn(number).encode()
    if name == "_committed_at":
        return (_EPOCH + timedelta(microseconds=number)).isoformat().encode()
    return str(number).encode()


@dataclass
class EncodedRows:
    """Rows of a binary COPY in portions, and where each of them lies, in the order of their messages.

    `odd` are the places of messages that are not among them: left out as was said, or with a value that is neither
    binary nor null, or with another number of columns.
    """

    portions: list[bytes]
    portion: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    odd: list[int]

    def behind(self, heads: Heads, places: Sequence[int]) -> list[bytes]:
        """Return the rows at these places, each behind another head."""
        index = np.asarray(places, np.int64)
        size, flat = heads.dtype.itemsize, heads.tobytes()
        lies = zip(
            self.portion[index].tolist(), self.start[index].tolist(), self.end[index].tolist(), strict=True
        )
        rows = []
        for number, (portion, start, end) in enumerate(lies):
            rows.append(flat[number * size : (number + 1) * size])
            rows.append(self.portions[portion][start:end])
        return rows


def encode_rows(
    messages: Sequence[bytes], heads: Heads, width: int, left_out: Collection[int] = ()
) -> EncodedRows:
    """Encode messages of `width` columns, each behind its head, but for some."""
    count = len(messages)
    sizes = np.fromiter(map(len, messages), np.int64, count)
    wanted = np.ones(count, np.bool_)
    wanted[list(left_out)] = False
    portion = np.cumsum(sizes) // _BYTES_AT_ONCE
    cuts = [0, *(np.flatnonzero(np.diff(portion)) + 1).tolist(), count]
    portion, start, end = (np.zeros(count, np.int64) for _ in range(3))
    portions = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        part = slice(first, last)
        rows, start[part], end[part] = _encode(messages[part], sizes[part], heads[part], wanted[part], width)
        portion[part] = number
        portions.append(rows)
    return EncodedRows(portions, portion, start, end, np.flatnonzero(~wanted).tolist())


def _encode(
    messages: Sequence[bytes],
    sizes: npt.NDArray[np.int64],
    heads: Heads,
    wanted: npt.NDArray[np.bool_],
    width: int,
) -> tuple[bytes, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows, and where each begins behind its head and ends; `wanted` loses those that cannot be encoded."""
    starts = np.cumsum(sizes) - sizes
    total = int(sizes.sum())
    # The walk may look a few bytes beyond the last message before it knows that no length stands there.
    data = np.frombuffer(bytearray(b"".join(messages) + bytes(PREFIX)), np.uint8)
    copies = np.ones(total + PREFIX, np.int64)
    wanted &= _walk(data, copies, starts, width)
    head_size = heads.dtype.itemsize
    for place in range(PREFIX):
        copies[starts + place] = 0
    copies[starts] = head_size
    for number in np.flatnonzero(~wanted).tolist():
        copies[starts[number] : starts[number] + sizes[number]] = 0
    copies = copies[:total]
    rows = np.repeat(data[:total], copies)
    ends = np.cumsum(np.add.reduceat(copies, starts))
    row_starts = np.concatenate(([0], ends[:-1]))
    flat = np.ascontiguousarray(heads[wanted]).view(np.uint8).reshape(-1, head_size)
    rows[row_starts[wanted][:, None] + np.arange(head_size)] = flat
    return rows.tobytes(), row_starts + head_size, ends


def _walk(
    data: Bytes, copies: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], width: int
) -> npt.NDArray[np.bool_]:
    """Note for each byte how often it is copied; return which messages hold nothing but binary values and nulls."""
    last = len(data) - _LENGTH_BYTES - 1
    columns = data[starts + 6].astype(np.int64) << 8 | data[starts + 7]
    plain: npt.NDArray[np.bool_] = np.equal(columns, width)
    # Wherever a length may stand, unaligned as it is.
    lengths = np.ndarray(len(data) - _LENGTH_BYTES + 1, ">u4", data, strides=(1,))
    at = starts + PREFIX
    for _ in range(width):
        at = np.minimum(at, last)
        form = data[at]
        is_value = form == BINARY
        plain &= is_value | (form == NULL)
        copies[at] = np.where(is_value, 0, len(_NULL_FIELD))
        data[at[~is_value]] = 0xFF
        at = at + 1 + np.where(is_value, _LENGTH_BYTES + lengths[at + 1].astype(np.int64), 0)
    return plain
