"""What sends lines, and when: an agenda of moments, and the writer of each entry's lines.

All that is left to chance was drawn when the source was made, so the same plan gives the same lines however the time is
cut; only `recorded_at` of what is sent live follows the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.plan import Faults
from fleetflow.simulator.spoil import Spoiler
from fleetflow.simulator.wire import PLAIN, Event, Mark

Whole = npt.NDArray[np.int64]
_ODD, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1
_NUMBER_BITS, _SOURCE_BITS = 32, 16
REPEATED = Mark(repeat=True)
DELAY_MS = 700
SPOILT_OF_A_SOURCE = 1_000_000


class Writer(Protocol):
    """Writes the lines of an agenda's entry."""

    feed: str
    key: str

    def write(self, number: int, recorded_ms: int, ids: Ids) -> list[bytes]:
        """Return the lines; each takes the next id."""


class Ids:
    """Event ids of one source by number: they never meet those that `EventIds` counts, nor another source's."""

    __slots__ = ("_at", "_prefix", "_salt", "_source")

    def __init__(self, fingerprint: str, source: int) -> None:
        self._prefix, self._salt = fingerprint[:12], int(fingerprint[12:28], 16)
        self._source = (1 << _SOURCE_BITS | source) << _NUMBER_BITS
        self._at = 0

    def seek(self, number: int) -> None:
        """Go to the ids of an entry: it has eight."""
        self._at = number << 3

    def next(self) -> str:
        """Return the next id."""
        count = self._source | self._at
        self._at += 1
        return f"{self._prefix}{(count * _ODD + self._salt) & _MASK:016x}"


@dataclass
class Source:
    """A writer with its number, its agenda (`at_ms`, in order), and what happens to its lines on the way."""

    number: int
    writer: Writer
    at_ms: Whole
    ids: Ids
    chance: npt.NDArray[np.float64]
    faults: Faults
    position: int = 0

    def __post_init__(self) -> None:
        self._spoiler = Spoiler((self.number + 1) * SPOILT_OF_A_SOURCE)

    def until(self, at_ms: int, recorded_ms: int | None) -> list[Event]:
        """Return the lines up to a moment that were not asked for yet; None records each shortly after it happened."""
        last = int(np.searchsorted(self.at_ms, at_ms, side="left"))
        moments = self.at_ms[self.position : last].tolist()
        numbers = range(self.position, last)
        self.position = max(self.position, last)
        feed, key, write, ids = self.writer.feed, self.writer.key, self.writer.write, self.ids
        odd = self.faults.invalid + self.faults.duplicates
        events: list[Event] = []
        for number, moment in zip(numbers, moments, strict=True):
            recorded = moment + DELAY_MS if recorded_ms is None else recorded_ms
            ids.seek(number)
            lines = write(number, recorded, ids)
            events += [(feed, key, line, PLAIN) for line in lines]
            if self.chance[number] < odd:
                events += self._odd(number, recorded, lines)
        return events

    def _odd(self, number: int, recorded: int, lines: Sequence[bytes]) -> Iterator[Event]:
        """A spoilt line besides, or the entry's last line once more."""
        feed, key = self.writer.feed, self.writer.key
        if self.chance[number] >= self.faults.invalid:
            yield feed, key, lines[-1], REPEATED
            return
        self.ids.seek(number + (1 << _NUMBER_BITS - 4))
        line = self.writer.write(number, recorded, self.ids)[0]
        owner, rule, spoilt = self._spoiler.spoil(feed, line)
        yield owner, key, spoilt, Mark(rule=rule)
