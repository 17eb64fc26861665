"""Fuel of many vehicles through levels, events, losses and trips, from arrays in memory, at 1x, 2x and 4x the days.

The input is a reading a minute of vehicles that drive by day and stand by night, with slosh, slopes, refills and a
theft each. The limit is one pass of numpy over the same levels that only sorts: the running median of 15 neighbours,
which any filter of a level needs. All in CPU seconds of this process, the median of the runs; nothing is read or
written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from domain.fuel import (
    Event,
    FuelLog,
    Gathered,
    Levelled,
    find_day_losses,
    find_events,
    find_leaks,
    make_minutes,
    trace_levels,
)
from domain.tracks.table import Floats

START_US = 1_751_328_000_000_000
MINUTE_US = 60_000_000
DAY = 1440
DRIVING = (360, 1020)
TANK_L = 600.0
TIMES = (1, 2, 4)
_CHUNK = 50_000


def run_bench(vehicles: int, days: int, runs: int) -> dict[str, Any]:
    """Measure each step at `TIMES` as many days, in minutes a CPU second. `ratio` is limit / whole, by time."""
    return {"bench": "fuel", "vehicles": vehicles, "days": days} | {
        f"x{times}": _measure(vehicles, days * times, runs) for times in TIMES
    }


def _measure(vehicles: int, days: int, runs: int) -> dict[str, Any]:
    readings = draw_readings(vehicles, days)
    tanks = np.full(vehicles, TANK_L)
    gathered = make_minutes(**readings)
    levelled = trace_levels(gathered.minutes, tanks)
    events = find_events(levelled.levels).events
    steps: dict[str, Callable[[], object]] = {
        "limit_running_median": lambda: _running_median(levelled.levels.kept_l),
        "minutes": lambda: make_minutes(**readings),
        "levels": lambda: trace_levels(gathered.minutes, tanks),
        "events": lambda: find_events(levelled.levels),
        "losses_and_leaks": lambda: find_leaks(find_day_losses(levelled.levels, events)),
        "trips": lambda: _measure_trips(gathered, levelled, events, vehicles, days),
    }
    seconds = {name: statistics.median(_cpu_s(step) for _ in range(runs)) for name, step in steps.items()}
    limit = seconds.pop("limit_running_median")
    whole = sum(seconds.values())
    size = len(gathered.minutes)
    return {
        "minutes": size,
        "events": len(events),
        "cpu_seconds": {"limit_running_median": limit, **seconds, "whole": whole},
        "minutes_per_second": {"limit_running_median": size / limit, "whole": size / whole},
        "vehicle_days_per_second": vehicles * days / whole,
        "ratio": limit / whole,
    }


def draw_readings(vehicles: int, days: int) -> dict[str, Any]:
    """Draw a reading a minute: eleven hours of driving a day, filled every other night, robbed of 60 l in one."""
    rng = np.random.default_rng(7)
    size = days * DAY
    minute = np.arange(size)
    moving = (minute % DAY >= DRIVING[0]) & (minute % DAY < DRIVING[1])
    burnt = np.cumsum(np.where(moving, 0.3, 0.0))
    filled = np.floor((minute + 420) / (2 * DAY)) * 2 * 0.3 * (DRIVING[1] - DRIVING[0])
    thefts = DAY * rng.integers(1, max(days, 2), vehicles) + rng.integers(60, 240, vehicles)
    stolen = np.where(minute[None, :] >= thefts[:, None], 60.0, 0.0)
    slosh = rng.normal(0, 1, (vehicles, size)) * np.where(moving, 10.0, 1.5)
    slope = np.repeat(rng.normal(0, 8, (vehicles, days)), DAY, axis=1) * ~moving
    level = 560 - burnt + filled - stolen + slosh + slope
    return {
        "vehicle": np.repeat(np.arange(vehicles), size),
        "at_us": np.tile(START_US + minute * MINUTE_US, vehicles),
        "level_pct": np.clip(level / TANK_L * 100, 0, 100).ravel(),
        "speed_kmh": np.tile(np.where(moving, 70.0, 0.0), vehicles),
        "total_l": np.tile(np.floor(burnt * 2) / 2, vehicles),
        "odometer_km": np.tile(np.cumsum(moving) * 70 / 60, vehicles),
    }


def _measure_trips(
    gathered: Gathered, levelled: Levelled, events: tuple[Event, ...], vehicles: int, days: int
) -> None:
    by_vehicle: dict[int, list[Event]] = {}
    for event in events:
        by_vehicle.setdefault(event.vehicle, []).append(event)
    for vehicle in range(vehicles):
        log = FuelLog(gathered.minutes, levelled, by_vehicle.get(vehicle, []), vehicle)
        for day in range(days):
            begin, end = (START_US + (day * DAY + edge) * MINUTE_US for edge in DRIVING)
            log.measure(begin, end, 770.0)


def _running_median(level: Floats) -> None:
    windows = np.lib.stride_tricks.sliding_window_view(level, 15)
    for first in range(0, len(windows), _CHUNK):
        np.sort(windows[first : first + _CHUNK], axis=1)


def _cpu_s(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started
