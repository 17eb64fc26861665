"""What stands above a limit, for how long, and how it is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from fleetflow.monitoring.judge import amount, describe, find_faults, span, summary
from fleetflow.monitoring.model import Area, Finding, Level, Look, Measured, Reading, Signal, Unit

NOW = datetime(2026, 11, 21, 5, 30, tzinfo=UTC)
AGE = Signal(
    "wait", Area.STREAMS, "x", Unit.SECONDS, ("stream",), (Level("warn", 60), Level("error", 300)), 30,
    "{stream} waits for {value} ({detail})", query="select",
)  # fmt: skip
STATE = Signal(
    "gone", Area.MACHINE, "x", Unit.STATE, (), (Level("error", 0),), 10, "gone: {detail}", probe="disk"
)


def look(signal: Signal, *readings: Reading) -> Look:
    return Look(NOW, 0.1, {signal.name: Measured(signal, readings)})


def aged(seconds: float) -> Reading:
    return Reading(("gps",), seconds, NOW - timedelta(seconds=seconds), "3 batches")


@pytest.mark.parametrize(
    ("seconds", "severity", "standing"),
    [
        (60, None, None),
        (61, "warn", False),  # above its limit for one second of the thirty
        (89, "warn", False),
        (90, "warn", True),
        (300, "warn", True),
        (301, "error", True),
    ],
)
def test_an_age_stands_from_its_limit_on(seconds: float, severity: str | None, standing: bool | None) -> None:
    found = find_faults(look(AGE, aged(seconds)))
    assert [(f.severity, f.standing) for f in found] == ([(severity, standing)] if severity else [])


def test_without_a_beginning_the_first_look_shows_it_and_raises_nothing() -> None:
    seen = look(STATE, Reading((), 1, detail="no answer"))
    assert [f.standing for f in find_faults(seen)] == [True]
    assert [f.standing for f in find_faults(seen, eager=False)] == [False]


@pytest.mark.parametrize(("ago", "standing"), [(9, False), (10, True)])
def test_an_earlier_look_tells_since_when(ago: int, standing: bool) -> None:
    began = NOW - timedelta(seconds=ago)
    (found,) = find_faults(look(STATE, Reading((), 1)), {("gone", "platform"): began}, eager=False)
    assert (found.standing, found.since, found.began_at) == (standing, began, began)


def test_errors_come_first_and_then_the_oldest() -> None:
    found = find_faults(
        look(AGE, Reading(("a",), 100, NOW - timedelta(100)), aged(400), Reading(("b",), 200, NOW))
    )
    assert [(f.severity, f.labels) for f in found] == [
        ("error", ("gps",)),
        ("warn", ("a",)),
        ("warn", ("b",)),
    ]
    assert summary(found) == {"error": 1, "warn": 1}


def test_what_could_not_be_measured_is_no_finding_of_its_own_signal() -> None:
    blind = Look(NOW, 0.1, {"gone": Measured(STATE, fault="timeout")})
    assert find_faults(blind) == []


def test_words_name_labels_value_and_detail_in_one_line() -> None:
    reading = Reading(("gps",), 75, detail="first\nsecond " + "x" * 400)
    words = describe(AGE, reading)
    assert words.startswith("gps waits for 1 min 15 s (first second xxx")
    assert "\n" not in words
    assert len(words) < 340


def test_a_percent_sign_or_brace_in_a_detail_harms_nothing() -> None:
    assert describe(STATE, Reading((), 1, detail="{value} 100% {0}")) == "gone: {value} 100% {0}"


def test_the_subject_is_the_labels() -> None:
    (found,) = find_faults(look(AGE, aged(400)))
    assert isinstance(found, Finding)
    assert found.subject == "gps"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.4, "0 s"), (59.9, "59 s"), (60, "1 min"), (754, "12 min 34 s"), (3600, "1 h"), (3605, "1 h"),
        (93_600, "1 d 2 h"), (-5, "0 s"),
    ],
)  # fmt: skip
def test_durations_are_said_in_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        (Unit.BYTES, 1 << 30, "1.0 GiB"),
        (Unit.BYTES, 512, "512 bytes"),
        (Unit.RATIO, 0.0234, "2.3%"),
        (Unit.ROWS, 1, "1 row"),
        (Unit.ROWS, 10_000, "10,000 rows"),
        (Unit.STATE, 1, "1"),
    ],
)
def test_values_are_said_with_their_unit(unit: Unit, value: float, words: str) -> None:
    assert amount(unit, value) == words
