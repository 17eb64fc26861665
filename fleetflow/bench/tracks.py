"""Tracks of many vehicles through cleaning, trips and fences, from arrays in memory.

The input is driving in stretches of 10 minutes with stops of 6 between, with drift, repeats, jumps and fixes out of
order. The limit is one pass of numpy over the same arrays that only measures: the haversine of each fix and the next.
All in CPU seconds of this process, the median of the runs; nothing is read or written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from domain.tracks import (
    Circle,
    FenceIndex,
    Fixes,
    State,
    Tracker,
    Visits,
    VisitTracker,
    clean,
    find_midnights,
    make_days,
    make_fixes,
    make_segments,
)
from domain.tracks.geo import steps_m

START_US = 1_717_200_000_000_000
STEP_S = 10
FENCES = 10_000
BATCHES = 24


def run_bench(points: int, vehicles: int, runs: int) -> dict[str, Any]:
    """Measure each step; figures are fixes a CPU second. `ratio` is limit / whole, by time."""
    fixes = draw_fixes(points, vehicles)
    last = int(fixes.fixed_at_us.max())
    tracker = Tracker(find_midnights(["Europe/Berlin"], START_US, last))
    index = FenceIndex(_draw_fences())
    whole = tracker.advance(State(), fixes, closing=True)
    steps: dict[str, Callable[[], object]] = {
        "limit_haversine": lambda: steps_m(fixes.lat, fixes.lon),
        "clean": lambda: clean(fixes),
        "trips_and_days": lambda: _whole(tracker, fixes),
        "trips_in_24_batches": lambda: _in_batches(tracker, fixes),
        "visits": lambda: VisitTracker(index).advance(Visits.empty(), whole.track),
    }
    seconds = {name: statistics.median(_cpu_s(step) for _ in range(runs)) for name, step in steps.items()}
    return {
        "bench": "tracks",
        "points": len(fixes),
        "vehicles": vehicles,
        "fences": len(index),
        "segments": len(make_segments(whole.parts)),
        "fixes_by_rule": {name: count for name, count in whole.state.counts.items() if count},
        "cpu_seconds": seconds,
        "points_per_second": {name: len(fixes) / spent for name, spent in seconds.items()},
        "ratio": seconds["limit_haversine"] / seconds["trips_and_days"],
    }


def draw_fixes(points: int, vehicles: int) -> Fixes:
    """Draw fixes of vehicles that drive 10 minutes and stand 6, with 1 % each of repeats, jumps and late ones."""
    rng = np.random.default_rng(7)
    each = points // vehicles
    at = np.arange(each)
    speed = np.where(at % 96 < 60, 50.0, 0.0)
    metres = np.cumsum(speed * STEP_S / 3.6)
    course = rng.uniform(0, 2 * np.pi, (vehicles, 1))
    noise = rng.normal(0, 4e-5, (2, vehicles, each))
    lat = rng.uniform(40, 55, (vehicles, 1)) + metres * np.cos(course) / 111_195 + noise[0]
    lon = rng.uniform(-5, 20, (vehicles, 1)) + metres * np.sin(course) / 71_500 + noise[1]
    lat[rng.random(lat.shape) < 0.01] += 1.0
    fixes = make_fixes(
        np.repeat(np.arange(vehicles), each),
        START_US + np.tile(at * STEP_S * 1_000_000, vehicles),
        lat.ravel(),
        lon.ravel(),
        speed_kmh=np.tile(speed, vehicles),
        odometer_km=np.tile(metres / 1000, vehicles),
        ignition=np.ones(vehicles * each, np.int64),
    )
    repeats = fixes.take(np.flatnonzero(rng.random(len(fixes)) < 0.01))
    fixes = Fixes.concat([fixes, repeats])
    # As they arrive: by time over all vehicles, one in a hundred up to five minutes late.
    late_us = np.where(rng.random(len(fixes)) < 0.01, rng.integers(0, 300_000_000, len(fixes)), 0)
    return fixes.take(np.argsort(fixes.fixed_at_us + late_us, kind="stable"))


def _draw_fences() -> list[Circle]:
    rng = np.random.default_rng(8)
    places = zip(rng.uniform(40, 55, FENCES).tolist(), rng.uniform(-5, 20, FENCES).tolist(), strict=True)
    return [Circle(lat, lon, 300.0) for lat, lon in places]


def _whole(tracker: Tracker, fixes: Fixes) -> None:
    parts = tracker.advance(State(), fixes, closing=True).parts
    make_segments(parts)
    make_days(parts)


def _in_batches(tracker: Tracker, fixes: Fixes) -> None:
    state = State()
    for rows in np.array_split(np.arange(len(fixes)), BATCHES):
        state = tracker.advance(state, fixes.take(rows)).state


def _cpu_s(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started
