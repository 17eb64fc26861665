"""Every line of a life passes its feed's contract; one that was spoilt on purpose breaks the rule that was meant."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.contracts import FEEDS
from domain.contracts.decode import Decoder
from fleetflow.simulator.crew import build_crew
from fleetflow.simulator.network import build_network
from fleetflow.simulator.plan import ACTIVITY, CAN, GPS, Faults, SimulationPlan
from fleetflow.simulator.vehicle_life.life import build_lives
from fleetflow.simulator.wire import Event

NETWORK = build_network("acme", 12)
STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(start=STARTS, seed=st.integers(0, 2**31), invalid=st.sampled_from([0.0, 0.03]))
def test_lines_pass_the_contracts_unless_they_were_spoilt(start: datetime, seed: int, invalid: float) -> None:
    plan = SimulationPlan(
        start=start, seed=seed, rate=100, seconds=60, vehicles=900, drivers=1_200, telemetry_vehicles=3,
        telemetry_days=2, faults=Faults(duplicates=0.02, invalid=invalid),
    )  # fmt: skip
    lives = build_lives(plan, NETWORK, build_crew(NETWORK, plan.drivers, plan.vehicles, seed))
    positions: list[Event] = []
    telemetry: list[Event] = []
    for some, others in [*lives.history(), lives.live(plan.start_ms + 60_000, plan.start_ms + 60_000)]:
        positions += some
        telemetry += others
    arrived = np.asarray([(plan.start_ms + 60_000) * 1000], dtype=np.int64)
    for sent, feeds in ((positions, (GPS,)), (telemetry, (CAN, ACTIVITY))):
        found = Decoder([FEEDS[feed] for feed in feeds]).decode([[line for _, _, line, _ in sent]], arrived)
        meant = Counter((feed, mark.rule) for feed, _, _, mark in sent if mark.rule)
        assert Counter((one.feed, one.rule.value) for one in found.refusals) == meant
        kept = {rows.feed.name: rows.table.num_rows for rows in found.rows}
        assert kept == Counter(feed for feed, _, _, mark in sent if not mark.rule)
        assert kept.keys() == set(feeds)
