"""Fuel of a trip, three ways: the counter's difference, the rate's integral, the level's fall; one of them is used.

Each is None where it cannot be told, never a guess. What was used and how far the next best is from it stand in the
result, so that a reader sees what a figure rests on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from domain.fuel.counters import Counter, read_counter
from domain.fuel.events import Event
from domain.fuel.level import Levelled
from domain.fuel.minutes import MINUTE_US, Minutes
from domain.fuel.rules import ReadingRules, TripFuelRules
from domain.tracks.table import Floats, Ints


class Method(StrEnum):
    """How a trip's fuel was told, best first."""

    TOTAL = "total_fuel_used"
    RATE = "fuel_rate"
    LEVEL = "level"


class TripFault(StrEnum):
    """Why a way of telling, or the figure, does not count."""

    TOTAL_RESET = "total_reset"
    LEVEL_ROSE = "level_rose"
    IMPLAUSIBLE = "implausible"
    DISTANCE_UNKNOWN = "distance_unknown"


@dataclass(frozen=True)
class TripFuel:
    """Fuel of one trip.

    Attributes:
        litres: by `method`; None if no way of telling holds.
        method: which was used.
        by_total_l, by_rate_l, by_level_l: each way's litres.
        level_error_l: standard error of `by_level_l`.
        rate_cover: share of the trip's time that the rate covers.
        compared_with, difference_l: the next best way, and litres less those by it.
        l_100km: litres for 100 km; None for short trips and unknown ways.
        idle_l: burnt while standing with the engine on, by counter or rate.
        faults: what was refused.
    """

    litres: float | None
    method: Method | None
    by_total_l: float | None
    by_rate_l: float | None
    by_level_l: float | None
    level_error_l: float | None
    rate_cover: float
    compared_with: Method | None
    difference_l: float | None
    l_100km: float | None
    idle_l: float | None
    faults: tuple[TripFault, ...] = ()


class FuelLog:
    """What one vehicle's minutes tell of its fuel, to be asked for any number of trips."""

    def __init__(
        self,
        minutes: Minutes,
        levelled: Levelled,
        events: Sequence[Event],
        vehicle: int,
        rules: TripFuelRules | None = None,
        readings: ReadingRules | None = None,
    ) -> None:
        """Take the vehicle's rows. `levelled` must be of these minutes, `events` of these levels."""
        self._rules, readings = rules or TripFuelRules(), readings or ReadingRules()
        low, high = np.searchsorted(minutes.vehicle, [vehicle, vehicle + 1])
        rows = slice(int(low), int(high))
        self._gap_us = readings.rate_gap_s * 1e6
        self._at_us: Ints = minutes.at_us[rows]
        self._rate, self._speed = minutes.rate_lph[rows], minutes.speed_kmh[rows]
        self._levels = levelled.levels.take(np.arange(rows.start, rows.stop))
        self._burn_l, self._is_measured = levelled.burn.litres[rows], levelled.burn.is_measured[rows]
        self._total = minutes.total_l[rows]
        self._counter: Counter = read_counter(
            self._at_us, self._total, readings.most_lph, readings.counter_slack_l, readings.confirm
        )
        self._level_l = self._without(one for one in events if one.vehicle == vehicle)

    def measure(self, start_us: int, end_us: int, km: float | None) -> TripFuel:
        """Return the fuel of a trip that ends after it starts; `km` is its way, None unknown."""
        if end_us <= start_us:
            raise ValueError(f"trip ends at {end_us} us, expected later than its start, {start_us} us")
        faults: list[TripFault] = []
        ways = {
            Method.TOTAL: self._by_total(start_us, end_us, faults),
            Method.RATE: None,
            Method.LEVEL: None,
        }
        by_rate, cover = self._by_rate(start_us, end_us)
        ways[Method.RATE] = by_rate if cover >= self._rules.rate_cover else None
        by_level, error = self._by_level(start_us, end_us, faults)
        ways[Method.LEVEL] = by_level
        order = self._order(ways, error)
        method = order[0] if order else None
        litres = ways[method] if method else None
        others = [one for one in Method if one is not method and ways[one] is not None]
        compared = others[0] if method and others else None
        beside = ways[compared] if compared else None
        litres, l_100km = self._per_100km(litres, km, faults)
        return TripFuel(
            litres=litres,
            method=method if litres is not None else None,
            by_total_l=ways[Method.TOTAL],
            by_rate_l=ways[Method.RATE],
            by_level_l=by_level,
            level_error_l=error,
            rate_cover=cover,
            compared_with=compared if litres is not None else None,
            difference_l=litres - beside if litres is not None and beside is not None else None,
            l_100km=l_100km,
            idle_l=self._idle(start_us, end_us),
            faults=tuple(faults),
        )

    def _order(self, ways: dict[Method, float | None], error: float | None) -> list[Method]:
        total, rate, level = (ways[one] for one in Method)
        coarse = total is not None and total < self._rules.counter_from_l and rate is not None
        order = [Method.RATE, Method.TOTAL] if coarse else [Method.TOTAL, Method.RATE]
        usable = [one for one in order if ways[one] is not None]
        if level is not None and error is not None and level >= self._rules.level_sigmas * error:
            usable.append(Method.LEVEL)
        return usable

    def _per_100km(
        self, litres: float | None, km: float | None, faults: list[TripFault]
    ) -> tuple[float | None, float | None]:
        if litres is None:
            return None, None
        if km is None or not 0 <= km < float("inf"):
            faults.append(TripFault.DISTANCE_UNKNOWN)
            return litres, None
        if km < self._rules.least_km:
            return litres, None
        each = litres / km * 100
        if each > self._rules.most_l_100km and km >= self._rules.most_from_km:
            faults.append(TripFault.IMPLAUSIBLE)
            return None, None
        return litres, each

    def _by_total(self, start_us: int, end_us: int, faults: list[TripFault]) -> float | None:
        """Return the counter's gain from the reading nearest the start to that nearest the end."""
        at_us = self._at_us[self._counter.at]
        edge_us = self._rules.edge_s * 1e6
        first = int(np.searchsorted(at_us, start_us, "right")) - 1
        if first < 0 or start_us - at_us[first] > edge_us:
            first += 1
        last = int(np.searchsorted(at_us, end_us, "left"))
        if last == len(at_us) or at_us[last] - end_us > edge_us:
            last -= 1
        if last <= first or at_us[first] - start_us > edge_us or end_us - at_us[last] > edge_us:
            return None
        gains = self._counter.gain[first + 1 : last + 1]
        if bool(np.isnan(gains).any()):
            faults.append(TripFault.TOTAL_RESET)
            return None
        return float(gains.sum())

    def _by_rate(self, start_us: int, end_us: int) -> tuple[float | None, float]:
        """Return the integral of the rate, and the share of the time that it covers.

        A minute's mean holds until the next one, if that comes within the gap, and else for its minute.
        """
        known = np.flatnonzero(~np.isnan(self._rate))
        if not len(known):
            return None, 0.0
        times = self._at_us[known]
        after = np.append(times[1:], times[-1] + MINUTE_US)
        until = np.where(after - times <= self._gap_us, after, times + MINUTE_US)
        hours = np.maximum(np.minimum(until, end_us) - np.maximum(times, start_us), 0) / 3.6e9
        covered = float(hours.sum()) * 3.6e9 / (end_us - start_us)
        return float((self._rate[known] * hours).sum()), min(covered, 1.0)

    def _by_level(
        self, start_us: int, end_us: int, faults: list[TripFault]
    ) -> tuple[float | None, float | None]:
        before, after = self._level_near(start_us, -1), self._level_near(end_us, 1)
        if before is None or after is None:
            return None, None
        tank = float(self._levels.tank_l[0])
        error = self._rules.level_error_share * tank * 2**0.5
        fell = before - after
        if fell < -self._rules.level_sigmas * error:
            faults.append(TripFault.LEVEL_ROSE)
            return None, error
        return (fell if fell > 0 else None), error

    def _without(self, events: Iterable[Event]) -> Floats:
        """Return the levels as if there had been no events: unknown within one, and put right from its end on.

        So it does not matter on which side of a trip's end a refill lies, or the minutes that its level is read in.
        """
        level = self._levels.level_l.copy()
        for event in events:
            first, last = np.searchsorted(self._at_us, [event.start_us + 1, event.end_us])
            level[first:last] = np.nan
            level[last:] -= event.signed_l
        return level

    def _level_near(self, at_us: int, way: int) -> float | None:
        """Return the median level on the outer side of a trip's end, settled levels before others."""
        edge_us = int(self._rules.edge_s * 1e6)
        first, last = (at_us - edge_us, at_us) if way < 0 else (at_us, at_us + edge_us)
        low, high = np.searchsorted(self._at_us, [first, last + 1])
        rows = np.arange(low, high)
        rows = rows[~np.isnan(self._level_l[rows])]
        quiet = rows[self._levels.is_quiet[rows]]
        rows = quiet if len(quiet) else rows
        return float(np.median(self._level_l[rows])) if len(rows) else None

    def _idle(self, start_us: int, end_us: int) -> float | None:
        """Return what was burnt in minutes below idle speed; None unless all of the trip's burn is measured."""
        low, high = np.searchsorted(self._at_us, [start_us, end_us + 1])
        rows = slice(int(low) + 1, int(high))
        if rows.stop <= rows.start or not bool(self._is_measured[rows].all()):
            return None
        is_idle = self._speed[rows] < self._rules.idle_kmh
        return float(self._burn_l[rows][is_idle].sum())
