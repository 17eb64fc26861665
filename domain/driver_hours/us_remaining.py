"""What a US driver may still drive now: never stored, always asked of the statuses and a time.

The last status is taken to go on until now. A rest that may yet become half of a sleeper split does not count as one
before the other half is complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, tzinfo
from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.model import Minute, Rule
from domain.driver_hours.remaining import EarlyWarning, warnings
from domain.driver_hours.us import (
    SEVENTY_IN_EIGHT,
    Cycle,
    Duty,
    Status,
    clocks,
    joined,
    local_days,
    restarts,
    shifts,
)


class UsRemaining(NamedTuple):
    """Minutes left: `driving` is what may be driven from now on without a stop, the least of the others.

    `window_end` is None while no shift runs. `warnings` are there only while driving.
    """

    now: Minute
    driving: int
    until_break: int
    eleven_hours: int
    window: int
    cycle: int
    window_end: Minute | None
    warnings: tuple[EarlyWarning, ...]


def remaining_us(
    statuses: Iterable[Status], now: Minute, cycle: Cycle = SEVENTY_IN_EIGHT, zone: tzinfo = UTC
) -> UsRemaining:
    """Return what may still be driven at `now`, no earlier than the end of the statuses.

    Raises:
        ValueError: `now` lies before the end of the last status.
    """
    line = joined(statuses)
    if line:
        if now < line[-1].end:
            raise ValueError("now lies before the end of the last status")
        line[-1] = line[-1]._replace(end=now)
    driven, window_used, window_end = _shift(line, now)
    gauges = [
        (Rule.BREAK_30, _stint(line), limits.US_DRIVING_WITHOUT_BREAK),
        (Rule.DRIVE_11, driven, limits.US_DRIVING),
        (Rule.SHIFT_14, window_used, limits.US_WINDOW),
        (cycle.rule, _on_duty(line, now, cycle, zone), cycle.minutes),
    ]
    left = [max(0, limit - used) for _, used, limit in gauges]
    is_driving = bool(line) and line[-1].duty is Duty.DRIVING
    until_break, eleven_hours, window, on_duty = left
    warned = tuple(warnings(gauges)) if is_driving else ()
    return UsRemaining(now, min(left), until_break, eleven_hours, window, on_duty, window_end, warned)


def _shift(line: list[Status], now: Minute) -> tuple[int, int, Minute | None]:
    """Return driving and elapsed minutes of the clocks that run now, and when the 14 h end."""
    running = [shift for shift in shifts(line) if shift[-1].end == now]
    last = clocks(running[-1])[-1:] if running else []
    if not last:
        return 0, 0, None
    (clock,) = last
    driven = sum(
        s.end - max(s.start, clock.start)
        for s in running[-1]
        if s.duty is Duty.DRIVING and s.end > clock.start
    )
    return driven, limits.US_WINDOW - (clock.window_end - now), clock.window_end


def _stint(line: list[Status]) -> int:
    """Return the driving since the last 30 min of any other status."""
    driven = paused = 0
    for start, end, duty in line:
        if duty is Duty.DRIVING:
            driven, paused = driven + end - start, 0
        else:
            paused += end - start
            driven = 0 if paused >= limits.US_BREAK else driven
    return driven


def _on_duty(line: list[Status], now: Minute, cycle: Cycle, zone: tzinfo) -> int:
    """Return the minutes on duty of the cycle's days up to today, since the last restart."""
    since = max((end for end in restarts(line) if end <= now), default=None)
    today = max((day for day, _, _ in local_days(now, now + 1, zone)), default=0)
    return sum(
        end - start
        for s in line
        if s.duty in (Duty.DRIVING, Duty.ON) and (since is None or s.start >= since)
        for day, start, end in local_days(s.start, s.end, zone)
        if day > today - cycle.days
    )
