"""Early warnings that a driver got, or had to get, while driving: at 80, 90 and 100 per cent of a limit.

A limit on driving warns at the minute in which the driving reaches the level. A deadline (the start of a daily or
weekly rest) is reached at any time, and warns while driving: then, or when driving begins again. Each level warns once
in the stint, daily period, week or time between two rests that it belongs to. A stretch of driving is of the daily
period in which it starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.breaks import Breaks
from domain.driver_hours.day import Days
from domain.driver_hours.driving import WeeklyDriving
from domain.driver_hours.model import Minute, Rule, Stretch, week_of, week_start
from domain.driver_hours.weekly_rest import Spacing

LEVELS = (80, 90, 100)


class Warned(NamedTuple):
    """One warning: of the limit that runs from `start`, in minutes, `level` per cent are used at `at`."""

    rule: Rule
    level: int
    start: Minute
    at: Minute
    limit: int


def early_warnings(
    stretch: Stretch, breaks: Breaks, days: Days, driving: WeeklyDriving, spacing: Spacing
) -> list[Warned]:
    """Return the warnings of a stretch of driving, given how the clocks stood before it."""
    start, end = stretch.start, stretch.end
    begun = start if days.start is None else days.start
    daily, _ = days.daily_limit(start)
    used = 0 if stretch.ferry else days.driving()
    stint_start = breaks.start if breaks.stint else start
    found = [
        *_driven(Rule.BREAK, stint_start, breaks.stint, limits.UNINTERRUPTED_DRIVING.minutes, start, end),
        *(() if stretch.ferry else _driven(Rule.DAILY_DRIVING, begun, used, daily, start, end)),
        *_weekly(driving, start, end),
    ]
    # Driving ended there last; what was reached before then has warned.
    warned_until = breaks.end
    rest_by, least = days.next_rest()
    if rest_by is None:
        rest_by = start + limits.DAILY_WINDOW - least
    found += _reached(Rule.DAILY_REST, begun, rest_by - begun, max(warned_until, begun), start, end)
    if spacing.last_end is not None:
        since, limit = spacing.last_end, limits.WEEKLY_REST_SPACING.minutes
        found += _reached(Rule.WEEKLY_REST_SPACING, since, limit, max(warned_until, since), start, end)
    return found


def _threshold(level: int, limit: int) -> int:
    return -(-level * limit // 100)


def _driven(rule: Rule, since: Minute, used: int, limit: int, start: Minute, end: Minute) -> Iterator[Warned]:
    """Return the levels that driving from start to end reaches, of which `used` minutes were driven before."""
    if (used + end - start) * 100 < LEVELS[0] * limit:
        return
    for level in LEVELS:
        threshold = _threshold(level, limit)
        if used < threshold <= used + end - start:
            yield Warned(rule, level, since, start + threshold - used, limit)


def _weekly(driving: WeeklyDriving, start: Minute, end: Minute) -> Iterator[Warned]:
    """Return the levels of the week and of two weeks; driving over Sunday midnight is of both weeks."""
    used, both = driving.used(start)
    while start < end:
        week = week_of(start)
        cut = min(end, week_start(week + 1))
        pair = week_start(week - 1)
        yield from _driven(
            Rule.WEEKLY_DRIVING, week_start(week), used, limits.WEEKLY_DRIVING.minutes, start, cut
        )
        yield from _driven(
            Rule.FORTNIGHTLY_DRIVING, pair, both, limits.FORTNIGHTLY_DRIVING.minutes, start, cut
        )
        used, both = 0, used + cut - start
        start = cut


def _reached(
    rule: Rule, since: Minute, limit: int, warned_until: Minute, start: Minute, end: Minute
) -> Iterator[Warned]:
    """Return the levels of a deadline that are reached by the end of this driving and not of any before."""
    for level in LEVELS:
        time = since + _threshold(level, limit)
        if warned_until < time <= end:
            yield Warned(rule, level, since, max(time, start), limit)
