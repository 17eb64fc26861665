"""Vehicles' lives hang together: duties, trips, way, fuel, purchases, codes, and what the truth says of them."""

from __future__ import annotations

import csv
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from simulator_runs import ROOT
from small_lives import START, lives_of, plan_of, usual_lives

from fleetflow.simulator import build_fleet
from fleetflow.simulator.geo import Point, distance_km
from fleetflow.simulator.orders import service_begins
from fleetflow.simulator.plan import USUAL_FAULTS, PlanError, SimulationPlan
from fleetflow.simulator.vehicle_life.life import Lives, VehicleLife
from fleetflow.simulator.vehicle_life.positions import ROLLOVER_MS
from fleetflow.simulator.vehicle_life.tank import FuelEvent, Mischief
from fleetflow.simulator.vehicle_life.truth import facts, write_facts
from fleetflow.simulator.wire import Event

START_S = START.timestamp()


def events(lives: Lives, *cuts_s: float) -> list[Event]:
    """All lines of the past and of ten live minutes, the live part asked for at these moments."""
    found = [event for pair in lives.history() for part in pair for event in part]
    for cut in (*cuts_s, 600.0):
        now = lives.plan.start_ms + round(cut * 1000)
        found += [event for part in lives.live(now, lives.plan.start_ms) for event in part]
    return found


@pytest.mark.parametrize("one", usual_lives().vehicles, ids=lambda one: one.vehicle.vehicle_id)
def test_a_vehicle_moves_when_it_is_driven_and_as_far_as_its_odometer_says(one: VehicleLife) -> None:
    samples = one.samples
    assert (np.diff(samples.at_s) > 0).all()
    assert not samples.speed_kmh[~samples.on_trip].any()
    fastest = {"van": 122.5, "truck": 90.5, "tractor": 88.5}[one.vehicle.kind.name]
    assert samples.speed_kmh.max() <= fastest
    for trip in one.diary.trips:
        rows = (samples.at_s >= trip.start * 60) & (samples.at_s <= trip.end * 60)
        places = [Point(lat, lon) for lat, lon in zip(samples.lat[rows], samples.lon[rows], strict=True)]
        assert places[0] == pytest.approx(trip.path.origin.point, abs=1e-5)
        assert places[-1] == pytest.approx(trip.path.target.point, abs=1e-5)
        crow = sum(distance_km(a, b) for a, b in pairwise(places))
        assert crow == pytest.approx(trip.path.length_km, rel=0.02)
        gone = samples.odometer_km[rows]
        if one.tank.events and any(event.kind == Mischief.ROLLBACK for event in one.tank.events):
            continue
        assert gone[-1] - gone[0] == pytest.approx(trip.path.length_km, abs=1e-6)


@pytest.mark.parametrize("one", usual_lives().vehicles, ids=lambda one: one.vehicle.vehicle_id)
def test_fuel_is_neither_made_nor_lost_but_by_what_is_true(one: VehicleLife) -> None:
    burnt = one.samples.used_l[-1] - one.samples.used_l[0]
    ended = [event for event in one.tank.events if event.end_s <= one.samples.at_s[-1]]
    added = sum(event.litres for event in ended if event.kind == "refill")
    lost = sum(event.litres for event in ended if event.kind in ("drain_parked", "drain_moving", "leak"))
    change = one.tank.level_l[-1] - one.tank.level_l[0]
    assert change == pytest.approx(added - lost - burnt, abs=1e-6)
    assert one.tank.level_l.min() > 0
    assert one.tank.level_l.max() <= one.vehicle.kind.tank_l
    km = one.samples.odometer_km.max() - one.samples.odometer_km.min()
    if km > 100 and not any(event.kind == Mischief.ROLLBACK for event in one.tank.events):
        too_much = sum(event.litres for event in ended if event.kind == Mischief.THIRST)
        assert 100 * (burnt - too_much) / km == pytest.approx(one.vehicle.kind.consumption, rel=0.3)


def test_each_mischief_is_planted_and_half_of_the_fill_ups_at_least_are_billed() -> None:
    lives = usual_lives()
    kinds = Counter(str(event.kind) for one in lives.vehicles for event in one.tank.events)
    assert kinds.keys() == {str(one) for one in Mischief if one is not Mischief.NOTHING} | {"refill"}
    assert kinds["refill"] >= 15
    for one in lives.vehicles:
        for event in one.tank.events:
            if event.kind == "refill" and event.end_s < START_S - 1200:
                assert any(0 < bought.at_s - event.start_s < 900 for bought in one.tank.purchases)


@pytest.mark.parametrize("hours_later", [0, 140])
def test_a_refill_is_large_enough_for_a_level_to_tell(hours_later: int) -> None:
    for one in lives_of(hours_later=hours_later, telemetry_days=3).vehicles:
        for event in one.tank.events:
            if event.kind == "refill":
                assert event.litres > 0.12 * one.vehicle.kind.tank_l


def test_thefts_lower_a_level_that_nothing_else_explains() -> None:
    for one in usual_lives().vehicles:
        for event in one.tank.events:
            if event.kind in ("drain_parked", "drain_moving"):
                ends = np.array([event.start_s - 900, event.end_s + 900])
                fall = -np.diff(one.samples.at(ends, one.tank.level_l))[0]
                burnt = np.diff(one.samples.at(ends, one.samples.used_l))[0]
                assert fall - burnt == pytest.approx(event.litres, rel=0.02)


def test_a_sensor_is_stuck_while_much_is_burnt_or_nobody_could_tell() -> None:
    stuck = [
        (one, event)
        for one in usual_lives().vehicles
        for event in one.tank.events
        if event.kind == Mischief.STUCK
    ]
    assert stuck
    for one, event in stuck:
        burnt = np.diff(one.samples.at(np.array([event.start_s, event.end_s]), one.samples.used_l))[0]
        assert burnt > max(0.1 * one.vehicle.kind.tank_l, 20)
        held = (one.samples.at_s >= event.start_s) & (one.samples.at_s < event.end_s)
        assert len(set(one.tank.sensor_pct[held].tolist())) == 1


def thirsty(lives: Lives) -> list[tuple[VehicleLife, list[FuelEvent]]]:
    """Vehicles that burn too much, with their trips that did."""
    found = [
        (one, [event for event in one.tank.events if event.kind == Mischief.THIRST]) for one in lives.vehicles
    ]
    return [(one, trips) for one, trips in found if trips]


def test_a_thirsty_vehicle_burns_much_more_than_it_did_on_the_days_before() -> None:
    found = thirsty(usual_lives())
    assert found
    for one, events in found:
        since = events[0].start_s
        each: dict[bool, list[float]] = {False: [], True: []}
        for trip in one.diary.trips:
            ends = np.array([trip.start, trip.end]) * 60.0
            burnt = float(np.diff(one.samples.at(ends, one.samples.used_l))[0])
            each[bool(ends[0] >= since)].append(100 * burnt / trip.path.length_km)
        assert median(each[True]) > 1.4 * median(each[False])
        assert len(each[False]) >= 9
        assert len(each[True]) == len(events)


def test_what_a_thirsty_vehicle_burnt_too_much_is_what_it_would_else_have_in_the_tank() -> None:
    for one, events in thirsty(usual_lives()):
        for event in events:
            ends = np.array([event.start_s, event.end_s])
            burnt = float(np.diff(one.samples.at(ends, one.samples.used_l))[0])
            rows = (one.samples.at_s >= ends[0]) & (one.samples.at_s < ends[1])
            hours = np.diff(one.samples.at_s, append=one.samples.at_s[-1])[rows] / 3600
            assert float((one.samples.fuel_l_per_h[rows] * hours).sum()) == pytest.approx(burnt, rel=0.01)
            assert event.litres == pytest.approx(burnt * 0.7 / 1.7)


# The days off fall otherwise at every start, and so does who has driven enough.
@pytest.mark.parametrize("hours_later", [29, 87])
def test_somebody_is_thirsty_whenever_it_starts(hours_later: int) -> None:
    lives = lives_of(seed=hours_later, hours_later=hours_later, telemetry_days=3)
    said = facts(lives, "run", lives.plan.start_ms, complete=True)["fuel"]
    wanted = [one for one in said if one["kind"] == "consumption_high" and not one["optional"]]
    assert len(wanted) >= 5


def test_a_purchase_is_where_the_vehicle_was_unless_it_was_planted_elsewhere() -> None:
    for one in usual_lives().vehicles:
        elsewhere = {event.start_s for event in one.tank.events if event.kind == Mischief.ELSEWHERE}
        for bought in one.tank.purchases:
            here = Point(
                *(float(one.samples.at(bought.at_s, axis)) for axis in (one.samples.lat, one.samples.lon))
            )
            assert (distance_km(here, bought.place) > 150) == (bought.at_s in elsewhere)
            assert distance_km(here, bought.place) < 0.2 or bought.at_s in elsewhere


def test_the_same_plan_gives_the_same_lines_however_the_live_part_is_cut() -> None:
    one = lives_of(vehicles=4, faults=USUAL_FAULTS)
    two = lives_of(vehicles=4, faults=USUAL_FAULTS)
    lines = Counter(event[:3] for event in events(one))
    assert lines == Counter(event[:3] for event in events(two, 0.02, 7.7, 100.0, 100.5, 599.0))
    assert lines != Counter(event[:3] for event in events(lives_of(seed=8, vehicles=4, faults=USUAL_FAULTS)))


def test_event_ids_are_never_used_twice() -> None:
    sent = events(lives_of(vehicles=4))
    ids = Counter(json.loads(line)["event_id"] for _, _, line, _ in sent)
    assert max(ids.values()) == 1


def test_the_truth_counts_the_faults_of_fixes_that_went_out() -> None:
    lives = lives_of(vehicles=6)
    fixes = [json.loads(line) for feed, _, line, _ in events(lives) if feed == "gps_location"]
    said = facts(lives, "run", lives.plan.start_ms + 600_000, complete=True)
    faults = Counter[str]()
    for one in said["vehicles"]:
        faults.update(one["gps_faults"])
    assert faults["zero"] == sum(fix["lat"] == fix["lon"] == 0 for fix in fixes) > 0
    outdated = [fix for fix in fixes if fix["recorded_at"] - fix["fixed_at"] > ROLLOVER_MS]
    assert faults["outdated"] == len(outdated) > 0


def test_the_truth_leaves_the_unfinished_open(tmp_path: Path) -> None:
    lives = lives_of()
    until = lives.plan.start_ms + 60_000
    said = json.loads(write_facts(tmp_path, facts(lives, "run", until, complete=True)).read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["run.vehicles.json"]
    edge = datetime.fromisoformat(said["until"])
    for kind in ("trips", "site_visits", "fuel"):
        assert {one["optional"] for one in said[kind] if datetime.fromisoformat(one["ended_at"]) > edge} <= {
            True
        }
    trips = [one for one in said["trips"] if not one["optional"]]
    assert len(trips) > 200
    assert {one["vehicle_id"] for one in trips} == {one["vehicle_id"] for one in said["vehicles"]}
    assert {one["by"] for one in said["services"] if one["overdue"]} == {"km", "months", "engine_hours"}


def test_vehicles_are_in_service_since_before_their_first_service_and_the_others_since_lately() -> None:
    fleet = build_fleet(plan_of(vehicles=12, history_days=0, shipments=1))
    began = service_begins(fleet)
    assert began.keys() == {vehicle.vehicle_id for vehicle in fleet.crew.vehicles}
    for visit in fleet.lives.visits:
        assert began[visit.vehicle_id] < datetime.fromtimestamp(visit.done_s, UTC).date()
    lived = {one.vehicle.vehicle_id for one in fleet.lives.vehicles}
    others = [day for vehicle_id, day in began.items() if vehicle_id not in lived]
    assert min(others) > START.date() - timedelta(days=365)


def test_services_are_overdue_by_the_fleets_own_intervals_as_planted_and_no_others() -> None:
    with (ROOT / "dbt" / "seeds" / "service_task.csv").open() as file:
        tasks = {(row["vehicle_class"], row["service"]): row for row in csv.DictReader(file)}
    for one in usual_lives().vehicles:
        now_km, now_h = one.samples.odometer_km.max(), one.samples.engine_h.max()
        for visit in one.visits:
            task = tasks[one.vehicle.kind.name, visit.service]
            used = {
                "km": (task["every_km"], now_km - visit.odometer_km),
                "months": (task["every_months"], (START_S - visit.done_s) / 86_400 / 30.44),
                "engine_hours": (task["every_engine_hours"], now_h - visit.engine_h),
            }
            over = {by: float(used_up) / float(limit) for by, (limit, used_up) in used.items() if limit}
            worst = max(over, key=lambda by: over[by])
            if visit.neglected_by:
                assert worst == visit.neglected_by
                assert over[worst] > 1.1
                assert all(share < 0.95 for by, share in over.items() if by != worst)
            else:
                assert over[worst] < 0.7


def test_trouble_codes_open_close_and_return() -> None:
    lives = lives_of()
    said = facts(lives, "run", lives.plan.start_ms, complete=True)["trouble_codes"]
    assert {one["open"] for one in said} == {True, False}
    assert {one["recurrence"] for one in said} == {1, 2}
    assert any(one["code"] for one in said)
    assert any(one["spn"] for one in said)


def test_a_fleet_that_is_too_small_is_refused() -> None:
    with pytest.raises(PlanError, match=r"telemetry_vehicles is at most \d+"):
        lives_of(vehicles=2_000)
    with pytest.raises(PlanError, match="telemetry_days is at least 2"):
        SimulationPlan(start=START, telemetry_days=1)


def test_no_telemetry_is_the_default() -> None:
    lives = lives_of(vehicles=0)
    assert events(lives) == []
    assert lives.vehicle_numbers == frozenset()


def test_nobody_is_to_blame_for_a_refill_that_a_stuck_sensor_hid() -> None:
    lives = usual_lives()
    events = facts(lives, "run", lives.plan.start_ms, complete=True)["fuel"]
    stuck = [one for one in events if one["kind"] == "sensor"]
    for one in events:
        if one["kind"] == "refill" and any(
            s["vehicle_id"] == one["vehicle_id"]
            and s["started_at"] < one["ended_at"]
            and one["started_at"] < s["ended_at"]
            for s in stuck
        ):
            assert one["optional"]
            break
    else:
        pytest.fail("no refill while a sensor was stuck, expected one at least")
