"""Counters that only go up: total fuel used, odometers. Outliers are left out, resets are told from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.tracks.table import Flags, Floats, Ints


@dataclass(frozen=True)
class Counter:
    """Readings that count, in order of time.

    Attributes:
        at: positions of the readings that count, in what was given.
        gain: what each added to the one before; 0 for the first, and NaN where the counter was reset between them.
        outliers: readings that contradict those around them.
        resets: how often it started anew.
    """

    at: Ints
    gain: Floats
    outliers: int = 0
    resets: int = 0


def read_counter(at_us: Ints, value: Floats, most_per_hour: float, slack: float, confirm: int = 3) -> Counter:
    """Return one vehicle's counter; times ascending, NaN skipped.

    A reading that fell by more than the slack, or rose faster than possible, waits: if the next go on from the old
    line it was an outlier; if `confirm` in a row go on from it, the counter was reset and the gain between is unknown.
    Readings that still wait at the end are outliers. If the first line is shorter than `confirm` and is
    contradicted, it was the fault itself.
    """
    known = np.flatnonzero(~np.isnan(value))
    hours = np.diff(at_us[known]) / 3.6e9
    gain = np.diff(value[known])
    if bool(np.all(_follows(gain, hours, most_per_hour, slack))):
        return Counter(known, np.concatenate([np.zeros(min(1, len(known))), np.maximum(gain, 0.0)]))
    return _read_broken(known, at_us, value, (most_per_hour, slack, confirm))


def _follows(gain: Floats, hours: Floats, most_per_hour: float, slack: float) -> Flags:
    return np.asarray((gain >= -slack) & (gain <= most_per_hour * hours + slack))


def _read_broken(known: Ints, at_us: Ints, value: Floats, limits: tuple[float, float, int]) -> Counter:
    most_per_hour, slack, confirm = limits

    def follows(before: int, after: int) -> bool:
        hours = (int(at_us[after]) - int(at_us[before])) / 3.6e9
        return bool(-slack <= value[after] - value[before] <= most_per_hour * hours + slack)

    lines: list[list[int]] = []
    waiting: list[int] = []
    outliers = 0
    for row in known.tolist():
        if lines and follows(lines[-1][-1], row):
            outliers += len(waiting)
            waiting = []
            lines[-1].append(row)
            continue
        if waiting and not follows(waiting[-1], row):
            outliers += len(waiting)
            waiting = []
        waiting.append(row)
        if not lines or len(waiting) == confirm:
            if lines and len(lines[-1]) < confirm:
                outliers += len(lines.pop())
            lines.append(waiting)
            waiting = []
    return _join(lines, value, outliers + len(waiting))


def _join(lines: list[list[int]], value: Floats, outliers: int) -> Counter:
    rows = np.array([row for line in lines for row in line], np.int64)
    gain = np.maximum(np.diff(value[rows], prepend=value[rows[:1]]), 0.0)
    heads = np.cumsum([0, *(len(line) for line in lines)])[1:-1]
    gain[heads] = np.nan
    return Counter(rows, gain, outliers, len(heads))
