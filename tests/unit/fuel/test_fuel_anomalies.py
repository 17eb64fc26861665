"""Causes in words: what makes theft, leak, sensor and weather likelier or less."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fuel_world import MINUTE_US, START_US

from domain.fuel import (
    Anomaly,
    Event,
    EventKind,
    Finding,
    Kind,
    Leak,
    Mismatch,
    Purchase,
    Severity,
    Source,
    Visit,
    Word,
    judge_drain,
    judge_leak,
    judge_mismatch,
    judge_stuck,
)

DRAIN = Event(
    3, EventKind.DRAIN, START_US, START_US + 12 * MINUTE_US, 95.0, 400.0, 305.0, False, True, False, True, 0.9
)
LEAK = Leak(3, 20_000, 20_004, 80.0, 60.0, 60.0, True, 500.0, True, 15.0)


def word(anomaly: Anomaly, cause: Source) -> Word | None:
    return next((one.confidence for one in anomaly.causes if one.cause is cause), None)


def test_a_quick_fall_at_rest_that_driving_confirms_is_very_likely_theft() -> None:
    found = judge_drain(DRAIN)
    assert (found.kind, found.severity, found.score) == (Kind.DRAIN_PARKED, Severity.HIGH, 0.9)
    assert (word(found, Source.THEFT), word(found, Source.LEAK)) == (Word.VERY_LIKELY, Word.UNLIKELY)
    assert word(found, Source.SENSOR) is Word.UNLIKELY


def test_a_fall_that_nothing_confirms_may_be_the_sensors() -> None:
    found = judge_drain(replace(DRAIN, is_confirmed=None))
    assert (word(found, Source.THEFT), word(found, Source.SENSOR)) == (Word.LIKELY, Word.POSSIBLE)


def test_a_silent_night_leaves_theft_and_leak_open() -> None:
    found = judge_drain(replace(DRAIN, has_gap=True, is_confirmed=True), temperature_c=-5.0)
    assert (word(found, Source.THEFT), word(found, Source.LEAK)) == (Word.LIKELY, Word.POSSIBLE)
    assert word(found, Source.WEATHER) is Word.POSSIBLE


def test_under_way_theft_is_less_sure() -> None:
    found = judge_drain(replace(DRAIN, in_motion=True))
    assert found.kind is Kind.DRAIN_MOVING
    assert (word(found, Source.THEFT), word(found, Source.MECHANICAL)) == (Word.LIKELY, Word.POSSIBLE)


def test_a_refill_is_no_drain() -> None:
    with pytest.raises(ValueError, match="expected a drain"):
        judge_drain(replace(DRAIN, kind=EventKind.REFILL))


def test_a_slow_loss_is_a_leak_not_a_theft() -> None:
    found = judge_leak(LEAK)
    assert (word(found, Source.LEAK), word(found, Source.THEFT)) == (Word.VERY_LIKELY, Word.UNLIKELY)


def test_in_frost_a_slow_loss_may_be_the_heater() -> None:
    slow = judge_leak(replace(LEAK, coldest_c=-8.0, parked_l=24.0))
    assert (word(slow, Source.WEATHER), word(slow, Source.LEAK)) == (Word.LIKELY, Word.LIKELY)
    fast = judge_leak(replace(LEAK, coldest_c=-8.0, parked_l=90.0))
    assert (word(fast, Source.WEATHER), word(fast, Source.LEAK)) == (Word.POSSIBLE, Word.VERY_LIKELY)


def test_a_loss_that_only_driving_shows_has_many_possible_causes() -> None:
    found = judge_leak(replace(LEAK, is_parked=False, parked_l=0.0))
    words = {word(found, one) for one in (Source.LEAK, Source.MECHANICAL, Source.THEFT, Source.SENSOR)}
    assert words == {Word.POSSIBLE}


VISIT = Visit((Purchase(START_US, "a", "t", "diesel", 120.0),))


@pytest.mark.parametrize(
    ("finding", "event", "theft", "severity"),
    [
        (Finding.OVER_TANK, None, Word.VERY_LIKELY, Severity.HIGH),
        (Finding.ELSEWHERE, None, Word.VERY_LIKELY, Severity.HIGH),
        (Finding.ELSEWHERE, DRAIN, Word.POSSIBLE, Severity.HIGH),
        (Finding.WITHOUT_RISE, None, Word.LIKELY, Severity.HIGH),
    ],
)
def test_purchases(finding: Finding, event: Event | None, theft: Word, severity: Severity) -> None:
    found = judge_mismatch(3, Mismatch(finding, START_US, 120.0, VISIT, event, km=40.0))
    assert (found.kind, found.severity) == (Kind(str(finding)), severity)
    assert word(found, Source.THEFT) is theft


def test_a_rise_that_nobody_paid_for_is_never_grave() -> None:
    found = judge_mismatch(3, Mismatch(Finding.RISE_WITHOUT, START_US, 500.0, None, DRAIN))
    assert found.severity in (Severity.INFO, Severity.LOW)


def test_a_stuck_level_is_the_sensors() -> None:
    found = judge_stuck(3, START_US, START_US + MINUTE_US, 60.0)
    assert (found.kind, found.volume_l, word(found, Source.SENSOR)) == (Kind.SENSOR, None, Word.VERY_LIKELY)


def test_causes_stand_likeliest_first_each_with_its_reason() -> None:
    causes = judge_drain(DRAIN, temperature_c=20.0).causes
    order = [list(Word).index(one.confidence) for one in causes]
    assert order == sorted(order, reverse=True)
    assert all(one.why and set(one.as_json()) == {"cause", "confidence", "why"} for one in causes)
