from __future__ import annotations

import pytest

from domain.driver_hours import Remaining, Rule, State, advance, remaining
from tests.unit.driver_hours.line import DAY, MONDAY, WEEK, line


def after(words: str, later: int = 0, offset: int = 0) -> Remaining:
    state = State()
    for activity in line(words, offset):
        state, _ = advance(state, activity)
    assert state.until is not None
    return remaining(state, state.until + later)


def test_a_driver_who_has_just_rested_has_everything() -> None:
    left = after("R660")
    assert (left.driving, left.until_break, left.today, left.this_week, left.this_fortnight) == (
        270, 270, 600, 3360, 5400,
    )  # fmt: skip
    assert (left.rest_by, left.rest_minutes, left.extensions_left, left.reductions_left) == (None, 540, 2, 3)
    assert left.warnings == ()


def test_nothing_known_is_as_after_a_rest() -> None:
    assert remaining(State(), MONDAY).driving == 270


def test_each_limit_counts_down() -> None:
    left = after("R660 D200")
    assert (left.driving, left.until_break, left.today, left.this_week, left.this_fortnight) == (
        70, 70, 400, 3160, 5200,
    )  # fmt: skip
    assert left.rest_by == MONDAY + 660 + DAY - 540


def test_the_open_activity_goes_on_until_now() -> None:
    assert after("R660 D200", later=30).until_break == 40
    assert after("R660 D270 R10", later=34).driving == 0
    assert after("R660 D270 R10", later=35).driving == 270


def test_the_next_break_is_30_after_a_first_part() -> None:
    assert after("D120 R14").break_minutes == 45
    assert after("D120 R15").break_minutes == 30


def test_without_extensions_the_day_has_nine_hours() -> None:
    day = "D270 R45 D270 R45 D60 R660 "
    assert after(day * 2 + "D60").today == 480
    assert after(day * 2).extensions_left == 0
    assert after(day * 2, later=0, offset=WEEK - 2 * 1350).extensions_left == 2


def test_without_reductions_the_rest_must_begin_earlier() -> None:
    reduced = "W840 R600 "
    left = after(reduced * 3 + "W60")
    assert left.rest_by is not None
    assert (left.rest_minutes, left.rest_by - MONDAY, left.reductions_left) == (660, 3 * DAY + DAY - 660, 0)
    split = after(reduced * 3 + "W60 R180 W60")
    assert split.rest_by is not None
    assert (split.rest_minutes, split.rest_by - MONDAY) == (540, 3 * DAY + DAY - 540)


def test_a_crew_has_thirty_hours() -> None:
    left = after("d270 a270")
    assert left.rest_by == MONDAY + 30 * 60 - 540


def test_driving_ends_when_the_rest_must_begin() -> None:
    assert after("W850").driving == 50
    assert after("W950").driving == 0


def test_the_weekly_rest_must_begin_in_time() -> None:
    left = after("R2700 W60", offset=-2700)
    assert left.weekly_rest_by == MONDAY + 6 * DAY
    assert after("W60").weekly_rest_by is None


def test_a_new_week_counts_anew_and_the_fortnight_goes_on() -> None:
    left = after("D240 R1200 " * 7)
    assert (left.this_week, left.this_fortnight) == (3360, 5400 - 7 * 240)
    later = after("D240 R1200 " * 7, later=WEEK)
    assert (later.this_week, later.this_fortnight) == (3360, 5400)


@pytest.mark.parametrize(
    ("driven", "level"), [(215, None), (216, 80), (242, 80), (243, 90), (269, 90), (270, 100), (300, 100)]
)
def test_warnings_at_80_90_and_100_per_cent(driven: int, level: int | None) -> None:
    warned = {warning.rule: warning.level for warning in after(f"R660 D{driven}").warnings}
    assert warned.get(Rule.BREAK) == level


def test_warnings_are_for_each_limit() -> None:
    left = after("R2700 " + "D270 R45 D270 R45 D10 R800 " * 6 + "D1", offset=-2700)
    rules = {(warning.rule, warning.level) for warning in left.warnings}
    assert (Rule.WEEKLY_DRIVING, 90) in rules
    assert (Rule.WEEKLY_REST_SPACING, 100) in rules


def test_there_are_no_warnings_at_rest() -> None:
    assert after("R660 D270 R1").warnings == ()


def test_the_past_is_not_asked_for() -> None:
    with pytest.raises(ValueError, match="before the end of the last activity"):
        after("D100", later=-1)
