from __future__ import annotations

import numpy as np
import pytest
from simulator_runs import ALL_FAULTS, START_MS, Ran, run, small_plan

from domain.contracts import FEEDS
from domain.contracts.decode import Decoded, Decoder
from fleetflow.simulator.plan import ASSIGNMENT, GPS, SHIPMENT, UNKNOWN
from fleetflow.simulator.spoil import RULES, Spoiler

GPS_LINE = (
    b'{"feed":"gps_location","tenant_id":"acme","event_id":"e","recorded_at":1795165200000,"schema_version":1,'
    b'"vehicle_id":"V","fixed_at":1795165200000,"lat":1.0,"lon":2.0,"speed_kmh":3.0,"heading_deg":4.0}'
)


def decode(lines: list[bytes], *feeds: str) -> Decoded:
    arrived = np.asarray([(START_MS + 60_000) * 1000], dtype=np.int64)
    return Decoder([FEEDS[name] for name in feeds]).decode([lines], arrived)


@pytest.fixture(scope="module")
def spoilt() -> Ran:
    return run(small_plan(faults=ALL_FAULTS, seconds=20))


def test_the_landing_refuses_what_was_spoilt_by_the_rule_that_was_meant(spoilt: Ran) -> None:
    gps = decode([line for _, line in spoilt.gps], GPS)
    status = decode([line for _, line in spoilt.status], SHIPMENT, ASSIGNMENT)
    refused: dict[str, dict[str, int]] = {}
    for refusal in (*gps.refusals, *status.refusals):
        rules = refused.setdefault(refusal.feed, {})
        rules[refusal.rule.value] = rules.get(refusal.rule.value, 0) + 1
    meant = {feed: counts.invalid for feed, counts in spoilt.truth.tally.feeds.items() if counts.invalid}
    assert refused == meant


def test_the_rules_take_turns() -> None:
    spoiler = Spoiler()
    rules = [spoiler.spoil(GPS, GPS_LINE)[1] for _ in range(2 * 13)]
    assert sorted(rules) == sorted(
        2 * [r for r in RULES if r not in ("unknown_value", "position_incomplete")]
    )


def test_spoilt_lines_differ_from_each_other() -> None:
    spoiler = Spoiler()
    lines = [spoiler.spoil(GPS, GPS_LINE.replace(b'"e"', b'"e%d"' % n))[2] for n in range(400)]
    assert len(set(lines)) == len(lines)


def test_an_unknown_feed_counts_as_unknown() -> None:
    spoiler = Spoiler()
    feeds = {rule: feed for feed, rule, _ in (spoiler.spoil(SHIPMENT, GPS_LINE) for _ in range(4))}
    assert feeds["unknown_feed"] == UNKNOWN
