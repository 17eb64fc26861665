"""Whatever the shares, sizes and seed: the truth is what a recount of the lines finds."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "simulator"))

from simulator_runs import counted, recount, run, small_plan

from fleetflow.simulator import Faults

SHARES = st.sampled_from([0.0, 0.01, 0.15])
WEIGHTS = st.sampled_from([0.0, 1.0, 5.0])


@st.composite
def mixes(draw: st.DrawFn) -> dict[str, float]:
    weights = {feed: draw(WEIGHTS) for feed in ("gps_location", "shipment_event", "driver_assignment_event")}
    return weights if sum(weights.values()) else {"gps_location": 1.0}


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    faults=st.builds(
        Faults,
        duplicates=st.sampled_from([0.0, 0.2, 1.0]),
        out_of_order=SHARES,
        late=SHARES,
        invalid=SHARES,
        missing_driver=SHARES,
        illegal=SHARES,
    ),
    mix=mixes(),
    rate=st.sampled_from([1.0, 37.0, 900.0]),
    events=st.integers(0, 400),
    shipments=st.sampled_from([0, 1, 60]),
    vehicles=st.sampled_from([1, 17]),
    history_days=st.integers(0, 1),
)
def test_the_truth_is_what_a_recount_finds(
    seed: int,
    faults: Faults,
    mix: dict[str, float],
    rate: float,
    events: int,
    shipments: int,
    vehicles: int,
    history_days: int,
) -> None:
    plan = small_plan(
        seed=seed,
        faults=faults,
        mix=mix,
        rate=rate,
        events=events,
        shipments=shipments or 5,
        vehicles=vehicles,
        drivers=vehicles,
        history_days=history_days,
        history_shipments=10,
    )
    ran = run(plan)
    assert counted(ran.truth) == recount(ran.lines)
    live = sum(feed.sent - feed.repeats for feed in ran.truth.tally.feeds.values())
    assert live >= events
