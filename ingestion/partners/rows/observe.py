"""Watches the columns of a file while it is read: kinds, shapes, how values are written. From samples, not all rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.declare.names import split_unit
from ingestion.partners.read.block import Block
from ingestion.partners.rows.binding import Binding
from ingestion.partners.schema import ObservedColumn, ObservedSchema

FIRST_SAMPLE = 300
SAMPLE = 15
"""Values of each column that are looked at, of the first block and of each later one, from both its ends."""

_NUMBER = re.compile(r"[+-]?\d+(?:([.,])\d+)?(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:([., '])\d{3})+(?:([.,])\d+)?")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4}")
_CLOCK = re.compile(r"[T ]\d{1,2}:\d{2}")
_LETTERS = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d+")
_MOST = 0.6


@dataclass
class _Seen:
    """What was seen of one column so far."""

    kinds: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    written: set[str] = field(default_factory=set)
    looked_at: int = 0
    empty: int = 0


class Observer:
    """Collects what blocks show of their columns."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._names: Sequence[str] = ()
        self._binding: Binding | None = None

    def look(self, block: Block, binding: Binding) -> None:
        """Look at a sample of a block: its first and its last rows."""
        self._names, self._binding = block.names, binding
        rows, sample = block.rows, SAMPLE if self._seen else FIRST_SAMPLE
        at = np.unique(np.concatenate([np.arange(min(rows, sample)), np.arange(max(0, rows - sample), rows)]))
        chosen = pa.array(at.astype(np.int64))
        mapped = binding.mapped
        for place in range(len(block.names)):
            seen = self._seen.setdefault(place, _Seen())
            texts = block.columns[place].take(chosen)
            values = pc.value_counts(pc.utf8_trim_whitespace(pc.fill_null(texts, "")))
            for pair in values.to_pylist():
                _note(seen, pair["values"], pair["counts"], place in mapped)

    def schema(self, layouts: Mapping[str, set[str]]) -> ObservedSchema:
        """Return what was seen; `layouts` are those that the times of a contract column were read by."""
        mapped = self._binding.mapped if self._binding else {}
        columns = []
        for place, name in enumerate(self._names):
            seen, column = self._seen.get(place, _Seen()), mapped.get(place)
            written = layouts.get(column or "", set()) or seen.written
            columns.append(
                ObservedColumn(
                    name=name,
                    kind=_kind(seen.kinds),
                    column=column,
                    unit=split_unit(name)[1],
                    written=tuple(sorted(written)),
                    shape=_most(seen.shapes),
                    null_share=round(seen.empty / seen.looked_at, 3) if seen.looked_at else 0.0,
                )
            )
        return ObservedSchema(tuple(columns))


def _note(seen: _Seen, text: str, count: int, mapped: bool) -> None:
    seen.looked_at += count
    if not text:
        seen.empty += count
        return
    kind, written = kind_of(text)
    seen.kinds[kind] += count
    if written and mapped:
        seen.written.add(written)
    if len(seen.shapes) < 200:
        seen.shapes[shape_of(text)] += count


def kind_of(text: str) -> tuple[str, str | None]:
    """Return the kind of a value, and for a number its decimal sign in words."""
    if match := _NUMBER.fullmatch(text):
        sign = match[1]
        return ("decimal", "decimal comma" if sign == "," else "decimal point") if sign else ("integer", None)
    if match := _GROUPED.fullmatch(text):
        sign = match[2]
        return "decimal", {",": "decimal comma", ".": "decimal point"}.get(sign or "")
    if match := _DATE.match(text):
        rest = text[match.end() :]
        return ("time" if _CLOCK.match(rest) else "date" if not rest else "text"), None
    return "text", None


def shape_of(text: str) -> str:
    """Return what a value looks like: letters as A, digits as 9, runs as one."""
    return _DIGITS.sub("9", _LETTERS.sub("A", text[:64]))[:24]


def _kind(kinds: Counter[str]) -> str:
    """Return the narrowest kind that most values are of: a few words in a column of numbers are sentinels."""
    total = sum(kinds.values())
    if not total:
        return "nothing"
    if kinds["text"] > (1 - _MOST) * total:
        return "text"
    numbers, times = kinds["integer"] + kinds["decimal"], kinds["date"] + kinds["time"]
    if numbers >= times:
        return "decimal" if kinds["decimal"] else "integer"
    return "time" if kinds["time"] else "date"


def _most(shapes: Counter[str]) -> str:
    total = sum(shapes.values())
    shape, count = shapes.most_common(1)[0] if shapes else ("", 0)
    return shape if total and count >= _MOST * total else ""
