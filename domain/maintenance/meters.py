"""Meters over a vehicle's life: odometers and hour meters that jump, roll back, or are replaced.

Readings come in any order and repeated. What comes out is the use since the meter's zero, added up over replacements,
so that an interval of 30,000 km stays 30,000 km when a new instrument starts at nought.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

_CONFIRMATIONS = 3
"""Readings in a row, consistent with each other, that make a break a new meter; fewer are faults of a reading."""


@dataclass(frozen=True, slots=True, order=True)
class Reading:
    """What a meter showed at the end of a day: km or hours."""

    day: date
    value: float


@dataclass(frozen=True, slots=True)
class MeterKind:
    """What a meter can do: the most that it counts a day, and by how much two readings of it may disagree."""

    name: str
    unit: str
    most_a_day: float
    tolerance: float


ODOMETER = MeterKind("odometer", "km", 2_000.0, 2.0)
"""Two drivers, 24 h at less than 90 km/h (the limiter of Directive 92/6/EEC) stay below."""
ENGINE_HOURS = MeterKind("engine hours", "h", 24.0, 0.5)


@dataclass(frozen=True, slots=True)
class Meter:
    """Use since zero, day by day, never falling: `days[i]` ends at `used[i]`.

    `replaced_on`: the days from which another meter counts. `refused`: readings left out (not finite, negative, out
    of line with those around them). `unconfirmed`: the last readings, if they are out of line and too few to tell a
    new meter.
    """

    kind: MeterKind
    days: tuple[date, ...]
    used: tuple[float, ...]
    replaced_on: tuple[date, ...] = ()
    refused: int = 0
    unconfirmed: int = 0

    @property
    def now(self) -> float | None:
        """The use up to the last reading; None without any."""
        return self.used[-1] if self.used else None

    def at(self, day: date) -> float | None:
        """Return the use by the end of a day, straight between readings; None before the first, flat after the last."""
        place = bisect_right(self.days, day)
        if place == 0:
            return None
        if place == len(self.days) or self.days[place - 1] == day:
            return self.used[place - 1]
        before, after = self.days[place - 1], self.days[place]
        share = (day - before).days / (after - before).days
        return self.used[place - 1] + share * (self.used[place] - self.used[place - 1])

    def reached(self, use: float) -> date | None:
        """Return the day of the first reading with at least this use; None if it has not come to that."""
        place = bisect_left(self.used, use)
        return self.days[place] if place < len(self.days) else None

    def daily(self) -> dict[date, float]:
        """Return the use of each day between the readings; a gap of several days is spread evenly over them.

        Days of a replacement are left out: what was driven between the last reading and the first is a guess.
        """
        found: dict[date, float] = {}
        for i in range(1, len(self.days)):
            gap = (self.days[i] - self.days[i - 1]).days
            if self.days[i] in self.replaced_on:
                continue
            for step in range(gap):
                found[date.fromordinal(self.days[i].toordinal() - step)] = (
                    self.used[i] - self.used[i - 1]
                ) / gap
        return found


def read_meter(kind: MeterKind, readings: Iterable[Reading], today: date) -> Meter:
    """Return the meter that the readings show up to today; the same for any order and any repeats of them.

    A reading out of line with the one before (it falls by more than the tolerance, or rises faster than the meter
    can) waits. If the next ones return to the old line, it was a fault; if three in a row go on from it, the meter
    was replaced (or, where the old line has fewer than three itself, that was the fault). The new meter then is taken
    to have begun at zero if it could have counted its value since the last reading of the old one, and else to have
    begun at its first reading.
    """
    given = set(readings)
    usable = sorted(one for one in given if 0 <= one.value < float("inf") and one.day <= today)
    state = _Line(kind)
    for day, value in _last_of_each_day(usable).items():
        state.add(Reading(day, value))
    return state.meter(refused=len(given) - len(usable))


def _last_of_each_day(readings: Sequence[Reading]) -> dict[date, float]:
    """Return each day's highest reading: meters only count up."""
    return {one.day: one.value for one in readings}


class _Line:
    """The line of readings that agree, and those that wait for a verdict."""

    def __init__(self, kind: MeterKind) -> None:
        self._kind = kind
        self._taken: list[Reading] = []
        self._used: list[float] = []
        self._waiting: list[Reading] = []
        self._replaced: list[date] = []
        self._refused = 0

    def add(self, reading: Reading) -> None:
        if not self._taken or self._follows(self._taken[-1], reading):
            self._refused += len(self._waiting)
            self._waiting = []
            self._take(reading)
        elif not self._waiting or self._follows(self._waiting[-1], reading):
            self._waiting.append(reading)
            if len(self._waiting) == _CONFIRMATIONS:
                self._replace()
        else:
            self._refused += len(self._waiting)
            self._waiting = [reading]

    def _follows(self, before: Reading, after: Reading) -> bool:
        rise = after.value - before.value
        most = self._kind.most_a_day * max(1, (after.day - before.day).days) + self._kind.tolerance
        return -self._kind.tolerance <= rise <= most

    def _take(self, reading: Reading) -> None:
        rise = reading.value - self._taken[-1].value if self._taken else reading.value
        self._used.append((self._used[-1] if self._used else 0.0) + max(0.0, rise))
        self._taken.append(reading)

    def _replace(self) -> None:
        if len(self._taken) < _CONFIRMATIONS:
            self._begin_again()
            return
        old, (first, *others) = self._taken[-1], self._waiting
        possible = self._kind.most_a_day * (first.day - old.day).days
        self._used.append(self._used[-1] + (first.value if first.value <= possible else 0.0))
        self._taken.append(first)
        self._replaced.append(first.day)
        self._waiting = []
        for reading in others:
            self._take(reading)

    def _begin_again(self) -> None:
        """Take the first readings for faults: they are fewer than those that contradict them."""
        self._refused += len(self._taken)
        waiting, self._taken, self._used, self._waiting = self._waiting, [], [], []
        for reading in waiting:
            self._take(reading)

    def meter(self, refused: int) -> Meter:
        days = tuple(one.day for one in self._taken)
        return Meter(
            self._kind,
            days,
            tuple(self._used),
            tuple(self._replaced),
            refused + self._refused,
            len(self._waiting),
        )
