"""What a driver may still do now: never stored, always asked of a state and a time.

The last activity is taken to go on until now, as a driver's open activity does; a rest that still runs counts
by what it has come to. The figures are what the data allow: unproven rest counts as rest here too.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.engine import State
from domain.driver_hours.model import Minute, Rule
from domain.driver_hours.standing import Standing, standing

LEVELS = (80, 90, 100)


class EarlyWarning(NamedTuple):
    """A limit of which 80, 90 or 100 per cent is used."""

    rule: Rule
    level: int
    used: int
    limit: int


class Remaining(NamedTuple):
    """Minutes of driving left until each limit, and when which rest must begin.

    `driving` is what may be driven from now on without a stop: the least of all. `break_minutes` is the break
    that then resets the 4 h 30. `rest_by` and `weekly_rest_by` are None while no daily period runs, or no
    weekly rest was seen. `warnings` are there only while driving.
    """

    now: Minute
    driving: int
    until_break: int
    break_minutes: int
    today: int
    this_week: int
    this_fortnight: int
    rest_by: Minute | None
    rest_minutes: int
    weekly_rest_by: Minute | None
    extensions_left: int
    reductions_left: int
    warnings: tuple[EarlyWarning, ...]


def remaining(state: State, now: Minute) -> Remaining:
    """Return what may still be done at `now`, no earlier than the state's end.

    Raises:
        ValueError: `now` lies before the end of the state's last activity.
    """
    return remaining_of(standing(state, now))


def remaining_of(at: Standing) -> Remaining:
    """Return what may still be done at the time of a standing."""
    gauges = _gauges(at)
    left = [max(0, limit - used) for _, used, limit in gauges]
    rest_end = at.weekly_rest_end
    return Remaining(
        now=at.at,
        driving=min(left),
        until_break=left[0],
        break_minutes=at.break_minutes,
        today=left[1],
        this_week=left[2],
        this_fortnight=left[3],
        rest_by=at.rest_by,
        rest_minutes=at.rest_minutes,
        weekly_rest_by=None if rest_end is None else rest_end + limits.WEEKLY_REST_SPACING.minutes,
        extensions_left=at.extensions_left,
        reductions_left=at.reductions_left,
        warnings=tuple(warnings(gauges)) if at.is_driving else (),
    )


def _gauges(at: Standing) -> list[tuple[Rule, int, int]]:
    """Return (rule, used, limit): the four limits of driving, then the deadlines that run."""
    gauges = [
        (Rule.BREAK, at.stint, limits.UNINTERRUPTED_DRIVING.minutes),
        (Rule.DAILY_DRIVING, at.day_driving, at.day_limit),
        (Rule.WEEKLY_DRIVING, at.week, limits.WEEKLY_DRIVING.minutes),
        (Rule.FORTNIGHTLY_DRIVING, at.fortnight, limits.FORTNIGHTLY_DRIVING.minutes),
    ]
    if at.rest_by is not None and at.day_start is not None:
        gauges.append((Rule.DAILY_REST, at.at - at.day_start, at.rest_by - at.day_start))
    if at.weekly_rest_end is not None:
        used = at.at - at.weekly_rest_end
        gauges.append((Rule.WEEKLY_REST_SPACING, used, limits.WEEKLY_REST_SPACING.minutes))
    return gauges


def warnings(gauges: list[tuple[Rule, int, int]]) -> list[EarlyWarning]:
    """Return the highest level that each (rule, used, limit) has reached, if any."""
    found = []
    for rule, used, limit in gauges:
        reached = [level for level in LEVELS if used * 100 >= level * limit]
        if reached:
            found.append(EarlyWarning(rule, reached[-1], used, limit))
    return found
