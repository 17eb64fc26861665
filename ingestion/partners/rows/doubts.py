"""Whether days and months have changed places: another order of them reads as well as the declared one, or better.

Looked at is a sample of each block, against the time of the file: a partner's lines are of the last days. A date
that reads both ways is in doubt only if nearly all of a file's dates are old as declared and fresh the other way.
Several blocks may be looked at at a time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.partners.rows.layouts import Layout

_SAMPLE = 200
_NEARLY_ALL = 0.9
_HOUR_US = 3_600_000_000


@dataclass
class _Counts:
    values: int = 0
    read: int = 0
    fresh: int = 0
    other_read: int = 0
    other_fresh: int = 0


class LayoutDoubt:
    """Watches one column of times."""

    def __init__(self, layouts: tuple[str, ...], file_us: int, late_us: int) -> None:
        numeric = [text for text in layouts if "%d" in text and "%m" in text]
        self._layouts = [Layout(text) for text in numeric]
        self._others = [Layout(swapped(text)) for text in numeric if swapped(text) not in layouts]
        self._oldest, self._newest = file_us - late_us, file_us + _HOUR_US
        self._counts = _Counts()
        self._counting = threading.Lock()

    def look(self, texts: pa.Array) -> None:
        """Look at some values of a block."""
        if not self._layouts or not self._others:
            return
        sample = texts.drop_null()[:_SAMPLE]
        if not len(sample):
            return
        read, fresh = self._tried(self._layouts, sample)
        other_read, other_fresh = self._tried(self._others, sample)
        with self._counting:
            counts = self._counts
            counts.values += len(sample)
            counts.read += read
            counts.fresh += fresh
            counts.other_read += other_read
            counts.other_fresh += other_fresh

    def _tried(self, layouts: list[Layout], sample: pa.Array) -> tuple[int, int]:
        found = pa.nulls(len(sample), pa.int64())
        for layout in layouts:
            local, instants = layout.read(sample)
            found = pc.coalesce(found, local, instants if instants is not None else local)
        values = np.asarray(found.drop_null())
        day = 86_400_000_000  # zones and times of day do not matter here
        fresh = (values >= self._oldest - day) & (values <= self._newest + day)
        return len(values), int(np.count_nonzero(fresh))

    @property
    def words(self) -> str | None:
        """What speaks for the other order, or None."""
        counts = self._counts
        if not counts.values or counts.other_read < _NEARLY_ALL * counts.values:
            return None
        declared = " or ".join(repr(layout.text) for layout in self._layouts)
        other = " or ".join(repr(layout.text) for layout in self._others)
        if counts.read < _NEARLY_ALL * counts.values:
            share, rest = counts.other_read / counts.values, counts.read / counts.values
            return (
                f"{share:.0%} of the values read as {other}, and {rest:.0%} as {declared}, which is declared"
            )
        seldom = (1 - _NEARLY_ALL) * counts.values
        if counts.fresh <= seldom and counts.other_fresh >= _NEARLY_ALL * counts.values:
            return (
                f"read as {declared}, which is declared, the values are far from the file's own time; read as {other}"
                f" {counts.other_fresh / counts.values:.0%} of them are close to it"
            )
        return None


def swapped(layout: str) -> str:
    """Return a layout with day and month in each other's place."""
    return layout.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")
