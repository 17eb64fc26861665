"""What could be measured on a vehicle, moment by moment: place, speed, way, engine, fuel burnt.

Every ten seconds of a trip, every twenty while it idles, every quarter of an hour while it is parked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.vehicle_life.diary import Diary, Stand, Trip
from fleetflow.simulator.vehicle_life.drives import GRID_S, drive
from fleetflow.simulator.vehicle_life.paths import height_m

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Whole = npt.NDArray[np.int64]

IDLE_S, PARKED_S = 20, 840
# Kilometres of a vehicle some years old: more than what any of its services may have been let pass.
DRIVEN_KM = {"van": (90_000, 260_000), "truck": (190_000, 450_000), "tractor": (260_000, 700_000)}
IDLE_L_PER_H = {"van": 0.8, "truck": 1.6, "tractor": 2.4}
# A slope of 3 % costs a quarter more, and saves as much.
SLOPE_EFFECT = 9.0
LEAST_SHARE = 0.15


@dataclass(frozen=True)
class Samples:
    """One row a moment, in order. Odometer, engine hours and fuel burnt are since the vehicle was built."""

    at_s: Floats
    lat: Floats
    lon: Floats
    height: Floats
    heading: Floats
    speed_kmh: Floats
    odometer_km: Floats
    engine_on: Flags
    on_trip: Flags
    driver: Whole
    fuel_l_per_h: Floats
    used_l: Floats
    engine_h: Floats
    slope: Floats

    def at(self, moments_s: Floats | float, values: Floats) -> Floats:
        """Return values between the samples."""
        return np.asarray(np.interp(moments_s, self.at_s, values))


@dataclass(frozen=True)
class _Stretch:
    at_s: Floats
    lat: Floats
    lon: Floats
    heading: Floats
    speed: Floats
    gone_km: Floats
    on: Flags
    on_trip: bool
    driver: int
    load: float


def sample(diary: Diary, drivers: Sequence[str], rng: np.random.Generator) -> Samples:
    """Go through a diary; `drivers` are the ids that `Samples.driver` (-1: nobody) numbers."""
    stretches = list(_stretches(diary, drivers, rng))
    whole = {
        name: np.concatenate([getattr(one, name) for one in stretches])
        for name in ("at_s", "lat", "lon", "heading", "speed", "gone_km", "on")
    }
    sizes = [len(one.at_s) for one in stretches]
    on_trip = np.repeat([one.on_trip for one in stretches], sizes)
    load = np.repeat([one.load for one in stretches], sizes)
    kind = diary.vehicle.kind
    height = height_m(whole["lat"], whole["lon"])
    odometer = rng.uniform(*DRIVEN_KM[kind.name])
    passed_s = np.diff(whole["at_s"], append=whole["at_s"][-1])
    slope = _slopes(height, whole["gone_km"])
    rate = _burn(whole["speed"], whole["on"], slope, load, kind.consumption, IDLE_L_PER_H[kind.name])
    return Samples(
        at_s=whole["at_s"], lat=whole["lat"], lon=whole["lon"], height=height, heading=whole["heading"],
        speed_kmh=whole["speed"], odometer_km=odometer + whole["gone_km"], engine_on=whole["on"], on_trip=on_trip,
        driver=np.repeat([one.driver for one in stretches], sizes), fuel_l_per_h=rate,
        used_l=odometer * kind.consumption / 100 + _so_far(rate * passed_s / 3600),
        engine_h=odometer / 52 + _so_far(whole["on"] * passed_s / 3600), slope=slope,
    )  # fmt: skip


def _stretches(diary: Diary, drivers: Sequence[str], rng: np.random.Generator) -> Iterator[_Stretch]:
    gone, heading = 0.0, float(rng.uniform(0, 359))
    for place, stand in enumerate(diary.stands):
        following = diary.trips[place] if place < len(diary.trips) else None
        yield _standing(stand, place > 0, following, drivers, gone, heading, rng)
        if following:
            trip = _driving(diary.vehicle.kind.name, following, drivers, gone, rng)
            yield trip
            gone, heading = float(trip.gone_km[-1]), float(trip.heading[-1])


def _driving(
    kind: str, trip: Trip, drivers: Sequence[str], gone: float, rng: np.random.Generator
) -> _Stretch:
    km, speed = drive(rng, kind, trip.end - trip.start, trip.path.length_km)
    at: Floats = trip.start * 60.0 + GRID_S * np.arange(len(km), dtype=np.float64)
    lat, lon = trip.path.at(km)
    return _Stretch(
        at, lat, lon, trip.path.heading(km), speed, gone + km, np.ones(len(km), np.bool_), True,
        drivers.index(trip.driver_id), float(rng.uniform(0.86, 1.12)),
    )  # fmt: skip


def _standing(
    stand: Stand,
    arrived: bool,
    following: Trip | None,
    drivers: Sequence[str],
    gone: float,
    heading: float,
    rng: np.random.Generator,
) -> _Stretch:
    """The engine runs on a little, may idle through a short stop, and is started before the next trip."""
    start, end = stand.start * 60.0, stand.end * 60.0
    after = float(rng.integers(40, 150)) if arrived else 0.0
    if arrived and not stand.is_off and rng.random() < 0.3:
        after = float(rng.integers(180, 500))
    before = float(rng.integers(40, 100)) if following else 0.0
    after = min(after, (end - start) / 2 - 30)
    stopped, started = start + max(0.0, after), end - min(before, (end - start) / 2 - 30)
    idle = np.arange(start + IDLE_S, stopped, IDLE_S)
    parked = np.arange(max(stopped, start + 5), started - 60, PARKED_S)
    warm = np.arange(started, end - 5, IDLE_S)
    at: Floats = np.concatenate([idle, parked, warm])
    on = np.concatenate([np.ones(len(idle)), np.zeros(len(parked)), np.ones(len(warm))]) > 0
    driver = -1 if stand.driver_id is None else drivers.index(stand.driver_id)
    lat, lon = stand.site.point
    n = len(at)
    return _Stretch(
        at, np.full(n, lat), np.full(n, lon), np.full(n, heading), np.zeros(n), np.full(n, gone), on, False,
        driver, 1.0,
    )  # fmt: skip


def _slopes(height: Floats, km: Floats) -> Floats:
    metres = np.diff(km, append=km[-1]) * 1000
    rise = np.diff(height, append=height[-1])
    return np.where(metres > 20, np.clip(rise / np.maximum(metres, 20.0), -0.06, 0.06), 0.0)


def _burn(speed: Floats, on: Flags, slope: Floats, load: Floats, per_100_km: float, idle: float) -> Floats:
    """Litres an hour: by distance, load and slope while it moves, else what idling takes."""
    moving = per_100_km * speed / 100 * load * np.maximum(LEAST_SHARE, 1 + SLOPE_EFFECT * slope)
    return np.where(on, np.where(speed > 1, np.maximum(moving, 0.4 * idle), idle), 0.0)


def thirstier(samples: Samples, since_s: float, factor: float) -> Samples:
    """Let the engine burn so many times as much from a moment on."""
    extra = np.where(samples.at_s >= since_s, (factor - 1) * samples.fuel_l_per_h, 0.0)
    passed_s = np.diff(samples.at_s, append=samples.at_s[-1])
    return replace(
        samples,
        fuel_l_per_h=samples.fuel_l_per_h + extra,
        used_l=samples.used_l + _so_far(extra * passed_s / 3600),
    )


def _so_far(amounts: Floats) -> Floats:
    """What had come together before each moment."""
    return np.concatenate([[0.0], np.cumsum(amounts)[:-1]])
