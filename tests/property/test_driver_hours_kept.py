"""States that are kept and gone back to, and standings that are kept for later times: nothing is lost in either."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from test_driver_hours import DUTY_WEEKS, EXACT_DAY, MONDAY, SINGLE_DAY, WEEKS, Row, activities

from domain.driver_hours import State, advance, remaining, still_open
from domain.driver_hours.codec import dump, load
from domain.driver_hours.engine import Outcome
from domain.driver_hours.remaining import remaining_of
from domain.driver_hours.standing import phases
from domain.driver_hours.timeline import stretch_of
from domain.driver_hours.warned import Warned

OFTEN = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS = WEEKS | DUTY_WEEKS


def state_of(rows: list[Row]) -> State:
    state, outcome = State(), Outcome([], [])
    for activity in activities(rows):
        if activity.start < activity.end:
            state.add(stretch_of(activity), outcome)
    return state


@OFTEN
@given(rows=ROWS, cut=st.integers(0, 80))
def test_a_state_that_was_kept_goes_on_as_the_one_that_was_not(rows: list[Row], cut: int) -> None:
    line = [activity for activity in activities(rows) if activity.start < activity.end]
    kept, whole = state_of(rows[:cut]), State()
    kept = load(json.loads(json.dumps(dump(kept))))
    known = sum(activity.start < activities([*rows[:cut], ("R", 1)])[-1].start for activity in line)
    for place, activity in enumerate(line):
        whole, outcome = advance(whole, activity)
        if place >= known:
            kept, again = advance(kept, activity)
            assert again == outcome
    assert still_open(kept) == still_open(whole)
    assert dump(kept) == dump(whole)


@OFTEN
@given(rows=ROWS, later=st.integers(0, 3 * 1_440 - 1) | st.integers(0, 60_000))
@example(
    rows=[("D", 1), ("R", 539)], later=121
)  # a rest that was a reduced one is a regular one from 11 h on
def test_phases_tell_what_the_engine_would(rows: list[Row], later: int) -> None:
    state = state_of(rows)
    found, horizon = phases(state)
    if state.until is None:
        assert found == []
        return
    now = state.until + later
    if horizon is not None and now >= horizon:
        return
    last = [phase for phase in found if phase.at <= now][-1]
    assert remaining_of(last.later(now)) == remaining(state, now)


def warned(rows: list[Row]) -> list[Warned]:
    state, outcome = State(), Outcome([], [], [])
    for activity in activities(rows):
        if activity.start < activity.end:
            state.add(stretch_of(activity), outcome)
    state.finish(outcome)
    assert outcome.warnings is not None
    return outcome.warnings


def reference_warnings(rows: list[Row]) -> list[tuple[str, int, int]]:
    """Ask after every minute of driving what `remaining` warns of, and keep what is new since driving last ended.

    A deadline's level may have been reached before driving began: then the warning comes with its first minute.
    """
    found, shown = [], dict[str, tuple[int, int]]()
    state, outcome = State(), Outcome([], [])
    for activity in activities(rows):
        for minute in range(activity.start, activity.end):
            state.add(stretch_of(activity._replace(start=minute, end=minute + 1)), outcome)
            if activity.kind != "driving":
                continue
            now = {one.rule.value: one for one in remaining(state, minute + 1).warnings}
            for rule, one in now.items():
                level_before, used_before = shown.get(rule, (0, 0))
                told = level_before if one.used > used_before else 0
                for level in (80, 90, 100):
                    if told < level <= one.level:
                        passed = (one.used - 1) * 100 >= level * one.limit
                        found.append((rule, level, minute + (not passed) - MONDAY))
            shown = {rule: (one.level, one.used) for rule, one in now.items()}
    return found


# Single drivers: a crew's window grows when the second driver is first seen, and with it the limit that warns.
SINGLE_DAYS = st.lists(st.one_of(SINGLE_DAY, EXACT_DAY), min_size=1, max_size=8)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(days=SINGLE_DAYS)
def test_warnings_are_given_in_the_minute_in_which_remaining_has_them(days: list[list[Row]]) -> None:
    rows = [row for day in days for row in day if row[1]]
    found = sorted((one.rule.value, one.level, one.at - MONDAY) for one in warned(rows))
    assert found == sorted(reference_warnings(rows))
