from __future__ import annotations

import pytest

from domain.driver_hours import Rule
from domain.driver_hours.cases import evaluate_case
from tests.unit.driver_hours.line import DAY, HOUR, MONDAY, WEEK, of, short


def week_of_driving(minutes: int) -> str:
    """Six even days of driving, the odd minutes on the first, and a Sunday of rest."""
    each, odd = divmod(minutes, 6)
    days = [each + odd, *[each] * 5]
    return " ".join(f"D{day} R{DAY - day}" for day in days) + f" R{DAY} "


@pytest.mark.parametrize(
    ("minutes", "severity"),
    [
        (3360, None), (3361, "MI"), (3599, "MI"), (3600, "SI"), (3899, "SI"), (3900, "VSI"), (4199, "VSI"),
        (4200, "MSI"),
    ],
)  # fmt: skip
def test_weekly_driving(minutes: int, severity: str | None) -> None:
    expected = [(0, minutes, 3360, severity)] if severity else []
    assert short(of(week_of_driving(minutes), Rule.WEEKLY_DRIVING)) == expected


@pytest.mark.parametrize(
    ("minutes", "severity"),
    [
        (5400, None), (5401, "MI"), (5999, "MI"), (6000, "SI"), (6299, "SI"), (6300, "VSI"), (6749, "VSI"),
        (6750, "MSI"),
    ],
)  # fmt: skip
def test_fortnightly_driving(minutes: int, severity: str | None) -> None:
    words = week_of_driving(2700) + week_of_driving(minutes - 2700)
    expected = [(WEEK, minutes, 5400, severity)] if severity else []
    assert short(of(words, Rule.FORTNIGHTLY_DRIVING)) == expected


def test_pairs_of_weeks_roll() -> None:
    words = "".join(week_of_driving(hours * HOUR) for hours in (40, 51, 40, 51, 39))
    assert [f.at - MONDAY for f in of(words, Rule.FORTNIGHTLY_DRIVING)] == [WEEK, 2 * WEEK, 3 * WEEK]


def test_an_empty_week_parts_two_full_ones() -> None:
    words = week_of_driving(3360) + f"R{WEEK} " + week_of_driving(3360)
    assert of(words, Rule.FORTNIGHTLY_DRIVING) == []


def test_driving_over_sunday_midnight_is_split() -> None:
    """56 h until Sunday 23:00, then two hours: one in each week."""
    words = " ".join(["D560 R880"] * 6) + " R1380 D120 R660"
    (finding,) = of(words, Rule.WEEKLY_DRIVING)
    assert (finding.measured, finding.at) == (3420, MONDAY)
    assert of(words, Rule.FORTNIGHTLY_DRIVING) == []


@pytest.mark.parametrize(
    ("late", "severity"),
    [(0, None), (1, "MI"), (179, "MI"), (180, "SI"), (719, "SI"), (720, "VSI")],
)
def test_weekly_rest_begins_within_six_24_hour_periods(late: int, severity: str | None) -> None:
    words = f"R2700 W{6 * DAY + late} R2700"
    expected = [(6 * DAY, 6 * DAY + late, 6 * DAY, severity)] if severity else []
    assert short(of(words, Rule.WEEKLY_REST_SPACING, offset=-2700)) == expected


def test_a_rest_below_24_hours_is_no_weekly_rest() -> None:
    words = "R1440 W4000 R1439 W4000 R1440"
    (finding,) = of(words, Rule.WEEKLY_REST_SPACING, offset=-1440)
    assert finding.excess == 9439 - 8640
    assert of(words.replace("1439", "1440"), Rule.WEEKLY_REST_SPACING) == []


def test_without_a_weekly_rest_before_there_is_no_deadline() -> None:
    assert of("R1439 W10000 R2700", Rule.WEEKLY_REST_SPACING) == []


def test_an_overdue_weekly_rest_is_late_up_to_the_end_of_the_data() -> None:
    (finding,) = of("R2700 W8700", Rule.WEEKLY_REST_SPACING, offset=-2700)
    assert finding.excess == 60
    assert of("R2700 W8640 R600", Rule.WEEKLY_REST_SPACING, offset=-2700) == []


SATURDAY = 5 * DAY


def weekly(*minutes: int, weeks: int | None = None) -> dict[str, object]:
    """Judge one weekly rest a week from Saturday 00:00; 0 is none."""
    rests = [
        {"start_min": week * WEEK + SATURDAY, "minutes": length}
        for week, length in enumerate(minutes)
        if length
    ]
    return judged(rests, len(minutes) if weeks is None else weeks)


def judged(rests: list[dict[str, int]], weeks: int) -> dict[str, object]:
    case = {
        "id": "x", "rule": "WEEKLY_REST_SET", "origin_utc": "2026-01-05T00:00:00Z", "weekly_rests": rests,
        "weeks": weeks,
    }  # fmt: skip
    findings = evaluate_case(case)["findings"]
    assert isinstance(findings, dict)
    return findings


@pytest.mark.parametrize(
    ("hours", "pattern"),
    [
        pytest.param((45, 45, 45, 45), "ok", id="all regular"),
        pytest.param((45, 24, 45, 24), "ok", id="every other reduced"),
        pytest.param((45, 23, 45, 45), "violation", id="23 h is none"),
        pytest.param((45, 0, 45, 45), "violation", id="none"),
        pytest.param((45, 24, 24, 87), "needs_evidence", id="two reduced in a row"),
        pytest.param((24, 24, 45, 45), "needs_evidence", id="at the start"),
        pytest.param((45, 24, 24, 24), "violation", id="three of four"),
        pytest.param((24, 24, 45, 24), "violation", id="three of four, not in a row"),
        pytest.param((45,), "ok", id="one week has no pair"),
    ],
)
def test_pattern_of_weekly_rests(hours: tuple[int, ...], pattern: str) -> None:
    assert weekly(*[hour * HOUR for hour in hours])["pattern"] == pattern


def debts(answer: dict[str, object]) -> list[tuple[int, int, bool]]:
    found = answer["debts"]
    assert isinstance(found, list)
    return [(debt["week"], debt["debt_min"], debt["settled"]) for debt in found]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param((2700, 1440, 2700 + 1260, 2700), [(1, 1260, True)], id="en bloc in the next week"),
        pytest.param((2700, 1440, 2700 + 1259, 2700), [(1, 1260, False)], id="a minute short"),
        pytest.param((2700, 1440, 3300, 3360), [(1, 1260, False)], id="in two blocks"),
        pytest.param((2700 + 1260, 1440, 2700, 2700), [(1, 1260, False)], id="before is not after"),
        pytest.param((2700, 1440, 2700, 2700, 2700, 4800), [(1, 1260, False)], id="a week too late"),
        pytest.param(
            (1440, 1500, 2700 + 1260 + 1200, 2700), [(0, 1260, True), (1, 1200, True)], id="two at once"
        ),
        pytest.param(
            (1440, 1500, 2700 + 1260, 2700), [(0, 1260, True), (1, 1200, False)], id="the larger one"
        ),
        pytest.param((2700, 2640, 2760, 2700), [(1, 60, True)], id="44 h and 46 h"),
        pytest.param((2699, 2701), [(0, 1, True)], id="one minute"),
    ],
)
def test_compensation(minutes: tuple[int, ...], expected: list[tuple[int, int, bool]]) -> None:
    assert debts(weekly(*minutes)) == expected


@pytest.mark.parametrize(("start", "settled"), [(0, True), (1, False)])
def test_compensation_is_complete_by_the_end_of_the_third_week(start: int, settled: bool) -> None:
    """66 h that end with Sunday 24:00 of the third week after, and a minute later."""
    rests = [
        {"start_min": SATURDAY, "minutes": 1440},
        *({"start_min": week * WEEK + SATURDAY, "minutes": 2700} for week in (1, 2)),
        {"start_min": 4 * WEEK - 3960 + start, "minutes": 3960},
    ]
    assert debts(judged(rests, 4)) == [(0, 1260, settled)]


def test_compensation_may_be_attached_to_a_daily_rest() -> None:
    rests = [
        {"start_min": SATURDAY, "minutes": 2100},
        {"start_min": WEEK + DAY, "minutes": 540 + 600},
        {"start_min": WEEK + SATURDAY, "minutes": 2700},
    ]
    assert debts(judged(rests, 2)) == [(0, 600, True)]
    rests[1]["minutes"] -= 1
    assert debts(judged(rests, 2)) == [(0, 600, False)]


def test_a_rest_over_sunday_midnight_counts_in_one_week() -> None:
    over = {"start_min": WEEK - DAY, "minutes": 2880}
    assert judged([over], 2)["pattern"] == "violation"
    assert judged([{"start_min": DAY, "minutes": 1440}, over], 2)["pattern"] == "ok"


def test_holidays_fill_the_weeks_they_cover() -> None:
    assert judged([{"start_min": SATURDAY, "minutes": 3 * WEEK}], 4)["pattern"] == "ok"


def test_an_unsettled_compensation_is_found() -> None:
    regular = f"W{WEEK - 2700} R2700 "
    words = f"W{WEEK - 1440} R1440 " + regular * 5
    (finding,) = of(words, Rule.WEEKLY_REST_COMPENSATION)
    assert (finding.limit, finding.at - MONDAY, finding.severity) == (1260, 4 * WEEK, None)
    settled = f"W{WEEK - 1440} R1440 " + regular + f"W{WEEK - 3960} R3960 " + regular * 3
    assert of(settled, Rule.WEEKLY_REST_COMPENSATION) == []


def test_two_reduced_rests_in_a_row_need_evidence_and_a_third_is_a_violation() -> None:
    weeks = [f"W{WEEK - 1440} R1440 "] * 3
    pairs = of("".join(weeks), Rule.WEEKLY_REST_PATTERN)
    assert [(f.needs_evidence, f.measured, f.limit, f.severity) for f in pairs] == [
        (True, 1440, 2700, "VSI"), (False, 1440, 2700, "VSI"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rest", "severity"), [(1439, "MI"), (1320, "MI"), (1319, "SI"), (1200, "SI"), (1199, "VSI")]
)
def test_a_missing_weekly_rest_is_classed_by_the_longest_rest_instead(rest: int, severity: str) -> None:
    words = f"W{WEEK - 2700} R2700 W{WEEK - rest} R{rest}"
    assert short(of(words, Rule.WEEKLY_REST_PATTERN)) == [(0, rest, 1440, severity)]


def test_weeks_not_wholly_covered_are_not_judged() -> None:
    words = f"W{WEEK - 1} R{WEEK}"
    assert of(words, Rule.WEEKLY_REST_PATTERN, offset=1) == []


def test_where_the_rest_was_spent_and_the_return_home_are_asked_for() -> None:
    words = f"W{WEEK - 2700} R2700 " * 4
    assert len(of(words, Rule.WEEKLY_REST_PLACE)) == 4
    (home,) = of(words, Rule.RETURN_HOME)
    assert (home.start, home.end) == (MONDAY, MONDAY + 4 * WEEK)
    assert home.needs_evidence
