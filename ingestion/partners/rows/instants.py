"""Times in text as instants in UTC: layouts tried in order, local times by their zone.

An hour that a zone skips: the time is shifted forward by the gap (as clocks that were not put forward would show), or
refused. An hour that it has twice: the earlier or the later one, or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.model import Rule
from ingestion.partners.declare.model import LocalTimes
from ingestion.partners.rows.layouts import Layout
from ingestion.partners.rows.verdicts import Bools, bools

_US = pa.timestamp("us")
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Instants:
    """Microseconds since 1970 in UTC (null where there is none), what was refused, and the layouts that fitted."""

    values: pa.Array
    refused: Sequence[tuple[Bools, Rule, str]]
    layouts: frozenset[str]


class InstantReader:
    """Reads one column's times by its declaration."""

    def __init__(self, times: LocalTimes, extra_layouts: Sequence[str] = ()) -> None:
        self.times = times
        self.layouts = [Layout(text) for text in dict.fromkeys((*times.layouts, *extra_layouts))]

    def read(self, texts: pa.Array) -> Instants:
        """Read a cleaned column; a text is read by the first layout that it fits."""
        count = len(texts)
        given = bools(texts.is_valid())
        local = pa.nulls(count, pa.int64())
        instants = pa.nulls(count, pa.int64())
        open_rows = given.copy()
        used: set[str] = set()
        for layout in self.layouts:
            if not open_rows.any():
                break
            rest = texts if open_rows.all() else pc.if_else(pa.array(open_rows), texts, None)
            found_local, found_instants = layout.read(rest)
            if not layout.has_time and self.times.at is not None:
                found_local = pc.add(found_local, _of_day(self.times))
            taken = bools(found_local.is_valid())
            if found_instants is not None:
                taken |= bools(found_instants.is_valid())
                instants = pc.coalesce(instants, found_instants)
            if taken.any():
                used.add(layout.text)
                local = pc.coalesce(local, found_local)
            open_rows &= ~taken
        refused: list[tuple[Bools, Rule, str]] = []
        if open_rows.any():
            words = " or ".join(repr(layout.text) for layout in self.layouts)
            refused.append((open_rows, Rule.WRONG_TYPE, f"is not a time of the layout {words}"))
        values = pc.coalesce(instants, self._from_local(local, refused))
        return Instants(values, refused, frozenset(used))

    def _from_local(self, local: pa.Array, refused: list[tuple[Bools, Rule, str]]) -> pa.Array:
        if local.null_count == len(local):
            return local
        zone = self.times.zone
        if zone is None:
            words = "has no zone, and none is declared"
            refused.append((bools(local.is_valid()), Rule.TIMESTAMP_WITHOUT_ZONE, words))
            return pa.nulls(len(local), pa.int64())
        if zone == "UTC":
            return local
        naive = local.cast(_US)
        side = "latest" if self.times.overlap == "later" else "earliest"
        read = pc.assume_timezone(naive, zone, ambiguous=side, nonexistent="latest")
        values = read.cast(pa.int64())
        back = pc.local_timestamp(read).cast(pa.int64())
        in_gap = bools(pc.not_equal(back, local))
        if in_gap.any():
            values = self._judge_gap(local, values, in_gap, refused)
        if self.times.overlap == "reject":
            other = pc.assume_timezone(naive, zone, ambiguous="latest", nonexistent="latest").cast(pa.int64())
            twice = bools(pc.not_equal(other, read.cast(pa.int64()))) & ~in_gap
            if twice.any():
                refused.append((twice, Rule.WRONG_TYPE, f"is an hour that {zone} has twice on that day"))
        return values

    def _judge_gap(
        self, local: pa.Array, values: pa.Array, in_gap: Bools, refused: list[tuple[Bools, Rule, str]]
    ) -> pa.Array:
        if self.times.gap == "reject":
            refused.append((in_gap, Rule.WRONG_TYPE, f"is an hour that {self.times.zone} skips on that day"))
            return values
        zone = ZoneInfo(str(self.times.zone))
        shifted = np.array(values.fill_null(0).to_numpy(zero_copy_only=False))
        for i in np.flatnonzero(in_gap).tolist():
            offset = local[i].cast(_US).as_py().replace(tzinfo=zone, fold=0).utcoffset()
            shifted[i] = local[i].as_py() - int(offset.total_seconds() * 1_000_000)
        return pa.array(shifted, pa.int64(), mask=~bools(values.is_valid()))


def _of_day(times: LocalTimes) -> int:
    at = times.at
    assert at is not None
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000
