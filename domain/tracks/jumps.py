"""Jumps by implied speed: which fixes cannot belong to the track, seen from the last one that is trusted.

A fix that the trusted one could have reached is trusted in turn. One that it could not is a candidate; candidates
that agree with each other, `confirm` in a row, are believed (a ferry, a device that was off), and the track goes on
from there, after a break. A fix that agrees with the trusted one ends the candidates: they were jumps. So no single
fix throws away what follows it, and the first fix of a vehicle is not believed before others agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.tracks.geo import distance_m, steps_m
from domain.tracks.table import Flags, Floats, Ints, sizes_of


@dataclass(frozen=True)
class Reach:
    """How far apart two fixes of one vehicle can be: `slack_m` and what `over_kmh` allows in the time between."""

    slack_m: float
    over_kmh: float
    confirm: int

    def m(self, elapsed_us: Ints) -> Floats:
        """Return the metres that these microseconds allow."""
        return np.asarray(self.slack_m + elapsed_us * (self.over_kmh / 3.6e6), np.float64)


@dataclass(frozen=True)
class Verdicts:
    """For each fix: trusted or not; undecided (trusted by none, contradicted by none yet); first after a break."""

    trusted: Flags
    undecided: Flags
    after_jump: Flags


def find_jumps(
    starts: Ints, times_us: Ints, lat: Floats, lon: Floats, known: Flags, reach: Reach
) -> Verdicts:
    """Judge fixes that are sorted by vehicle and time; `starts` are the vehicles' first rows.

    `known` marks rows that an earlier call trusted; each may only be the first of its vehicle.
    """
    size = len(times_us)
    breaks = np.zeros(size, np.bool_)
    breaks[1:] = steps_m(lat, lon) > reach.m(np.diff(times_us))
    breaks[starts] = True
    verdicts = Verdicts(np.ones(size, np.bool_), np.zeros(size, np.bool_), np.zeros(size, np.bool_))
    runs = np.flatnonzero(breaks)
    ends = runs + sizes_of(runs, size)
    first_run = np.searchsorted(runs, starts)
    run_count = sizes_of(first_run, len(runs))
    # A vehicle of one consistent run needs no second look, unless the run is too short to be believed.
    for vehicle in np.flatnonzero(
        (run_count > 1) | (~known[starts] & (ends[first_run] - starts < reach.confirm))
    ).tolist():
        first = int(first_run[vehicle])
        here = slice(first, first + int(run_count[vehicle]))
        rows = slice(int(starts[vehicle]), int(ends[here][-1]))
        places = _Places(times_us[rows].tolist(), lat[rows].tolist(), lon[rows].tolist(), reach)
        own = Verdicts(verdicts.trusted[rows], verdicts.undecided[rows], verdicts.after_jump[rows])
        runs_here = ((runs[here] - rows.start).tolist(), (ends[here] - rows.start).tolist())
        _judge(*runs_here, places, bool(known[rows.start]), own)
    return verdicts


@dataclass(frozen=True)
class _Places:
    """The fixes of one vehicle, as lists: single values of arrays are slow."""

    times_us: list[int]
    lat: list[float]
    lon: list[float]
    reach: Reach

    def reachable(self, a: int, b: int) -> bool:
        """Whether the vehicle can have gone from row a to row b."""
        metres = distance_m(self.lat[a], self.lon[a], self.lat[b], self.lon[b])
        elapsed = self.times_us[b] - self.times_us[a]
        return metres <= self.reach.slack_m + elapsed * (self.reach.over_kmh / 3.6e6)

    def first_reachable(self, anchor: int | None, start: int, end: int) -> int | None:
        """Return the first row from start to before end that the vehicle can have reached from the anchor."""
        if anchor is not None:
            for row in range(start, end):
                if self.reachable(anchor, row):
                    return row
        return None


def _judge(runs: list[int], ends: list[int], places: _Places, is_known: bool, verdicts: Verdicts) -> None:
    """Judge one vehicle, run by run: within a run each fix can be reached from the one before.

    Rows count from the vehicle's first; the verdicts, views of all, start as trusted.
    """
    anchor = 0 if is_known else None
    confirm = places.reach.confirm
    for start, end in zip(runs, ends, strict=True):
        if anchor == start:
            anchor = end - 1
            continue
        # Time goes on, so a later fix of the run may be in reach of the anchor although the first was not.
        back = places.first_reachable(anchor, start, min(end, start + confirm))
        if back is None and end - start < confirm:
            verdicts.trusted[start:end] = False
            continue
        if back is None:
            verdicts.after_jump[start] = anchor is not None
        else:
            verdicts.trusted[start:back] = False
        anchor = end - 1
    # The last run, if it was too short to be believed, may yet be by what comes after it.
    if not verdicts.trusted[ends[-1] - 1]:
        verdicts.undecided[runs[-1] : ends[-1]] = True
