"""Readings of any rhythm and order in, one row a vehicle and minute out; what cannot be true is named and counted.

Medians within the minute make the result the same for any order and any repeats of a reading that agree, and take out
single spikes. A value that is refused is unknown (NaN); the row stays for what else it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.fuel.rules import ReadingRules
from domain.tracks.table import Flags, Floats, Ints, Table, sizes_of, starts_of

MINUTE_US = 60_000_000
FUTURE_US = 300_000_000


class Fault(StrEnum):
    """Why a reading, or a value of it, does not count."""

    CLOCK = "clock"
    LEVEL_INVALID = "level_invalid"
    LEVEL_NEGATIVE = "level_negative"
    LEVEL_OVER_FULL = "level_over_full"
    LEVEL_DEAD = "level_dead"
    LEVEL_STUCK = "level_stuck"
    TANK_UNKNOWN = "tank_unknown"
    RATE_INVALID = "rate_invalid"
    TOTAL_INVALID = "total_invalid"
    TOTAL_OUTLIER = "total_outlier"
    TOTAL_RESET = "total_reset"
    ODOMETER_INVALID = "odometer_invalid"
    ODOMETER_OUTLIER = "odometer_outlier"
    ODOMETER_RESET = "odometer_reset"


Counts = dict[Fault, int]


def add_counts(*counts: Mapping[Fault, int]) -> Counts:
    """Return the sum, without faults that never were."""
    total: Counts = {}
    for one in counts:
        for fault, count in one.items():
            if count:
                total[fault] = total.get(fault, 0) + int(count)
    return total


@dataclass(frozen=True)
class Minutes(Table):
    """One row a vehicle and minute, sorted by both. NaN is unknown, and -1 in `ignition`.

    Attributes:
        vehicle: the vehicle's code, a position in the caller's list.
        at_us: the minute's begin, microseconds since 1970 UTC.
        level_pct: tank level, 0 to 100.
        speed_kmh: the highest of the minute.
        ignition: 1 if on at any time of it, 0 off.
        rate_lph: mean fuel rate, litres an hour.
        total_l: total fuel counter, litres.
        odometer_km: kilometres.
        altitude_m: metres.
        temperature_c: ambient, degrees Celsius.
    """

    vehicle: Ints
    at_us: Ints
    level_pct: Floats
    speed_kmh: Floats
    ignition: Ints
    rate_lph: Floats
    total_l: Floats
    odometer_km: Floats
    altitude_m: Floats
    temperature_c: Floats


@dataclass(frozen=True)
class Gathered:
    """Minutes, and how many readings or values were refused and why."""

    minutes: Minutes
    counts: Counts = field(default_factory=dict)


def make_minutes(
    vehicle: npt.ArrayLike,
    at_us: npt.ArrayLike,
    *,
    level_pct: npt.ArrayLike | None = None,
    speed_kmh: npt.ArrayLike | None = None,
    ignition: npt.ArrayLike | None = None,
    rate_lph: npt.ArrayLike | None = None,
    total_l: npt.ArrayLike | None = None,
    odometer_km: npt.ArrayLike | None = None,
    altitude_m: npt.ArrayLike | None = None,
    temperature_c: npt.ArrayLike | None = None,
    now_us: int | None = None,
    rules: ReadingRules | None = None,
) -> Gathered:
    """Return the minutes of readings in any order; columns that are not given are unknown throughout.

    `now_us`: later than this and five minutes the sender's clock runs ahead; None trusts the future.
    """
    rules = rules or ReadingRules()
    vehicles, times = np.asarray(vehicle, np.int64), np.asarray(at_us, np.int64)

    def column(values: npt.ArrayLike | None) -> Floats:
        return np.full(len(vehicles), np.nan) if values is None else np.asarray(values, np.float64)

    values = {
        "level_pct": column(level_pct),
        "speed_kmh": column(speed_kmh),
        "rate_lph": column(rate_lph),
        "total_l": column(total_l),
        "odometer_km": column(odometer_km),
        "altitude_m": column(altitude_m),
        "temperature_c": column(temperature_c),
    }
    switched = np.full(len(vehicles), -1, np.int64) if ignition is None else np.asarray(ignition, np.int64)
    is_timely = times >= rules.oldest_us
    if now_us is not None:
        is_timely &= times <= now_us + FUTURE_US
    values, counts = _judge(values, rules)
    keep = np.flatnonzero(is_timely)
    minutes = _roll_up(
        vehicles[keep], times[keep], switched[keep], {name: one[keep] for name, one in values.items()}
    )
    return Gathered(minutes, add_counts(counts, {Fault.CLOCK: len(times) - len(keep)}))


def _judge(values: dict[str, Floats], rules: ReadingRules) -> tuple[dict[str, Floats], Counts]:
    level, rate, total = values["level_pct"], values["rate_lph"], values["total_l"]
    odometer = values["odometer_km"]
    verdicts: list[tuple[str, Fault, Flags]] = [
        ("level_pct", Fault.LEVEL_INVALID, np.isinf(level)),
        ("level_pct", Fault.LEVEL_NEGATIVE, np.isfinite(level) & (level < 0)),
        ("level_pct", Fault.LEVEL_OVER_FULL, np.isfinite(level) & (level > 100)),
        ("rate_lph", Fault.RATE_INVALID, (rate < 0) | (rate > rules.most_lph)),
        ("total_l", Fault.TOTAL_INVALID, (total < 0) | np.isinf(total)),
        ("odometer_km", Fault.ODOMETER_INVALID, (odometer < 0) | np.isinf(odometer)),
    ]
    judged, counts = dict(values), {}
    for name, fault, is_bad in verdicts:
        counts[fault] = int(is_bad.sum())
        judged[name] = np.where(is_bad, np.nan, judged[name])
    for name in ("speed_kmh", "altitude_m", "temperature_c"):
        judged[name] = np.where(np.isfinite(judged[name]), judged[name], np.nan)
    return judged, counts


def _roll_up(vehicle: Ints, at_us: Ints, ignition: Ints, values: dict[str, Floats]) -> Minutes:
    minute = at_us - at_us % MINUTE_US
    order = np.lexsort((minute, vehicle))
    starts = starts_of(vehicle[order], minute[order])
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), sizes_of(starts, len(order)))
    rows = {name: _median_of(group, one, len(starts)) for name, one in values.items() if name != "rate_lph"}
    rows["rate_lph"] = _mean_of(group, values["rate_lph"], len(starts))
    rows["speed_kmh"] = _most_of(group, values["speed_kmh"], len(starts))
    firsts = order[starts]
    switched = np.full(len(starts), -1, np.int64)
    np.maximum.at(switched, group, np.clip(ignition, -1, 1))
    return Minutes(vehicle=vehicle[firsts], at_us=minute[firsts], ignition=switched, **rows)


def _median_of(group: Ints, values: Floats, groups: int) -> Floats:
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.lexsort((values[known], group[known]))]
    found = np.full(groups, np.nan)
    if len(order):
        starts = starts_of(group[order])
        sizes = sizes_of(starts, len(order))
        low, high = values[order[starts + (sizes - 1) // 2]], values[order[starts + sizes // 2]]
        found[group[order[starts]]] = low + (high - low) / 2
    return found


def _mean_of(group: Ints, values: Floats, groups: int) -> Floats:
    """Return means; of sorted values, because a sum of floats depends on its order."""
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.lexsort((values[known], group[known]))]
    found = np.full(groups, np.nan)
    if len(order):
        starts = starts_of(group[order])
        sums: npt.NDArray[Any] = np.add.reduceat(values[order], starts)
        found[group[order[starts]]] = sums / sizes_of(starts, len(order))
    return found


def _most_of(group: Ints, values: Floats, groups: int) -> Floats:
    found = np.full(groups, -np.inf)
    known = ~np.isnan(values)
    np.maximum.at(found, group[known], values[known])
    return np.where(np.isinf(found), np.nan, found)
