"""Slow losses: what is missing beyond burn, refills and drains, by vehicle and UTC day; leaks over several days.

Days add up: a rest over midnight gives each day its part, so that a day's row does not depend on where a history was
begun or cut, as long as the day before is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from domain.fuel.events import Event, without_events
from domain.fuel.level import Levels
from domain.fuel.rules import LeakRules
from domain.tracks.table import Floats, Ints, sizes_of, starts_of

DAY_US = 86_400_000_000


@dataclass(frozen=True)
class DayLoss:
    """What a vehicle lost on a UTC day without an event; negative where the level rose.

    Attributes:
        vehicle: code.
        day: days since 1970.
        tank_l: its tank.
        parked_l, parked_h: lost while standing, and the hours looked at.
        total_l: lost from driving to driving, since the last day with enough of it; None without. With the parked.
        burnt_l: burnt on the day.
        is_measured: by counter or rate, but for the little that a history may begin or end with (`reckoned_l`).
        coldest_c: lowest ambient temperature; None unknown.
    """

    vehicle: int
    day: int
    tank_l: float
    parked_l: float
    parked_h: float
    total_l: float | None
    burnt_l: float
    is_measured: bool
    coldest_c: float | None


@dataclass(frozen=True)
class Leak:
    """A loss over days without an event.

    Attributes:
        vehicle: code.
        first_day, last_day: days since 1970.
        litres: lost from the first to the last.
        parked_l, parked_h: of it while standing, and the hours.
        is_parked: seen while standing; else only from driving to driving.
        burnt_l: burnt meanwhile.
        is_measured: burn is by counter or rate.
        coldest_c: lowest ambient temperature.
    """

    vehicle: int
    first_day: int
    last_day: int
    litres: float
    parked_l: float
    parked_h: float
    is_parked: bool
    burnt_l: float
    is_measured: bool
    coldest_c: float | None

    @property
    def parked_lph(self) -> float:
        """Litres an hour while standing."""
        return self.parked_l / self.parked_h if self.parked_h > 0 else 0.0


def find_day_losses(levels: Levels, events: Sequence[Event], rules: LeakRules | None = None) -> list[DayLoss]:
    """Return one row a vehicle and day with a known tank, sorted by both."""
    rules = rules or LeakRules()
    kept = without_events(levels, events)
    day = levels.at_us // DAY_US
    parked = _parked(levels, kept, day, rules)
    driven = _driven(levels, kept, day, rules)
    found = []
    starts = starts_of(levels.vehicle, day)
    for first, length in zip(starts.tolist(), sizes_of(starts, len(day)).tolist(), strict=True):
        rows = slice(first, first + length)
        key = int(levels.vehicle[first]), int(day[first])
        if np.isnan(levels.tank_l[first]):
            continue
        litres, hours = parked.get(key, (0.0, 0.0))
        before = first - 1 if first and levels.vehicle[first - 1] == key[0] else first
        cold = levels.temperature_c[rows]
        found.append(
            DayLoss(
                vehicle=key[0],
                day=key[1],
                tank_l=float(levels.tank_l[first]),
                parked_l=litres,
                parked_h=hours,
                total_l=driven.get(key),
                burnt_l=float(levels.burnt_l[rows][-1] - levels.burnt_l[before]),
                is_measured=_reckoned_l(levels, before, rows.stop) <= rules.reckoned_l,
                coldest_c=None if np.isnan(cold).all() else float(np.nanmin(cold)),
            )
        )
    return found


def _reckoned_l(levels: Levels, first: int, after: int) -> float:
    """Return what was burnt from one row to the last before another by neither counter nor rate."""
    burnt = np.diff(levels.burnt_l[first:after])
    return float(burnt[~levels.is_measured[first + 1 : after]].sum())


def _parked(
    levels: Levels, kept: Floats, day: Ints, rules: LeakRules
) -> dict[tuple[int, int], tuple[float, float]]:
    rows = np.flatnonzero(levels.is_quiet & ~np.isnan(kept))
    found: dict[tuple[int, int], tuple[float, float]] = {}
    if not len(rows):
        return found
    starts = starts_of(levels.rest[rows], day[rows])
    ends = np.append(starts[1:], len(rows))
    rest, last = -1, (0.0, 0)
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - first < rules.least:
            continue
        row, behind = rows[first], rows[max(first, end - rules.window) : end]
        if levels.rest[row] != rest:
            ahead = rows[first : min(end, first + rules.window)]
            last = float(np.median(kept[ahead])), int(np.median(levels.at_us[ahead]))
        rest = int(levels.rest[row])
        now = float(np.median(kept[behind])), int(np.median(levels.at_us[behind]))
        key = int(levels.vehicle[row]), int(day[row])
        litres, hours = found.get(key, (0.0, 0.0))
        found[key] = litres + last[0] - now[0], hours + (now[1] - last[1]) / 3.6e9
        last = now
    return found


def _driven(levels: Levels, kept: Floats, day: Ints, rules: LeakRules) -> dict[tuple[int, int], float]:
    rows = np.flatnonzero(levels.is_moving & ~levels.is_steep & ~np.isnan(kept))
    found: dict[tuple[int, int], float] = {}
    if not len(rows):
        return found
    starts = starts_of(levels.vehicle[rows], day[rows])
    ends = np.append(starts[1:], len(rows))
    vehicle, last = -1, 0.0
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - first < 2 * rules.least:
            continue
        key = int(levels.vehicle[rows[first]]), int(day[rows[first]])
        if key[0] != vehicle:
            last = float(np.median(kept[rows[first : min(end, first + 2 * rules.window)]]))
        vehicle = key[0]
        now = float(np.median(kept[rows[max(first, end - 2 * rules.window) : end]]))
        found[key], last = last - now, now
    return found


def find_leaks(losses: Iterable[DayLoss], rules: LeakRules | None = None) -> list[Leak]:
    """Return the leaks in days' losses, in any order: spells of days at which the last few days lost too much."""
    rules = rules or LeakRules()
    ordered = sorted(losses, key=lambda one: (one.vehicle, one.day))
    found: list[Leak] = []
    for _, group in groupby(ordered, key=lambda one: one.vehicle):
        days = list(group)
        spell: list[DayLoss] = []
        parked = False
        for place, one in enumerate(days):
            recent = [other for other in days[: place + 1] if other.day > one.day - rules.days]
            is_parked = _is_parked_leak(recent, rules)
            if is_parked or _is_driven_leak(recent, rules):
                spell += [other for other in recent if other not in spell]
                parked = parked or is_parked
            elif spell:
                found.append(_leak(spell, parked))
                spell, parked = [], False
        if spell:
            found.append(_leak(spell, parked))
    return found


def _is_parked_leak(days: Sequence[DayLoss], rules: LeakRules) -> bool:
    lost, hours = sum(one.parked_l for one in days), sum(one.parked_h for one in days)
    if lost < max(rules.min_l, rules.min_share * days[-1].tank_l) or lost < rules.min_lph * hours:
        return False
    if max(one.parked_l for one in days) > rules.one_day_share * lost:
        return False
    totals = [one.total_l for one in days[1:] if one.total_l is not None]
    since = sum(one.parked_l for one in days[1:])
    if totals and all(one.is_measured for one in days):
        return sum(totals) >= rules.returns_share * since
    return True


def _is_driven_leak(days: Sequence[DayLoss], rules: LeakRules) -> bool:
    totals = [one.total_l for one in days if one.total_l is not None]
    if not totals or not all(one.is_measured for one in days):
        return False
    least = max(rules.min_l, rules.min_share * days[-1].tank_l)
    least += rules.burn_share * sum(one.burnt_l for one in days)
    return sum(totals) >= least and max(totals) <= rules.one_day_share * sum(totals)


def _leak(days: Sequence[DayLoss], is_parked: bool) -> Leak:
    parked = sum(one.parked_l for one in days)
    total = sum(one.total_l for one in days if one.total_l is not None)
    cold = [one.coldest_c for one in days if one.coldest_c is not None]
    return Leak(
        vehicle=days[0].vehicle,
        first_day=days[0].day,
        last_day=days[-1].day,
        litres=max(parked, total) if is_parked else total,
        parked_l=parked,
        parked_h=sum(one.parked_h for one in days),
        is_parked=is_parked,
        burnt_l=sum(one.burnt_l for one in days),
        is_measured=all(one.is_measured for one in days),
        coldest_c=min(cold) if cold else None,
    )
