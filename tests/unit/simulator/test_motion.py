from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from simulator_runs import run, small_plan

from fleetflow.simulator import build_fleet
from fleetflow.simulator.atlas import CITIES

Fix = dict[str, Any]


def metres(a: Fix, b: Fix) -> float:
    """Haversine of our own, so that a fault in the simulator's does not hide itself."""
    p, q = math.radians(a["lat"]), math.radians(b["lat"])
    dp, dl = q - p, math.radians(b["lon"] - a["lon"])
    return 12_742_000 * math.asin(
        math.sqrt(math.sin(dp / 2) ** 2 + math.cos(p) * math.cos(q) * math.sin(dl / 2) ** 2)
    )


def course(a: Fix, b: Fix) -> float:
    p, q, dl = math.radians(a["lat"]), math.radians(b["lat"]), math.radians(b["lon"] - a["lon"])
    return (
        math.degrees(
            math.atan2(
                math.sin(dl) * math.cos(q),
                math.cos(p) * math.sin(q) - math.sin(p) * math.cos(q) * math.cos(dl),
            )
        )
        % 360
    )


@pytest.fixture(scope="module")
def tracks() -> dict[str, list[Fix]]:
    """A quarter of an hour of forty vehicles."""
    ran = run(small_plan(rate=10, seconds=900, mix={"gps_location": 1.0}, history_days=0, shipments=10))
    found: dict[str, list[Fix]] = {}
    for event in ran.valid("gps_location"):
        found.setdefault(event["vehicle_id"], []).append(event)
    return found


def test_speeds_are_those_of_roads(tracks: dict[str, list[Fix]]) -> None:
    speeds = [fix["speed_kmh"] for track in tracks.values() for fix in track]
    assert max(speeds) <= 110
    assert min(speeds) == 0
    moving = [speed for speed in speeds if speed > 0]
    assert 30 < sum(moving) / len(moving) < 90


def test_the_distance_between_fixes_is_mean_speed_times_time(tracks: dict[str, list[Fix]]) -> None:
    checked = 0
    for track in tracks.values():
        for a, b in pairwise(track):
            seconds = (b["fixed_at"] - a["fixed_at"]) / 1000
            assert seconds > 0
            expected = (a["speed_kmh"] + b["speed_kmh"]) / 2 / 3.6 * seconds
            driven = (b["odometer_km"] - a["odometer_km"]) * 1000
            # Who stops in between was fast almost up to the stop.
            fastest = max(expected, a["speed_kmh"] / 3.6 * seconds if b["speed_kmh"] == 0 else 0.0)
            assert driven <= fastest * 1.02 + 3
            if b["ignition_on"] and a["ignition_on"] and b["speed_kmh"] > 0:
                assert driven == pytest.approx(expected, rel=0.02, abs=2)
            # A bend between two fixes shortens the straight line, never lengthens it.
            assert 0.6 * driven - 3 <= metres(a, b) <= driven * 1.01 + 3
            checked += 1
    assert checked > 5_000


def test_the_heading_is_the_way_the_vehicle_goes(tracks: dict[str, list[Fix]]) -> None:
    off = [
        abs((course(a, b) - b["heading_deg"] + 180) % 360 - 180)
        for track in tracks.values()
        for a, b in pairwise(track)
        if metres(a, b) > 40 and a["heading_deg"] == b["heading_deg"]
    ]
    assert len(off) > 500
    assert max(off) < 3


def test_odometers_grow_and_fuel_falls_but_for_a_fill_up_at_a_stop(tracks: dict[str, list[Fix]]) -> None:
    for track in tracks.values():
        for a, b in pairwise(track):
            assert b["odometer_km"] >= a["odometer_km"]
            assert b["fuel_level_pct"] <= a["fuel_level_pct"] or not a["ignition_on"]
        assert all(0 <= fix["fuel_level_pct"] <= 100 for fix in track)


def test_who_is_off_shift_stands_still_without_a_driver(tracks: dict[str, list[Fix]]) -> None:
    parked = [track for track in tracks.values() if track[0].get("driver_id") is None]
    assert parked
    for track in parked:
        for fix in track:
            assert fix.get("driver_id") or (fix["speed_kmh"] == 0 and not fix["ignition_on"])


def test_shifts_run_in_local_time() -> None:
    plan = small_plan(drivers=400, vehicles=300)
    fleet = build_fleet(plan)
    early = [d for d in fleet.crew.drivers if d.vehicle % 8 != 7 and d.number < 300]
    for driver in early[:100]:
        zone = ZoneInfo(CITIES[driver.city].timezone)
        for hour, on in ((10, True), (14, True), (3, False), (20, False)):
            at = datetime(2026, 3, 29, hour, tzinfo=zone)  # clocks change in Europe that night
            assert driver.on_shift(fleet.clock, int(at.timestamp() * 1000)) is on
