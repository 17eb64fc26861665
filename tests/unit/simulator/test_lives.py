from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from simulator_runs import ROOT, START, START_MS, Ran, run, small_plan

from domain.lifecycle import STATUSES, judge, read_transitions
from fleetflow.simulator import Fleet, build_fleet
from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.shipments import ATTEMPT_REASONS, EXCEPTION_REASONS, Shipment
from fleetflow.simulator.status import illegal_after

TRANSITIONS = read_transitions((ROOT / "dbt/seeds/shipment_transition.csv").read_text().splitlines())
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return build_fleet(small_plan(history_days=8, history_shipments=600, shipments=400))


@pytest.fixture(scope="module")
def streamed() -> Ran:
    return run(small_plan(rate=400, seconds=20, mix={"shipment_event": 0.8, "driver_assignment_event": 0.2}))


def delivered(fleet: Fleet) -> list[Shipment]:
    return [s for s in fleet.shipments if s.steps[-1][1] == "delivered"]


def test_planned_lives_are_legal_and_go_forward_in_time(fleet: Fleet) -> None:
    for shipment in fleet.shipments:
        assert all(judge([status for _, status, _ in shipment.steps], TRANSITIONS)), shipment.steps
        assert all(a[0] < b[0] for a, b in pairwise(shipment.steps))
        assert shipment.steps[-1][1] in ("delivered", "returned", "cancelled")


def test_every_status_and_reason_occurs(fleet: Fleet) -> None:
    steps = {(status, reason) for shipment in fleet.shipments for _, status, reason in shipment.steps}
    assert {status for status, _ in steps} == set(STATUSES)
    assert {reason for status, reason in steps if status == "exception"} == set(EXCEPTION_REASONS)
    assert {reason for status, reason in steps if status == "failed_attempt"} == set(ATTEMPT_REASONS)
    assert {status for status, reason in steps if reason} == {"exception", "failed_attempt"}


def test_who_is_late_is_delivered_after_the_promise_and_nobody_else(fleet: Fleet) -> None:
    for shipment in delivered(fleet):
        assert (shipment.steps[-1][0] > shipment.promised_ms) is shipment.late


def test_the_share_on_time_is_that_of_the_trade_and_differs_by_carrier(fleet: Fleet) -> None:
    shares: dict[str, list[bool]] = defaultdict(list)
    for shipment in delivered(fleet):
        shares[shipment.carrier.carrier_id].append(not shipment.late)
    every = [on_time for share in shares.values() for on_time in share]
    assert 0.88 < sum(every) / len(every) < 0.96
    large = [sum(share) / len(share) for share in shares.values() if len(share) > 300]
    assert len(large) >= 4
    assert max(large) - min(large) > 0.02


def test_promises_are_made_for_the_level_s_local_hour(fleet: Fleet) -> None:
    kept = 0
    for shipment in fleet.shipments:
        city = CITIES[fleet.network.sites[shipment.destination].city]
        local = shipment.promised_ms + fleet.clock.offset_ms(CITIES.index(city), shipment.promised_ms)
        kept += local % (24 * HOUR_MS) == shipment.level.local_hour * HOUR_MS
    assert kept > 0.95 * len(fleet.shipments)


def test_as_many_shipments_are_open_as_the_plan_wants(fleet: Fleet) -> None:
    assert 400 <= len(fleet.open_shipments) <= 1_200
    for shipment in fleet.open_shipments:
        assert shipment.created_ms < START_MS <= shipment.steps[shipment.position][0]


def test_every_past_day_has_its_shipments(fleet: Fleet) -> None:
    due: dict[str, int] = defaultdict(int)
    for shipment in fleet.shipments:
        due[str(datetime.fromtimestamp(shipment.promised_ms / 1000, UTC).date())] += 1
    for back in range(1, 9):
        assert due[str((START - timedelta(days=back)).date())] > 400


def test_one_assignment_at_a_time_holds_a_shipment(fleet: Fleet) -> None:
    handed_over = 0
    for shipment in fleet.shipments:
        handed_over += len(shipment.assignments) == 2
        assert all(a.until_ms for a in shipment.assignments[:-1])
        assert all(a.until_ms <= b.since_ms for a, b in pairwise(shipment.assignments))
        if shipment.ended:
            assert shipment.open_assignment is None
    assert handed_over


def test_live_steps_continue_legal_lives(streamed: Ran) -> None:
    lives: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for event in streamed.valid("shipment_event"):
        lives[event["shipment_id"]].append((event["occurred_at"], event["sequence"], event["status"]))
    for life in lives.values():
        assert all(judge([status for _, _, status in sorted(life)], TRANSITIONS))
        times = [occurred for occurred, _, _ in sorted(life)]
        assert len(set(times)) == len(times)
        assert sorted(sequence for _, sequence, _ in life) == list(range(len(life)))
    assert any(occurred > START_MS for life in lives.values() for occurred, _, _ in life)


def test_live_deliveries_keep_or_miss_the_promise_as_planned(streamed: Ran) -> None:
    ended = [e for e in streamed.valid("shipment_event") if e["status"] == "delivered"]
    assert sum(e["occurred_at"] > START_MS for e in ended) > 100


def test_assignment_events_pair_up(streamed: Ran) -> None:
    since: dict[str, int] = {}
    for event in streamed.valid("driver_assignment_event"):
        if event["action"] == "assigned":
            since[event["assignment_id"]] = event["effective_at"]
    ends = [e for e in streamed.valid("driver_assignment_event") if e["action"] == "unassigned"]
    assert ends
    for event in ends:
        assert event["effective_at"] >= since[event["assignment_id"]]
        assert event["sequence"] == 1


def test_the_mix_is_the_one_that_was_asked_for(streamed: Ran) -> None:
    live = [
        event
        for feed in ("shipment_event", "driver_assignment_event")
        for event in streamed.valid(feed)
        if event["recorded_at"] >= START_MS
    ]
    share = sum(event["feed"] == "driver_assignment_event" for event in live) / len(live)
    assert share == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("status", STATUSES)
def test_the_illegal_step_is_illegal_from_every_status(status: str) -> None:
    assert (status, illegal_after(status)) not in TRANSITIONS
