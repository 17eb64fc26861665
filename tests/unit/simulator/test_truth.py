from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from simulator_runs import ALL_FAULTS, ROOT, Ran, counted, recount, run, small_plan

from domain.lifecycle import DRIVER_WANTED, judge, read_transitions
from fleetflow.simulator import Faults, Streams, run_simulation
from fleetflow.simulator.pacing import PlannedClock
from fleetflow.simulator.sinks import NOWHERE
from fleetflow.simulator.spoil import RULES

TRANSITIONS = read_transitions((ROOT / "dbt/seeds/shipment_transition.csv").read_text().splitlines())


@pytest.fixture(scope="module")
def spoilt() -> Ran:
    return run(small_plan(faults=ALL_FAULTS, seconds=20))


def test_the_truth_is_what_a_recount_of_the_lines_finds(spoilt: Ran) -> None:
    assert counted(spoilt.truth) == recount(spoilt.lines)
    assert spoilt.truth.complete


def test_every_rule_is_broken_and_about_equally_often(spoilt: Ran) -> None:
    broken: Counter[str] = Counter()
    for feed in spoilt.truth.tally.feeds.values():
        broken.update(feed.invalid)
    assert set(broken) == set(RULES)
    assert max(broken.values()) < 4 * min(broken.values())


def test_a_run_without_faults_has_none() -> None:
    ran = run(small_plan())
    assert all(not feed.invalid and not feed.repeats for feed in ran.truth.tally.feeds.values())
    assert counted(ran.truth) == recount(ran.lines)


def test_missing_drivers_are_those_that_the_status_wants(spoilt: Ran) -> None:
    lacking = [
        e for e in spoilt.valid("shipment_event") if e["status"] in DRIVER_WANTED and not e.get("driver_id")
    ]
    assert len(lacking) == spoilt.truth.tally.of("shipment_event").missing_driver > 0


def test_illegal_steps_are_exactly_those_injected(spoilt: Ran) -> None:
    lives: dict[str, list[tuple[int, int, str]]] = {}
    for e in spoilt.valid("shipment_event"):
        lives.setdefault(e["shipment_id"], []).append((e["occurred_at"], e["sequence"], e["status"]))
    verdicts = [judge([s for _, _, s in sorted(life)], TRANSITIONS) for life in lives.values()]
    illegal = sum(not legal for life in verdicts for legal in life)
    assert illegal == spoilt.truth.tally.of("shipment_event").illegal > 0


def test_out_of_order_steps_are_sent_after_what_followed_them(spoilt: Ran) -> None:
    last: dict[str, int] = {}
    overtaken = 0
    for e in spoilt.valid("shipment_event"):
        overtaken += e["sequence"] < last.get(e["shipment_id"], -1)
        last[e["shipment_id"]] = max(e["sequence"], last.get(e["shipment_id"], -1))
    assert overtaken >= 0.5 * spoilt.truth.tally.of("shipment_event").out_of_order > 0


def test_late_events_were_recorded_long_before_they_are_sent(spoilt: Ran) -> None:
    live = {feed: spoilt.truth.tally.of(feed).late for feed in ("gps_location", "shipment_event")}
    gps = [
        e for e in spoilt.valid("gps_location") if e["recorded_at"] < spoilt.truth.plan.start_ms - 7_200_000
    ]
    assert len(gps) == live["gps_location"] > 0
    assert live["shipment_event"] > 0


def test_the_truth_file_is_rewritten_and_marked_complete_at_the_end(tmp_path: Path) -> None:
    ran = run(small_plan(), home=tmp_path)
    stored = json.loads((tmp_path / "sent" / f"{ran.truth.run}.json").read_text())
    assert stored["complete"] is True
    assert stored["feeds"] == json.loads(json.dumps(ran.truth.as_dict()["feeds"]))
    assert [p.name for p in (tmp_path / "sent").iterdir()] == [f"{ran.truth.run}.json"]


def test_a_run_that_breaks_leaves_a_truth_that_is_not_complete(tmp_path: Path) -> None:
    class Broken:
        left = 300

        def send(self, key: str, line: bytes) -> None:
            self.left -= 1
            if not self.left:
                raise OSError("the disk is full")

        def flush(self, timeout_s: float) -> bool:
            return True

    plan = small_plan(history_days=0)
    with pytest.raises(OSError, match="disk is full"):
        run_simulation(plan, None, Streams(Broken(), NOWHERE), tmp_path, clock=PlannedClock(plan.start_ms))
    [path] = (tmp_path / "sent").iterdir()
    stored = json.loads(path.read_text())
    assert stored["complete"] is False
    assert 0 < stored["feeds"]["gps_location"]["sent"] < 300


def test_the_same_plan_again_is_a_run_with_a_truth_of_its_own(tmp_path: Path) -> None:
    plan = small_plan(history_days=0, seconds=1)
    first, second = run(plan, tmp_path), run(plan, tmp_path)
    assert first.truth.run != second.truth.run
    assert len(list((tmp_path / "sent").iterdir())) == 2
    assert first.gps == second.gps


def test_a_stop_ends_the_run_with_a_complete_truth() -> None:
    import threading

    stop = threading.Event()
    stop.set()
    plan = small_plan(history_days=0, faults=Faults(duplicates=0.5))
    truth = run_simulation(
        plan, None, Streams(NOWHERE, NOWHERE), None, clock=PlannedClock(plan.start_ms), stop=stop
    )
    assert truth.complete
    assert truth.sent == truth.history_sent
