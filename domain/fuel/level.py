"""The tank's level in litres beside what was burnt, with rests told from driving and stuck sensors left out.

What steps are looked for in is `kept_l`: level plus what was burnt since the first reading. It is flat but for
refills, drains, leaks and the errors of the sensor, so that windows may be long without a trend in them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.fuel.burn import Burn, elapsed_s, trace_burn
from domain.fuel.minutes import Counts, Fault, Minutes, add_counts
from domain.fuel.rules import LevelRules, ReadingRules
from domain.tracks.table import Flags, Floats, Ints, Table, sizes_of, starts_of


@dataclass(frozen=True)
class Levels(Table):
    """One row a vehicle and minute, sorted by both.

    Attributes:
        vehicle, at_us: as in `Minutes`.
        tank_l: the vehicle's tank; NaN if it is not known or not more than 0.
        level_l: litres in the tank; NaN unknown, refused or stuck.
        burnt_l: litres since the vehicle's first minute.
        is_measured: the burn since the minute before is by counter or rate, not nominal.
        kept_l: `level_l + burnt_l`.
        is_moving: under way in this minute.
        is_quiet: standing, and the fuel has settled.
        is_steep: the road rises or falls too much for a level in motion.
        rest: number of the rest, over all vehicles; -1 under way.
        temperature_c: ambient.
    """

    vehicle: Ints
    at_us: Ints
    tank_l: Floats
    level_l: Floats
    burnt_l: Floats
    is_measured: Flags
    kept_l: Floats
    is_moving: Flags
    is_quiet: Flags
    is_steep: Flags
    rest: Ints
    temperature_c: Floats


@dataclass(frozen=True)
class Levelled:
    """Levels, what was refused, and the stuck stretches as rows (vehicle, from, to, litres burnt meanwhile)."""

    levels: Levels
    burn: Burn
    stuck: tuple[tuple[int, int, int, float], ...]
    counts: Counts


def trace_levels(
    minutes: Minutes,
    tank_l: Floats,
    *,
    nominal_l_100km: Floats | None = None,
    rules: LevelRules | None = None,
    readings: ReadingRules | None = None,
) -> Levelled:
    """Return the levels of minutes; `tank_l` and `nominal_l_100km` are by vehicle code."""
    rules, readings = rules or LevelRules(), readings or ReadingRules()
    burn = trace_burn(minutes, readings, nominal_l_100km)
    tank = np.asarray(tank_l, np.float64)[minutes.vehicle]
    tank = np.where(np.isfinite(tank) & (tank > 0), tank, np.nan)
    is_dead = _is_dead(minutes, rules)
    level = _exact(np.where(is_dead, np.nan, minutes.level_pct) / 100 * tank)
    burnt = _since_first(minutes.vehicle, _exact(burn.litres))
    stuck, is_stuck = _find_stuck(minutes, level, burnt, tank, rules)
    is_moving = _is_moving(minutes, burn.km, rules)
    rest = _number_rests(minutes, is_moving, burn.km, rules)
    counts = {
        Fault.TANK_UNKNOWN: int((np.isnan(tank) & ~np.isnan(minutes.level_pct)).sum()),
        Fault.LEVEL_DEAD: int(is_dead.sum()),
        Fault.LEVEL_STUCK: int(is_stuck.sum()),
    }
    level = np.where(is_stuck, np.nan, level)
    levels = Levels(
        vehicle=minutes.vehicle,
        at_us=minutes.at_us,
        tank_l=tank,
        level_l=level,
        burnt_l=burnt,
        is_measured=burn.is_measured,
        kept_l=level + burnt,
        is_moving=is_moving,
        is_quiet=_is_quiet(minutes, rest, rules),
        is_steep=_is_steep(minutes, burn.km, rules),
        rest=rest,
        temperature_c=minutes.temperature_c,
    )
    return Levelled(levels, burn, stuck, add_counts(burn.counts, counts))


def _exact(litres: Floats) -> Floats:
    """Return litres in whole 1/1024: sums of them are exact, and so the same from whichever row one starts."""
    return np.asarray(np.round(litres * 1024) / 1024)


def _since_first(vehicle: Ints, step: Floats) -> Floats:
    """Return running sums that start anew with each vehicle."""
    starts = starts_of(vehicle)
    total = np.cumsum(step)
    return np.asarray(total - np.repeat(total[starts], sizes_of(starts, len(step))))


def _is_moving(minutes: Minutes, km: Floats, rules: LevelRules) -> Flags:
    """Say where it moves: by speed; unknown, by odometer within the minute; unknown too, standing."""
    by_way = (np.nan_to_num(km) > rules.same_place_km) & (elapsed_s(minutes) <= rules.settle_s)
    return np.where(np.isnan(minutes.speed_kmh), by_way, minutes.speed_kmh >= rules.moving_kmh)


def _number_rests(minutes: Minutes, is_moving: Flags, km: Floats, rules: LevelRules) -> Ints:
    """Number the rests. Silence ends one if the odometer moved meanwhile; if that is not known, it stood."""
    if not len(minutes):
        return np.empty(0, np.int64)
    went_on = (np.nan_to_num(km) > rules.same_place_km) & ~is_moving
    begins = np.zeros(len(minutes), np.bool_)
    begins[starts_of(minutes.vehicle, is_moving)] = True
    begins |= went_on
    return np.where(is_moving, -1, np.cumsum(begins & ~is_moving) - 1)


def _is_quiet(minutes: Minutes, rest: Ints, rules: LevelRules) -> Flags:
    """Say where it has stood for the settling time: from the rest's first minute on."""
    starts = starts_of(rest, minutes.vehicle)
    began = np.repeat(minutes.at_us[starts], sizes_of(starts, len(rest)))
    return (rest >= 0) & (minutes.at_us - began >= rules.settle_s * 1e6)


def _is_steep(minutes: Minutes, km: Floats, rules: LevelRules) -> Flags:
    """Say where the grade from the minute before exceeds what a level in motion stands; unknown is level."""
    if not len(minutes):
        return np.empty(0, np.bool_)
    way = np.where(np.isnan(km), np.nan_to_num(minutes.speed_kmh) * elapsed_s(minutes) / 3600, km)
    rise = np.abs(np.diff(minutes.altitude_m, prepend=minutes.altitude_m[:1]))
    long_enough = way >= rules.grade_over_km
    return long_enough & (np.nan_to_num(rise) > rules.max_grade * way * 1000)


def _is_dead(minutes: Minutes, rules: LevelRules) -> Flags:
    """Say where the sensor shows nothing between readings, or beside a reading, of something."""
    known = np.flatnonzero(~np.isnan(minutes.level_pct))
    is_dead = np.zeros(len(minutes), np.bool_)
    if not len(known):
        return is_dead
    vehicle, shown = minutes.vehicle[known], minutes.level_pct[known]
    starts = starts_of(vehicle, shown <= rules.dead_pct)
    is_zero = shown[starts] <= rules.dead_pct
    lasts = np.append(starts[1:], len(known)) - 1
    before, after = np.maximum(starts - 1, 0), np.minimum(lasts + 1, len(known) - 1)
    is_alive = (vehicle[before] == vehicle[starts]) & (shown[before] > rules.alive_pct)
    is_alive |= (vehicle[after] == vehicle[starts]) & (shown[after] > rules.alive_pct)
    is_dead[known] = np.repeat(is_zero & is_alive, sizes_of(starts, len(known)))
    return is_dead


def _find_stuck(
    minutes: Minutes, level: Floats, burnt: Floats, tank: Floats, rules: LevelRules
) -> tuple[tuple[tuple[int, int, int, float], ...], Flags]:
    """Return the stretches on which a level stayed exactly the same though much was burnt."""
    is_stuck = np.zeros(len(level), np.bool_)
    known = np.flatnonzero(~np.isnan(level))
    if not len(known):
        return (), is_stuck
    starts = starts_of(minutes.vehicle[known], level[known])
    lasts = np.append(starts[1:], len(known)) - 1
    first, last = known[starts], known[lasts]
    burnt_in = burnt[last] - burnt[first]
    limit = np.maximum(rules.stuck_min_l, rules.stuck_share * tank[first])
    found: list[tuple[int, int, int, float]] = []
    for which in np.flatnonzero(burnt_in > limit).tolist():
        rows = known[starts[which] : lasts[which] + 1]
        is_stuck[rows] = True
        a, b = int(first[which]), int(last[which])
        found.append(
            (int(minutes.vehicle[a]), int(minutes.at_us[a]), int(minutes.at_us[b]), float(burnt_in[which]))
        )
    return tuple(found), is_stuck
