"""The batch that comes in: can_frame rows with their vehicle's model and year, as flat arrays of numbers.

Texts become codes of a dictionary, payloads one buffer with offsets; nothing is done row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.telemetry.extract import PADDING, Integers, Payloads

INSTANT = pa.timestamp("us", "UTC")
FRAMES = pa.schema(
    [
        pa.field("tenant_id", pa.string(), nullable=False),
        pa.field("vehicle_id", pa.string(), nullable=False),
        pa.field("captured_at", INSTANT, nullable=False),
        pa.field("channel", pa.string(), nullable=False),
        pa.field("arbitration_id", pa.int64(), nullable=False),
        pa.field("is_extended", pa.bool_(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("model_year", pa.int32()),
    ]
)
"""Columns that must be there; more (event_id, ...) may be, and come back with the raw frames.

`model` and `model_year` are the vehicle's, as the caller knows them; null where it knows none.
"""
MAX_PAYLOAD = 64


class FramesError(ValueError):
    """The table is not one of CAN frames: a column is missing, of another type, or null where it may not be."""


@dataclass(frozen=True)
class Coded:
    """A text column: each row's place in `texts`, -1 for null."""

    codes: npt.NDArray[np.int32]
    texts: pa.Array

    @cached_property
    def words(self) -> list[str]:
        """The distinct texts by their codes."""
        words: list[str] = self.texts.to_pylist()
        return words

    def text(self, row: int) -> str:
        """Return one row's text."""
        return self.words[int(self.codes[row])]


@dataclass(frozen=True)
class Frames:
    """The frames of a batch; each array has one item a frame. `captured_us` is UTC in microseconds since 1970."""

    table: pa.Table
    tenant: Coded
    vehicle: Coded
    """A vehicle's name; only with its tenant it is one vehicle."""
    identity: Integers
    """The same number for the same vehicle of the same tenant."""
    vehicles: int
    channel: Coded
    model: Coded
    model_year: Integers
    """-1: not known."""
    captured_us: Integers
    arbitration_id: Integers
    is_extended: npt.NDArray[np.bool_]
    payloads: Payloads
    lengths: Integers

    def __len__(self) -> int:
        return len(self.captured_us)

    def payload(self, row: int) -> bytes:
        """Return one payload."""
        start = int(self.payloads.offsets[row])
        return bytes(self._content[start : start + int(self.lengths[row])])

    @cached_property
    def _content(self) -> memoryview:
        return self.payloads.buffer.data


def read_frames(table: pa.Table) -> Frames:
    """Take a table of `FRAMES` columns apart.

    Raises:
        FramesError: it is no such table.
    """
    columns = {field.name: _column(table, field) for field in FRAMES}
    tenant, vehicle = _coded(columns["tenant_id"]), _coded(columns["vehicle_id"])
    identity, pairs = distinct(tenant.codes.astype(np.int64) * max(1, len(vehicle.texts)) + vehicle.codes)
    payloads, lengths = _payloads(columns["payload"])
    return Frames(
        table=table,
        tenant=tenant,
        vehicle=vehicle,
        identity=identity,
        vehicles=len(pairs),
        channel=_coded(columns["channel"]),
        model=_coded(columns["model"]),
        model_year=_numbers(columns["model_year"].fill_null(-1)),
        captured_us=_numbers(columns["captured_at"].cast(pa.int64())),
        arbitration_id=_numbers(columns["arbitration_id"]),
        is_extended=columns["is_extended"].to_numpy(zero_copy_only=False).astype(np.bool_),
        payloads=payloads,
        lengths=lengths,
    )


def _column(table: pa.Table, field: pa.Field) -> pa.Array:
    if field.name not in table.column_names:
        raise FramesError(f"{field.name}: the column is missing")
    column = table.column(field.name)
    if pa.types.is_dictionary(column.type) and pa.types.is_string(field.type):
        column = column.unify_dictionaries()
    else:
        try:
            column = column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as fault:
            raise FramesError(f"{field.name}: {field.type} is wanted, not {column.type} ({fault})") from None
    if not field.nullable and column.null_count:
        raise FramesError(f"{field.name}: null in {column.null_count:,} rows")
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _coded(column: pa.Array) -> Coded:
    found = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Coded(codes, found.dictionary.cast(pa.string()))


def _numbers(column: pa.Array) -> Integers:
    numbers: Integers = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def distinct(numbers: Integers) -> tuple[Integers, Integers]:
    """Return each number's place among the distinct ones, and those, in the order of appearance."""
    found = pa.array(numbers).dictionary_encode()
    return _numbers(found.indices), _numbers(found.dictionary)


def _payloads(column: pa.Array) -> tuple[Payloads, Integers]:
    """Lay the payloads end to end, with room after the last one for a window that begins in it."""
    lengths = _numbers(pc.binary_length(column))
    offsets = np.zeros(len(column) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    data: Any = column.buffers()[2]
    first = int(np.frombuffer(column.buffers()[1], np.int32)[column.offset]) if len(column) else 0
    size = int(offsets[-1])
    buffer = np.zeros(size + PADDING + MAX_PAYLOAD, np.uint8)
    if size:
        buffer[:size] = np.frombuffer(data, np.uint8)[first : first + size]
    aligned = bool(np.all(lengths % 8 == 0))
    return Payloads(buffer, offsets[:-1], aligned=aligned), lengths
