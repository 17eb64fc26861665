"""However the same activities are cut, ordered, repeated or handed over, the findings are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.driver_hours import (
    Activity,
    Finding,
    Kind,
    Origin,
    OutOfOrder,
    Rule,
    State,
    advance,
    evaluate,
    remaining,
    still_open,
)

MONDAY = 29_459_520
LENGTHS = st.sampled_from((15, 30, 45, 180, 270, 271, 300, 540, 600, 660, 1440, 2700)) | st.integers(1, 3_000)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(Kind), LENGTHS, st.booleans(), st.sampled_from(Origin), st.integers(0, 19), st.integers(0, 9)
    ),
    min_size=1, max_size=60,
)  # fmt: skip
OFTEN = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def laid_out(rows: Sequence[tuple[Kind, int, bool, Origin, int, int]], start: int = MONDAY) -> list[Activity]:
    """Lay rows one after the other; every tenth leaves a gap, every twentieth is out of scope or on a ferry."""
    laid, now = [], start
    for kind, minutes, crew, origin, flag, pause in rows:
        now += 37 if pause == 0 else 0
        laid.append(Activity(now, now + minutes, kind, crew, origin, flag == 0, flag == 1))
        now += minutes
    return laid


def cut(activities: Sequence[Activity], places: Sequence[int]) -> list[Activity]:
    """Cut at offsets from the first minute."""
    pieces = list(activities)
    for place in places:
        at = activities[0].start + place
        pieces = [part for piece in pieces for part in halves(piece, at)]
    return pieces


def halves(piece: Activity, at: int) -> list[Activity]:
    if piece.start < at < piece.end:
        return [piece._replace(end=at), piece._replace(start=at)]
    return [piece]


def streamed(activities: Sequence[Activity]) -> tuple[State, Counter[Finding]]:
    state, found = State(), Counter[Finding]()
    for activity in activities:
        state, outcome = advance(state, activity)
        found.update(outcome.findings)
    return state, found


@OFTEN
@given(rows=ROWS, places=st.lists(st.integers(0, 40_000), max_size=30), start=st.integers(0, 20_000))
def test_one_by_one_gives_what_the_batch_gives_wherever_it_is_cut(
    rows: list[tuple[Kind, int, bool, Origin, int, int]], places: list[int], start: int
) -> None:
    activities = laid_out(rows, MONDAY + start)
    batch = evaluate(activities)
    midnights = range(0, activities[-1].end - activities[0].start, 1_440)
    for pieces in (activities, cut(activities, places), cut(activities, midnights)):
        state, found = streamed(pieces)
        found.update(still_open(state))
        assert found == Counter(batch.findings)


@OFTEN
@given(data=st.data(), rows=ROWS)
def test_order_of_arrival_and_repeats_change_nothing(
    data: st.DataObject, rows: list[tuple[Kind, int, bool, Origin, int, int]]
) -> None:
    activities = laid_out(rows)
    arrived = data.draw(st.permutations(activities + activities[:5]))
    assert evaluate(arrived) == evaluate(activities)


@OFTEN
@given(rows=ROWS, keep=st.integers(1, 60), later=st.integers(0, 3_000))
def test_a_state_is_a_value(
    rows: list[tuple[Kind, int, bool, Origin, int, int]], keep: int, later: int
) -> None:
    """Neither going on, nor asking, nor looking ahead changes a state that was kept."""
    activities = laid_out(rows)
    kept, _ = streamed(activities[:keep])
    opened = still_open(kept)
    assert kept.until is not None
    left = remaining(kept, kept.until + later)
    state = kept
    for activity in activities[keep:]:
        state, _ = advance(state, activity)
    assert still_open(kept) == opened
    assert remaining(kept, kept.until + later) == left


@OFTEN
@given(rows=ROWS)
def test_what_may_be_driven_now_breaks_nothing_and_a_minute_more_does(
    rows: list[tuple[Kind, int, bool, Origin, int, int]],
) -> None:
    """Driving exactly what remains adds no driving infringement; one more minute breaks a limit or a deadline."""
    activities = [
        activity._replace(crew=False, ferry=False, out_of_scope=False) for activity in laid_out(rows)
    ]
    before, _ = streamed(activities)
    assert before.until is not None
    now = before.until
    left = remaining(before, now)
    drives = Activity(now, now + left.driving, Kind.DRIVING)
    state = advance(before, drives)[0] if left.driving else before
    after = remaining(state, now + left.driving)
    assert after.driving == 0
    driving = (Rule.BREAK, Rule.DAILY_DRIVING, Rule.WEEKLY_DRIVING, Rule.FORTNIGHTLY_DRIVING)
    broken = {(f.rule, f.start) for f in still_open(state) if f.rule in driving}
    assert broken <= {(f.rule, f.start) for f in still_open(before)}


@OFTEN
@given(rows=ROWS)
def test_overlaps_are_settled_the_same_way_whatever_the_order(
    rows: list[tuple[Kind, int, bool, Origin, int, int]],
) -> None:
    """A second card with the same time as rest never makes more rest of it."""
    activities = laid_out(rows)
    shadow = [activity._replace(kind=Kind.REST) for activity in activities]
    assert evaluate([*shadow, *activities]).findings == evaluate([*activities, *shadow]).findings
    driven = sum(day.driving for day in evaluate([*shadow, *activities]).days)
    assert driven == sum(day.driving for day in evaluate(activities).days)


def test_what_does_not_follow_is_refused() -> None:
    state, _ = advance(State(), Activity(100, 200, Kind.DRIVING))
    for activity in (
        Activity(150, 300, Kind.REST),
        Activity(200, 200, Kind.REST),
        Activity(300, 250, Kind.REST),
    ):
        with pytest.raises(OutOfOrder, match="does not follow"):
            advance(state, activity)
