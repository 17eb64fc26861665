from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from simulator_runs import ALL_FAULTS, START, run, small_plan

from fleetflow.simulator import Faults, PlanError, SimulationPlan


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rate": 0}, "rate"),
        ({"rate": 50_001}, "rate"),
        ({"seconds": -1}, "seconds"),
        ({"tenant": 'a"b'}, "tenant"),
        ({"tenant": ""}, "tenant"),
        ({"start": datetime(2026, 1, 1)}, "time zone"),
        ({"drivers": -1}, "drivers"),
        ({"mix": {"gps": 1.0}}, "mix"),
        ({"mix": {"gps_location": 0.0}}, "mix"),
        ({"mix": {}}, "mix"),
        ({"faults": Faults(late=1.5)}, "late"),
        ({"faults": Faults(invalid=0.5, late=0.5)}, "exceed"),
    ],
)
def test_an_unusable_parameter_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError, match=named):
        SimulationPlan(**{"start": START} | changes)


def test_the_fleet_grows_with_the_rate() -> None:
    slow, fast = (SimulationPlan(start=START, rate=rate).sized() for rate in (100, 10_000))
    assert fast.vehicles > 50 * slow.vehicles
    assert fast.drivers > fast.vehicles
    assert fast.shipments > slow.shipments
    assert SimulationPlan(start=START, rate=10_000, vehicles=7).sized().vehicles == 7


def test_events_win_over_seconds() -> None:
    assert SimulationPlan(start=START, rate=10, seconds=3).total == 30
    assert SimulationPlan(start=START, rate=10, seconds=3, events=7).total == 7


def test_the_same_plan_sends_the_same_bytes() -> None:
    plan = small_plan(faults=ALL_FAULTS)
    first, second = run(plan), run(plan)
    assert first.gps == second.gps
    assert first.status == second.status


def test_another_seed_or_start_sends_other_ids() -> None:
    plan = small_plan(seconds=2, history_shipments=5)
    ids = [
        {event["event_id"] for feed in ("gps_location", "shipment_event") for event in run(p).valid(feed)}
        for p in (plan, replace(plan, seed=2), replace(plan, start=START + timedelta(seconds=1)))
    ]
    assert all(ids)
    assert not ids[0] & ids[1]
    assert not ids[0] & ids[2]


def test_ids_of_another_tenant_are_others() -> None:
    ours, theirs = (run(small_plan(tenant=tenant, seconds=1)) for tenant in ("acme", "zenith"))
    for name in ("vehicle_id", "driver_id"):
        a, b = ({e.get(name) for e in r.valid("gps_location")} - {None} for r in (ours, theirs))
        assert a
        assert not a & b
    assert {e["tenant_id"] for e in theirs.valid("shipment_event")} == {"zenith"}


def test_lines_are_of_the_size_of_real_ones() -> None:
    ran = run(small_plan())
    sizes = [len(line) for line, _ in ran.lines]
    assert 250 < sum(sizes) / len(sizes) < 345
    assert all(line.startswith(b'{"feed":"') for line, _ in ran.lines)
