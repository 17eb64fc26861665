"""Whatever a case file holds: an answer, or one line that says what is wrong."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.driver_hours.cases import CaseError, evaluate_case

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 3_000) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
LETTER = st.sampled_from(("D", "W", "A", "R", "U", "?", "ON", "OFF", "SB")) | st.text(max_size=2)
MINUTES = st.integers(-1, 5_000) | ANY
FLAG = st.sampled_from(("crew", "single", "inferred", "manual", "ferry", "out_of_scope")) | ANY
ROW = st.tuples(LETTER, MINUTES).map(list) | st.tuples(LETTER, MINUTES, FLAG).map(list) | ANY
REST = st.fixed_dictionaries({"start_min": st.integers(0, 60_000), "minutes": st.integers(0, 5_000)}) | ANY
RULE = st.sampled_from(
    (
        "BREAK", "DAILY_DRIVING", "WEEKLY", "DAILY_REST", "MULTI_MANNING", "WEEKLY_REST", "WEEKLY_REST_SET", "MINUTE",
        "US_PROPERTY",
    )
)  # fmt: skip
TIME = st.just("2026-01-05T00:00:00Z")
CASE = st.fixed_dictionaries(
    {"id": st.text(min_size=1, max_size=3) | ANY, "rule": RULE | ANY},
    optional={
        "origin_utc": TIME | ANY, "start_utc": TIME | ANY, "start_offset_min": st.integers(-3_000, 3_000) | ANY,
        "activities": st.lists(ROW, max_size=8) | ANY, "seconds_rle": st.lists(ROW, max_size=5) | ANY,
        "weekly_rests": st.lists(REST, max_size=5) | ANY, "weeks": st.integers(0, 8) | ANY,
        "zone": st.sampled_from(("UTC", "America/Chicago")) | ANY, "cycle": st.sampled_from(("60/7", "70/8")) | ANY,
    },
)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(case=CASE | ANY, rules=st.sampled_from(("eu", "us")))
def test_any_case(case: Any, rules: str) -> None:
    answer, fault = None, ""
    try:
        answer = evaluate_case(case, rules)
    except CaseError as raised:
        fault = str(raised)
    if answer is None:
        assert len(fault.splitlines()) == 1
        assert len(fault) < 400
    else:
        assert answer["id"] == case["id"]
        assert json.loads(json.dumps(answer["findings"])) == answer["findings"]
