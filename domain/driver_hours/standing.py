"""How far each clock has run at a time, and when that stops going on evenly.

From a standing everything follows that may still be done (`remaining.remaining_of`). While the last activity goes on a
standing changes evenly: minutes of driving are added, or nothing is. `phases` lists the standings at which that ends
(a break is complete, a window or a week is over), so that a table of them answers for any later time without the
engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.engine import State
from domain.driver_hours.model import DRIVING, MINUTES_OF_DAY, REST, Minute, week_of, week_start

# Nobody drives, works or waits for so long: what is told of later than that would be made up.
BELIEVED_DAYS = 3
# What a rest, or a co-driver's availability, of so many minutes changes.
_STEPS = (
    limits.FIRST_PART_OF_BREAK, limits.SECOND_PART_OF_BREAK, limits.FULL_BREAK, limits.FIRST_PART_OF_DAILY_REST,
    limits.REDUCED_DAILY_REST.minutes, limits.REGULAR_DAILY_REST.minutes, limits.REDUCED_WEEKLY_REST.minutes,
)  # fmt: skip
_WINDOWS = (limits.DAILY_WINDOW, limits.CREW_WINDOW)
# Weeks until driving of today is in no pair of weeks any more.
_WEEKS_AHEAD = 3


class Standing(NamedTuple):
    """The clocks at a time, in minutes.

    `day_start` is None while no daily period runs; `rest_by` then too. `weekly_rest_end` is the end of the last weekly
    rest, None if none was seen, and the time itself while `in_weekly_rest`. `rest_minutes` is the least that the next
    daily rest must be.
    """

    at: Minute
    is_driving: bool
    in_weekly_rest: bool
    stint: int
    break_minutes: int
    day_start: Minute | None
    day_driving: int
    day_limit: int
    extensions_left: int
    reductions_left: int
    week: int
    fortnight: int
    rest_by: Minute | None
    rest_minutes: int
    weekly_rest_end: Minute | None

    def later(self, now: Minute) -> Standing:
        """Return the standing at a later time of the same phase."""
        driven = now - self.at if self.is_driving else 0
        return self._replace(
            at=now,
            stint=self.stint + driven,
            day_driving=self.day_driving + driven,
            week=self.week + driven,
            fortnight=self.fortnight + driven,
            weekly_rest_end=now if self.in_weekly_rest else self.weekly_rest_end,
        )


def standing(state: State, now: Minute) -> Standing:
    """Return the standing at `now`, no earlier than the state's end, if the last activity goes on until then.

    Raises:
        ValueError: `now` lies before the end of the state's last activity.
    """
    at = state.at(now)
    days, last = at.days, state.last
    daily, extensions_left = days.daily_limit(now)
    rest_by, rest_minutes = days.next_rest()
    week, fortnight = at.driving.used(now)
    rested = last is not None and last.kind is REST and now - last.start >= limits.REDUCED_WEEKLY_REST.minutes
    return Standing(
        at=now,
        is_driving=last is not None and last.kind is DRIVING,
        in_weekly_rest=rested,
        stint=at.breaks.stint,
        break_minutes=limits.SECOND_PART_OF_BREAK if at.breaks.has_first_part else limits.FULL_BREAK,
        day_start=days.start,
        day_driving=days.driving(),
        day_limit=daily,
        extensions_left=extensions_left,
        reductions_left=max(0, limits.REDUCTIONS_BETWEEN_WEEKLY_RESTS - days.reductions),
        week=week,
        fortnight=fortnight,
        rest_by=rest_by,
        rest_minutes=rest_minutes,
        weekly_rest_end=at.spacing.last_end,
    )


def phases(state: State) -> tuple[list[Standing], Minute | None]:
    """Return the standings from the state's end on, each good until the next, and when the last of them ends.

    A rest may go on for ever (None); anything else is believed for three days. Not for a state on a ferry: the feed
    knows none.
    """
    last = state.last
    if last is None:
        return [], None
    horizon = None if last.kind is REST else last.end + BELIEVED_DAYS * MINUTES_OF_DAY
    times = sorted({last.end, *(t for t in _turns(state) if t > last.end and (not horizon or t < horizon))})
    found: list[Standing] = []
    for time in times:
        here = standing(state, time)
        if not found or found[-1].later(time) != here:
            found.append(here)
    return found, horizon


def _turns(state: State) -> Iterator[Minute]:
    """Return every time at which a clock may turn while the last activity goes on."""
    last, start = state.last, state.days.start
    assert last is not None
    yield from (last.start + step for step in _STEPS)
    week = week_of(last.end)
    yield from (week_start(week + ahead) for ahead in range(1, _WEEKS_AHEAD + 1))
    begun = next((s.start for s in state.days.stretches if s.kind is not REST), last.start)
    yield begun + limits.CREW_GRACE + 1
    starts = {last.start if start is None else start}
    for _ in range(BELIEVED_DAYS + 2):
        starts |= {one + window for one in starts for window in _WINDOWS}
    for one in starts:
        yield one
        yield one + limits.CREW_GRACE + 1
