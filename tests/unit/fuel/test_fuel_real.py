"""Real car trips (enviroCar, 5 s, petrol; consumption computed by enviroCar from the air mass): litres, baselines."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from domain.fuel import (
    FuelLog,
    Method,
    TripFuel,
    TripSample,
    climb_m,
    make_baseline,
    make_minutes,
    profile_of,
    trace_levels,
)
from fleetflow.settings import PROJECT_ROOT

PLACE = (
    Path(os.environ.get("FLEETFLOW_SHARED") or PROJECT_ROOT.parent / "shared") / "data" / "envirocar_tracks"
)
pytestmark = pytest.mark.skipif(
    not PLACE.exists(), reason="the enviroCar tracks are not beside the project (FLEETFLOW_SHARED)"
)


@dataclass(frozen=True)
class Trip:
    at_us: np.ndarray
    rate: np.ndarray
    speed: np.ndarray
    altitude: np.ndarray
    km: float
    car: str


@pytest.fixture(scope="module")
def trips() -> list[Trip]:
    with (PLACE / "tracks.csv").open(newline="") as lines:
        tracks = list(csv.DictReader(lines))
    with (PLACE / "points.csv").open(newline="") as lines:
        points = list(csv.DictReader(lines))

    def column(track: str, name: str) -> np.ndarray:
        return np.array([float(row[name] or "nan") for row in points if row["track_id"] == track])

    found = []
    for track in tracks:
        name = track["track_id"]
        times = [row["time"].rstrip("Z") for row in points if row["track_id"] == name]
        if np.isnan(column(name, "Consumption [l/h]")).mean() > 0.1:
            continue
        found.append(
            Trip(
                np.array(times, "datetime64[us]").astype(np.int64), column(name, "Consumption [l/h]"),
                column(name, "Speed [km/h]"), column(name, "GPS Altitude [m]"), float(track["length_km"]),
                track["car_id"],
            )
        )  # fmt: skip
    assert len(found) >= 9
    return found


def measure(trip: Trip) -> TripFuel:
    minutes = make_minutes(
        np.zeros(len(trip.at_us), int), trip.at_us, rate_lph=trip.rate, speed_kmh=trip.speed
    ).minutes
    log = FuelLog(minutes, trace_levels(minutes, np.array([45.0])), (), 0)
    return log.measure(int(trip.at_us[0]), int(trip.at_us[-1]), trip.km)


def test_minutes_give_the_litres_of_the_five_second_integral(trips: list[Trip]) -> None:
    """The reference adds up the trapezoids of the 5 s readings; of the shortest trips a minute is a tenth."""
    for trip in trips:
        known = ~np.isnan(trip.rate)
        litres = np.trapezoid(trip.rate[known], trip.at_us[known] / 3.6e9)
        fuel = measure(trip)
        assert fuel.method is Method.RATE
        assert fuel.litres == pytest.approx(litres, rel=0.1)


def test_cars_burn_what_cars_burn(trips: list[Trip]) -> None:
    found = [measure(trip).l_100km for trip in trips if trip.km > 2]
    assert all(each is not None and 3 < each < 20 for each in found)


def test_idling_is_part_of_the_fuel(trips: list[Trip]) -> None:
    for fuel in map(measure, trips):
        assert fuel.idle_l is not None
        assert fuel.litres is not None
        assert 0 <= fuel.idle_l <= fuel.litres


def test_baselines_of_real_trips_hold_most_of_them(trips: list[Trip]) -> None:
    """Of the trips themselves: none but wild ones may stand four spreads above."""
    samples = []
    for trip in trips:
        fuel = measure(trip)
        climb = climb_m(trip.altitude.tolist()) / trip.km
        if fuel.l_100km is not None:
            profile = profile_of(climb, None, None)
            samples.append(TripSample(trip.car, "car", int(trip.at_us[-1]), fuel.l_100km, profile))
    assert len(samples) >= 8
    high = 0
    for one in samples:
        baseline = make_baseline(samples, one.vehicle, "car", one.profile)
        assert baseline is not None
        assert 3 < baseline.centre_l_100km < 15
        high += baseline.deviation(one.l_100km) >= 4
    assert high <= 1
