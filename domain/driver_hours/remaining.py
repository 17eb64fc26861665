"""What a driver may still do now: never stored, always asked of a state and a time.

The last activity is taken to go on until now, as a driver's open activity does; a rest that still runs counts
by what it has come to. The figures are what the data allow: unproven rest counts as rest here too.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.day import Days
from domain.driver_hours.engine import State
from domain.driver_hours.model import DRIVING, Minute, Rule

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
    at = state.at(now)
    days, last_end = at.days, at.spacing.last_end
    daily, extensions_left = days.daily_limit(now)
    rest_by, rest_minutes = _next_rest(days)
    gauges = _gauges(at, now, daily, rest_by)
    left = [max(0, limit - used) for _, used, limit in gauges]
    is_driving = state.last is not None and state.last.kind is DRIVING
    return Remaining(
        now=now,
        driving=min(left),
        until_break=left[0],
        break_minutes=limits.SECOND_PART_OF_BREAK if at.breaks.has_first_part else limits.FULL_BREAK,
        today=left[1],
        this_week=left[2],
        this_fortnight=left[3],
        rest_by=rest_by,
        rest_minutes=rest_minutes,
        weekly_rest_by=None if last_end is None else last_end + limits.WEEKLY_REST_SPACING.minutes,
        extensions_left=extensions_left,
        reductions_left=max(0, limits.REDUCTIONS_BETWEEN_WEEKLY_RESTS - days.reductions),
        warnings=tuple(warnings(gauges)) if is_driving else (),
    )


def _gauges(at: State, now: Minute, daily: int, rest_by: Minute | None) -> list[tuple[Rule, int, int]]:
    """Return (rule, used, limit): the four limits of driving, then the deadlines that run."""
    week, fortnight = at.driving.used(now)
    gauges = [
        (Rule.BREAK, at.breaks.stint, limits.UNINTERRUPTED_DRIVING.minutes),
        (Rule.DAILY_DRIVING, at.days.driving(), daily),
        (Rule.WEEKLY_DRIVING, week, limits.WEEKLY_DRIVING.minutes),
        (Rule.FORTNIGHTLY_DRIVING, fortnight, limits.FORTNIGHTLY_DRIVING.minutes),
    ]
    start, last_end = at.days.start, at.spacing.last_end
    if rest_by is not None and start is not None:
        gauges.append((Rule.DAILY_REST, now - start, rest_by - start))
    if last_end is not None:
        gauges.append((Rule.WEEKLY_REST_SPACING, now - last_end, limits.WEEKLY_REST_SPACING.minutes))
    return gauges


def _next_rest(days: Days) -> tuple[Minute | None, int]:
    """Return the latest start of the next daily rest and the least it must be."""
    reduced, regular = limits.REDUCED_DAILY_REST.minutes, limits.REGULAR_DAILY_REST.minutes
    none_left = days.reductions >= limits.REDUCTIONS_BETWEEN_WEEKLY_RESTS
    if days.start is None:
        return None, regular if none_left else reduced
    _, window_end = days.window()
    has_first_part = any(
        end - start >= limits.FIRST_PART_OF_DAILY_REST for start, end in days.rests(window_end)
    )
    least = regular if none_left and not has_first_part else reduced
    return window_end - least, least


def warnings(gauges: list[tuple[Rule, int, int]]) -> list[EarlyWarning]:
    """Return the highest level that each (rule, used, limit) has reached, if any."""
    found = []
    for rule, used, limit in gauges:
        reached = [level for level in LEVELS if used * 100 >= level * limit]
        if reached:
            found.append(EarlyWarning(rule, reached[-1], used, limit))
    return found
