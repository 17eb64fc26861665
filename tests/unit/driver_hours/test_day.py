from __future__ import annotations

import pytest

from domain.driver_hours import Rule, evaluate
from tests.unit.driver_hours.line import DAY, HOUR, MONDAY, line, of, short

Expected = list[tuple[int, int, int, str]]
END = "W60 R2700"
THREE_REDUCED = "W840 R600 " * 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param(f"W780 R660 {END}", [], id="13 h duty and 11 h"),
        pytest.param(f"W840 R660 {END}", [], id="14 h duty and 11 h are 10 h inside: reduced"),
        pytest.param(f"W900 R540 {END}", [], id="9 h"),
        pytest.param(f"W901 R539 {END}", [(0, 539, 540, "MI")], id="8h59"),
        pytest.param(f"W901 R660 {END}", [(0, 539, 540, "MI")], id="only what is inside counts"),
        pytest.param(f"W960 R480 {END}", [(0, 480, 540, "MI")], id="8h00 is minor"),
        pytest.param(f"W961 R479 {END}", [(0, 479, 540, "SI")], id="7h59 is serious"),
        pytest.param(f"W1020 R420 {END}", [(0, 420, 540, "SI")], id="7h00 is serious"),
        pytest.param(f"W1021 R419 {END}", [(0, 419, 540, "VSI")], id="6h59 is very serious"),
        pytest.param(f"W1440 {END}", [(0, 0, 540, "VSI")], id="none at all"),
        pytest.param(f"W300 R180 W420 R540 {END}", [], id="3 h then 9 h is regular"),
        pytest.param(f"W301 R179 W420 R540 {END}", [], id="2h59 then 9 h is reduced"),
        pytest.param(f"W300 R180 W480 R480 {END}", [(0, 480, 540, "MI")], id="3 h then 8 h"),
        pytest.param(f"W300 R180 W481 R479 {END}", [(0, 479, 540, "SI")], id="3 h then 7h59"),
        pytest.param(f"W300 R180 W541 R419 {END}", [(0, 419, 540, "VSI")], id="3 h then 6h59"),
        pytest.param(f"{THREE_REDUCED} {END}", [], id="three reduced"),
        pytest.param(
            f"{THREE_REDUCED} W840 R600 {END}",
            [(3 * DAY, 600, 660, "MI")],
            id="the fourth, of 10 h, is minor",
        ),
        pytest.param(f"{THREE_REDUCED} W841 R599 {END}", [(3 * DAY, 599, 660, "SI")], id="of 9h59 serious"),
        pytest.param(f"{THREE_REDUCED} W900 R540 {END}", [(3 * DAY, 540, 660, "SI")], id="of 9 h serious"),
        pytest.param(f"{THREE_REDUCED} W930 R510 {END}", [(3 * DAY, 510, 660, "SI")], id="of 8h30 serious"),
        pytest.param(f"{THREE_REDUCED} W931 R509 {END}", [(3 * DAY, 509, 660, "VSI")], id="of 8h29 very"),
        pytest.param(
            f"{THREE_REDUCED} W300 R180 W420 R540 {END}", [], id="a split rest is regular after three reduced"
        ),
        pytest.param(
            f"{THREE_REDUCED} W300 R180 W450 R510 {END}", [(3 * DAY, 510, 540, "MI")], id="and lacks to 9 h"
        ),
        pytest.param(f"{THREE_REDUCED} W600 R1440 {THREE_REDUCED} {END}", [], id="a weekly rest begins anew"),
        pytest.param(
            f"{THREE_REDUCED} W600 R1439 {THREE_REDUCED} {END}",
            [(3 * DAY + 600 + 1439 + day * DAY, 600, 660, "MI") for day in range(3)],
            id="23h59 does not",
        ),
        pytest.param(
            f"W960 R480 {THREE_REDUCED} {END}", [(0, 480, 540, "MI")], id="a failed rest takes no reduction"
        ),
        pytest.param(
            f"W1440 R600 {THREE_REDUCED} {END}",
            [(0, 0, 540, "VSI")],
            id="a rest right after the window is no day's",
        ),
        pytest.param("W1000", [], id="the window is not over"),
        pytest.param("R600 W900 R540", [], id="a rest of 9 h starts the window at its end"),
        pytest.param(
            f"W1000 R539 W60 R900 {END}",
            [(0, 440, 540, "SI")],
            id="no rest of 9 h began: the next window starts at 24 h",
        ),
        pytest.param(
            f"W1000 R600 W900 R539 {END}",
            [(0, 440, 540, "SI"), (1600, 539, 540, "MI")],
            id="one began: the next window starts at its end",
        ),
        pytest.param("A60 W780 R600 W60 R2700", [], id="availability is duty: 60 + 780 + 600 is all inside"),
    ],
)
def test_daily_rest(words: str, expected: Expected) -> None:
    assert short(of(words, Rule.DAILY_REST)) == expected


CREW = "d270 a270 d270 a270"


@pytest.mark.parametrize(
    ("words", "rule", "expected"),
    [
        pytest.param(f"{CREW} d180 R540 {END}", "", [], id="9 h within 30"),
        pytest.param(f"{CREW} d181 R539 {END}", "DAILY_REST_MULTI_MANNING", [(0, 539, 540, "MI")], id="8h59"),
        pytest.param(f"{CREW} d240 R480 {END}", "DAILY_REST_MULTI_MANNING", [(0, 480, 540, "MI")], id="8h00"),
        pytest.param(f"{CREW} d241 R479 {END}", "DAILY_REST_MULTI_MANNING", [(0, 479, 540, "SI")], id="7h59"),
        pytest.param(f"{CREW} d300 R420 {END}", "DAILY_REST_MULTI_MANNING", [(0, 420, 540, "SI")], id="7h00"),
        pytest.param(f"{CREW} d301 R419 {END}", "DAILY_REST_MULTI_MANNING", [(0, 419, 540, "VSI")], id="6h59"),
        pytest.param(f"D60 {CREW} d120 R540 {END}", "", [], id="alone for the first hour"),
        pytest.param(
            f"D61 {CREW} d119 R540 {END}", "DAILY_REST", [(0, 180, 540, "VSI")], id="alone for a minute more"
        ),
        pytest.param(
            f"{CREW} W180 R540 {END}", "", [], id="work alone at the end is no driving"
        ),
        pytest.param(
            f"{CREW} a270 D10 W170 R540 {END}", "DAILY_REST", [(0, 0, 540, "VSI")],
            id="driving alone in the 24th to 30th hour undoes it",
        ),
        pytest.param("A600 W600 R600 W60 R2700", "DAILY_REST", [(0, 240, 540, "VSI")], id="no crew driving: 24 h"),
    ],
)  # fmt: skip
def test_multi_manning(words: str, rule: str, expected: Expected) -> None:
    findings = of(words, Rule.DAILY_REST, Rule.DAILY_REST_MULTI_MANNING)
    assert {finding.rule.value for finding in findings} == ({rule} if rule else set())
    assert short(findings) == expected


def test_a_reduced_crew_rest_counts_toward_the_three() -> None:
    crew_days = f"{CREW} d120 R600 " * 3
    assert short(of(f"{crew_days} W840 R600 {END}", Rule.DAILY_REST)) == [(3 * 30 * HOUR, 600, 660, "MI")]


def test_the_part_of_a_weekly_rest_after_three_reduced_is_contested() -> None:
    words = f"{THREE_REDUCED} W840 R2700"
    assert of(words, Rule.DAILY_REST) == []
    (contested,) = of(words, Rule.REDUCED_IN_WEEKLY_REST)
    assert contested.needs_evidence
    assert short([contested]) == [(3 * DAY, 600, 660, "MI")]
    assert of(f"{THREE_REDUCED} W780 R2700", Rule.REDUCED_IN_WEEKLY_REST) == []


TEN = "D270 R45 D270 R45 D60 R660 "


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("D600 R660", [], id="10 h, extended"),
        pytest.param("D601 R660", [(0, 601, 600, "MI")], id="one minute over"),
        pytest.param("D659 R660", [(0, 659, 600, "MI")], id="10h59"),
        pytest.param("D660 R660", [(0, 660, 600, "SI")], id="11h00"),
        pytest.param("D719 R660", [(0, 719, 600, "SI")], id="11h59"),
        pytest.param("D720 R660", [(0, 720, 600, "VSI")], id="12h00"),
        pytest.param("D899 R660", [(0, 899, 600, "VSI")], id="14h59"),
        pytest.param("D900 R660", [(0, 900, 600, "MSI")], id="15h00"),
        pytest.param(TEN * 2 + "D540 R660", [], id="9 h after two extensions"),
        pytest.param(TEN * 2 + "D541 R660", [(2700, 541, 540, "MI")], id="9h01"),
        pytest.param(TEN * 2 + "D599 R660", [(2700, 599, 540, "MI")], id="9h59"),
        pytest.param(TEN * 2 + "D600 R660", [(2700, 600, 540, "SI")], id="10h00"),
        pytest.param(TEN * 2 + "D660 R660", [(2700, 660, 540, "VSI")], id="11h00 against 9 h"),
        pytest.param(TEN * 2 + "D809 R660", [(2700, 809, 540, "VSI")], id="13h29"),
        pytest.param(TEN * 2 + "D810 R630", [(2700, 810, 540, "MSI")], id="13h30"),
        pytest.param(
            "D615 R660 " * 3,
            [(0, 615, 600, "MI"), (1275, 615, 600, "MI"), (2550, 615, 540, "SI")],
            id="over 10 h takes an extension too",
        ),
        pytest.param("D300 R539 D301 R660", [(0, 601, 600, "MI")], id="8h59 does not end the day"),
        pytest.param("D300 R540 D301 R660", [], id="9 h do"),
        pytest.param("W960 D1 R300 D700 R660", [], id="24 h end it"),
        pytest.param("D590 D20~ R660", [], id="driving for the ferry is left out"),
        pytest.param("D500 D200x R660", [], id="out of scope is left out"),
    ],
)
def test_daily_driving(words: str, expected: Expected) -> None:
    assert short(of(words, Rule.DAILY_DRIVING)) == expected


@pytest.mark.parametrize(("offset", "extensions_then"), [(-120, 0), (0, 1)])
def test_a_period_over_sunday_midnight_takes_its_extension_from_the_week_it_starts_in(
    offset: int, extensions_then: int
) -> None:
    """From Sunday 22:00: two more extensions are left in the week that begins two hours later."""
    words = "D600 R660 " * 3
    assert len(of(words, Rule.DAILY_DRIVING, offset=offset)) == extensions_then


def test_daylight_saving_changes_nothing() -> None:
    """The week of the spring change in Europe, 2026-03-29, and the same activities in any other week."""
    spring = 11 * 7 * DAY + 6 * DAY
    words = "D600 R660 " * 3
    findings = [
        (f.rule, f.at - offset, f.measured)
        for offset in (spring, spring + 7 * DAY)
        for f in of(words, *Rule, offset=offset)
    ]
    assert findings[: len(findings) // 2] == findings[len(findings) // 2 :]


def test_days_hold_what_was_done_between_the_rests() -> None:
    days = evaluate(line(f"D270 R45 W100 A60 D30 R700 {END}")).days
    assert [(d.start - MONDAY, d.end - MONDAY, d.driving, d.other_work, d.availability) for d in days] == [
        (0, 505, 300, 100, 60), (1205, 1265, 0, 60, 0),
    ]  # fmt: skip
    assert [(d.rest, d.rest_kind, d.limit, d.crew) for d in days] == [
        (700, "regular", 600, False), (1380, "weekly", 600, False),
    ]  # fmt: skip


def test_a_rest_interrupted_as_on_a_ferry_is_a_question() -> None:
    words = "D480 R300 W30{} R360 W60 R2700"
    assert short(of(words.format(""), Rule.DAILY_REST)) == [(0, 360, 540, "VSI")]
    (question,) = of(words.format(""), Rule.FERRY_REST)
    assert question.needs_evidence
    (excused,) = of(words.format("~"), Rule.DAILY_REST)
    assert excused.needs_evidence
    assert of(words.format("~"), Rule.FERRY_REST) == []
    assert of("D480 R300 W61 R360 W60 R2700", Rule.FERRY_REST) == []


def test_a_little_too_much_before_a_weekly_rest_may_be_the_way_home() -> None:
    assert [f.rule for f in of("D720 R2700", Rule.WAY_HOME, Rule.DAILY_DRIVING)] == [
        Rule.DAILY_DRIVING, Rule.WAY_HOME,
    ]  # fmt: skip
    assert of("D721 R2700", Rule.WAY_HOME) == []
    assert len(of("D660 R1440", Rule.WAY_HOME)) == 1
    assert of("D661 R1440", Rule.WAY_HOME) == []


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ("W900 R300 W10{} R230 W60 R2700", Rule.DAILY_REST),
        (THREE_REDUCED + "W830 W10{} R600 W60 R2700", Rule.DAILY_REST),
        ("D400 R300 W10{} R230 D300 R660", Rule.DAILY_DRIVING),
        ("D260 R20 W5{} R24 D20 R660", Rule.BREAK),
        ("R2700 W8000 R1000 W10{} R1000 W60 R2700", Rule.WEEKLY_REST_SPACING),
        ("W8640 R700 W10{} R730 " + "W7380 R2700", Rule.WEEKLY_REST_PATTERN),
    ],
)
def test_a_rest_broken_by_inferred_activity_only_proves_no_infringement(words: str, rule: Rule) -> None:
    """A position that moved in the night may be a parked vehicle's error: the same, recorded, is a violation."""
    recorded, inferred = of(words.format(""), rule), of(words.format("!"), rule)
    assert [f.needs_evidence for f in recorded] == [False]
    assert [f.needs_evidence for f in inferred] == [True]
    assert inferred[0].severity == recorded[0].severity
    assert inferred[0].reason
