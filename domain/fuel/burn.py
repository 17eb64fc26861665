"""How much was burnt between one minute and the next: by counter, else by rate, else by what such a vehicle burns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.fuel.counters import Counter, read_counter
from domain.fuel.minutes import Counts, Fault, Minutes, add_counts
from domain.fuel.rules import ReadingRules
from domain.tracks.table import Flags, Floats, Ints, sizes_of, starts_of

KMH_MOST = 200.0
ODOMETER_SLACK_KM = 2.0


@dataclass(frozen=True)
class Burn:
    """One row a minute.

    Attributes:
        litres: burnt since the minute before of the same vehicle; 0 for its first.
        is_measured: by counter or rate; else it is nominal.
        km: driven since the minute before, by odometer; NaN where that is not known.
        counts: faults of the counters.
    """

    litres: Floats
    is_measured: Flags
    km: Floats
    counts: Counts


def trace_burn(minutes: Minutes, rules: ReadingRules, nominal_l_100km: Floats | None = None) -> Burn:
    """Return the burn of minutes; `nominal_l_100km` by vehicle code where it is not the rules' own."""
    size = len(minutes)
    by_counter, km = np.full(size, np.nan), np.full(size, np.nan)
    counts: Counts = {}
    starts = starts_of(minutes.vehicle)
    for first, length in zip(starts.tolist(), sizes_of(starts, size).tolist(), strict=True):
        rows = slice(first, first + length)
        times = minutes.at_us[rows]
        total = read_counter(
            times, minutes.total_l[rows], rules.most_lph, rules.counter_slack_l, rules.confirm
        )
        odometer = read_counter(times, minutes.odometer_km[rows], KMH_MOST, ODOMETER_SLACK_KM, rules.confirm)
        by_counter[rows] = spread_gains(times, total)
        km[rows] = spread_gains(times, odometer)
        counts = add_counts(counts, _faults(total, odometer))
    by_rate = _by_rate(minutes, rules)
    nominal = _nominal(minutes, km, rules, nominal_l_100km)
    litres = np.where(np.isnan(by_counter), by_rate, by_counter)
    is_measured = ~np.isnan(litres)
    litres = np.where(is_measured, litres, nominal)
    litres[starts] = 0.0
    return Burn(litres, is_measured, km, counts)


def spread_gains(at_us: Ints, counter: Counter) -> Floats:
    """Return the gain of each row over the row before, the counter's gains spread straight over the time between.

    NaN before the first reading that counts, after the last, and over a reset.
    """
    found = np.full(len(at_us), np.nan)
    if len(counter.at) < 2:
        return found
    heads = np.concatenate([[0], np.flatnonzero(np.isnan(counter.gain)), [len(counter.at)]])
    for first, after in zip(heads[:-1].tolist(), heads[1:].tolist(), strict=True):
        at = counter.at[first:after]
        since = np.concatenate([[0.0], np.cumsum(counter.gain[first + 1 : after])])
        inside = slice(int(at[0]), int(at[-1]) + 1)
        elapsed = at_us[inside] - at_us[at[0]]
        found[inside] = np.diff(np.interp(elapsed, at_us[at] - at_us[at[0]], since), prepend=np.nan)
    return found


def _faults(total: Counter, odometer: Counter) -> Counts:
    return {
        Fault.TOTAL_OUTLIER: total.outliers,
        Fault.TOTAL_RESET: total.resets,
        Fault.ODOMETER_OUTLIER: odometer.outliers,
        Fault.ODOMETER_RESET: odometer.resets,
    }


def elapsed_s(minutes: Minutes) -> Floats:
    """Return the seconds since the minute before of the same vehicle; 0 for its first."""
    elapsed = np.diff(minutes.at_us, prepend=minutes.at_us[:1]) / 1e6
    elapsed[starts_of(minutes.vehicle)] = 0.0
    return elapsed


def _by_rate(minutes: Minutes, rules: ReadingRules) -> Floats:
    """Return the mean of both ends' rates times the time between, where it is short enough."""
    before = np.concatenate([minutes.rate_lph[:1], minutes.rate_lph[:-1]])
    elapsed = elapsed_s(minutes)
    litres = (before + minutes.rate_lph) / 2 * elapsed / 3600
    return np.where(elapsed <= rules.rate_gap_s, litres, np.nan)


def _nominal(minutes: Minutes, km: Floats, rules: ReadingRules, by_vehicle: Floats | None) -> Floats:
    rate = np.full(len(minutes), rules.nominal_l_100km) if by_vehicle is None else by_vehicle[minutes.vehicle]
    hours = np.minimum(elapsed_s(minutes), rules.rate_gap_s) / 3600
    speed = np.nan_to_num(minutes.speed_kmh)
    way = np.where(np.isnan(km), speed * hours, km)
    idle = np.where(minutes.ignition == 0, 0.0, np.where(speed > 0, 0.0, rules.idle_lph * hours))
    return np.asarray(way * rate / 100 + idle)
