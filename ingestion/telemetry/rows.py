"""Signals as they are found, put together to one table at the end: constants a run, codes instead of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.telemetry.extract import Integers, Payloads, Values, Words, raw_values, scaled_values
from ingestion.telemetry.frames import INSTANT, Coded, Frames
from ingestion.telemetry.layout import Field, Layout

_TEXT = pa.dictionary(pa.int32(), pa.string())
SIGNALS = pa.schema(
    [
        pa.field("tenant_id", _TEXT, nullable=False),
        pa.field("vehicle_id", _TEXT, nullable=False),
        pa.field("captured_at", INSTANT, nullable=False),
        pa.field("name", _TEXT, nullable=False),
        pa.field("value", pa.float64()),
        pa.field("text", _TEXT),
        pa.field("unit", _TEXT),
        pa.field("source", _TEXT, nullable=False),
        pa.field("source_address", pa.uint8()),
        pa.field("decoder", _TEXT, nullable=False),
    ]
)
"""A row is one signal of one frame. `value` is null where the vehicle says that there is none; `text` then says why,
else it is the name that the database gives to the value, if any. `source`: "spn 190", "pid 0C", "dbc Message.Signal".
`source_address`: the ECU that sent it, on J1939 and OBD-II. `captured_at` of a message of several frames: its last one.
"""


def coded(codes: npt.NDArray[Any], texts: pa.Array) -> pa.Array:
    """Return a dictionary-encoded column; -1 is null."""
    indices = codes.astype(np.int32, copy=False)
    null = indices < 0
    return pa.DictionaryArray.from_arrays(pa.array(indices, mask=null if null.any() else None), texts)


class SignalRows:
    """Collects the signals of a batch."""

    def __init__(self) -> None:
        self.words = Words()
        self._rows: list[Integers] = []
        self._values: list[Values] = []
        self._constants: list[tuple[int, int, int, int, bool]] = []
        self._names, self._units, self._sources, self._decoders = Words(), Words(), Words(), Words()

    def add(self, field: Field, decoder: str, addressed: bool, rows: Integers, values: Values) -> None:
        """Add one signal of many frames; `rows` are the frames' places in the batch."""
        if not len(rows):
            return
        self._rows.append(rows)
        self._values.append(values)
        self._constants.append(
            (
                self._names.code(field.name),
                -1 if field.unit is None else self._units.code(field.unit),
                self._sources.code(field.source),
                self._decoders.code(decoder),
                addressed,
            )
        )

    def add_layout(
        self, payloads: Payloads, layout: Layout, decoder: str, addressed: bool, rows: Integers
    ) -> None:
        """Add every signal of a layout (not of its multiplexers' cases) of many payloads."""
        for field in layout.fields:
            values = scaled_values(raw_values(payloads, field), field, self.words)
            self.add(field, decoder, addressed, rows, values)

    def table(self, frames: Frames) -> pa.Table:
        """Return all as a table of `SIGNALS`."""
        counts = [len(rows) for rows in self._rows]
        rows = np.concatenate([*self._rows, np.zeros(0, np.int64)])
        names, units, sources, decoders, addressed = (
            np.repeat(np.array(column, np.int32), counts)
            for column in (zip(*self._constants, strict=True) if counts else ([],) * 5)
        )
        addresses = (frames.arbitration_id[rows] & 0xFF).astype(np.uint8)
        columns = [
            _taken(frames.tenant, rows),
            _taken(frames.vehicle, rows),
            pa.array(frames.captured_us[rows]).cast(INSTANT),
            coded(names, _words(self._names)),
            self._numbers(counts),
            coded(self._texts(counts), _words(self.words)),
            coded(units, _words(self._units)),
            coded(sources, _words(self._sources)),
            pa.array(addresses, mask=addressed == 0),
            coded(decoders, _words(self._decoders)),
        ]
        return pa.Table.from_arrays(columns, schema=SIGNALS)

    def _numbers(self, counts: list[int]) -> pa.Array:
        numbers = np.concatenate([*(one.numbers for one in self._values), np.zeros(0)])
        if all(one.null is None for one in self._values):
            return pa.array(numbers)
        null = [
            np.zeros(n, np.bool_) if one.null is None else one.null
            for n, one in zip(counts, self._values, strict=True)
        ]
        return pa.array(numbers, mask=np.concatenate(null))

    def _texts(self, counts: list[int]) -> npt.NDArray[np.int32]:
        texts = [
            np.full(n, -1, np.int32) if one.texts is None else one.texts
            for n, one in zip(counts, self._values, strict=True)
        ]
        return np.concatenate([*texts, np.zeros(0, np.int32)])


def _taken(column: Coded, rows: Integers) -> pa.Array:
    return coded(column.codes[rows], column.texts)


def _words(words: Words) -> pa.Array:
    return pa.array(words.texts(), pa.string())
