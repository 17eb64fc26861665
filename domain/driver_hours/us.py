"""49 CFR 395.3 and 395.1(g): property-carrying drivers in the US.

The clock is a window from coming on duty, not a rest within 24 h: nothing here is shared with the EU day. A
shift begins with the first duty after 10 consecutive hours off duty or in the sleeper berth. In it:

- **DRIVE_11**: at most 11 h of driving;
- **SHIFT_14**: no driving after the 14th consecutive hour since coming on duty, whatever the breaks;
- **BREAK_30**: no driving after 8 h of driving without 30 consecutive minutes of any other status;
- **CYCLE_60 / CYCLE_70**: no driving after 60 h (70 h) on duty in 7 (8) days; 34 consecutive hours off start
  anew. A day is a calendar day of the home terminal's zone, which is handed in: this is where daylight saving
  matters;
- **sleeper split**: two rests, neither below 2 h, one of at least 7 h in the berth, together at least 10 h:
  neither counts in the 14 h, and after the second both clocks run from the end of the first. Each rest may pair
  with the one before and the one after.

Each finding has all driving beyond its limit, from the minute it begins: one a shift for DRIVE_11 and SHIFT_14
(one a run of clocks where a split moves them), one between two interruptions for BREAK_30, one a restart for
the cycle. Adverse driving conditions (395.1(b)(1)) add up to 2 h to the 11 h and to the 14 h of every shift; that they
were is told, never found. Not covered: short haul, the 16-hour exception, passenger carriers.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, tzinfo
from enum import StrEnum
from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.engine import by_time
from domain.driver_hours.model import Finding, Minute, Rule, moment_of

# No day is longer, whatever the clocks do; a longer bound would only cost steps of the search.
_LONGEST_DAY = 26 * 60
_ARTICLE = {row.rule: row.article for row in limits.US_LIMITS}


class Duty(StrEnum):
    """The four duty statuses of 395.8."""

    OFF = "off"
    BERTH = "sleeper_berth"
    DRIVING = "driving"
    ON = "on_duty"


class Status(NamedTuple):
    """One duty status, half-open minutes."""

    start: Minute
    end: Minute
    duty: Duty


class Cycle(NamedTuple):
    """How many hours on duty in how many days."""

    rule: Rule
    days: int
    minutes: int


SIXTY_IN_SEVEN = Cycle(Rule.CYCLE_60, 7, 3_600)
SEVENTY_IN_EIGHT = Cycle(Rule.CYCLE_70, 8, 4_200)


class Rest(NamedTuple):
    """Consecutive time off duty or in the berth, and the longest unbroken part in the berth."""

    start: Minute
    end: Minute
    berth: int

    @property
    def minutes(self) -> int:
        """The length."""
        return self.end - self.start


class Clock(NamedTuple):
    """Clocks that hold in [begin, end): driving counts from `start`, and must end by `window_end`."""

    begin: Minute
    end: Minute
    start: Minute
    window_end: Minute


def evaluate_us(
    statuses: Iterable[Status],
    cycle: Cycle = SEVENTY_IN_EIGHT,
    zone: tzinfo = UTC,
    *,
    adverse: bool = False,
) -> list[Finding]:
    """Evaluate one driver's statuses, in order and without overlap; a gap is off duty. Findings by time.

    `adverse`: unforeseen adverse conditions are claimed for all of it.
    """
    line = joined(statuses)
    found: list[Finding] = []
    more = limits.US_ADVERSE if adverse else 0
    for shift in shifts(line):
        for clock in clocks(shift):
            found += _judge_clock(shift, clock, more)
    found += _judge_breaks(line)
    found += _judge_cycle(line, cycle, zone)
    return by_time(found)


def joined(statuses: Iterable[Status]) -> list[Status]:
    """Sort, join what touches and is the same, and fill gaps with off duty."""
    line: list[Status] = []
    for status in sorted(status for status in statuses if status.start < status.end):
        if line and status.start > line[-1].end:
            line.append(Status(line[-1].end, status.start, Duty.OFF))
        if line and line[-1].duty is status.duty:
            line[-1] = Status(line[-1].start, status.end, status.duty)
        else:
            line.append(status)
    return line


def _rests(line: list[Status]) -> Iterator[Rest]:
    """Return runs of off duty and sleeper berth."""
    running: Rest | None = None
    for start, end, duty in line:
        if duty in (Duty.DRIVING, Duty.ON):
            if running:
                yield running
            running = None
        else:
            berth = end - start if duty is Duty.BERTH else 0
            running = (
                Rest(running.start, end, max(running.berth, berth)) if running else Rest(start, end, berth)
            )
    if running:
        yield running


def shifts(line: list[Status]) -> Iterator[list[Status]]:
    """Cut at rests of 10 h."""
    resting = [rest for rest in _rests(line) if rest.minutes >= limits.US_DAILY_OFF]
    starts = [rest.start for rest in resting]
    for place, statuses in itertools.groupby(line, key=lambda status: bisect_right(starts, status.start)):
        rest_end = resting[place - 1].end if place else line[0].start
        shift = [status for status in statuses if status.start >= rest_end]
        if shift:
            yield shift


def _splits(first: Rest, second: Rest) -> bool:
    """Say whether two rests split the sleeper berth: 395.1(g)(1)(ii)."""
    berth = max(first.berth, second.berth) >= limits.US_SPLIT_BERTH
    return berth and first.minutes + second.minutes >= limits.US_DAILY_OFF


def clocks(shift: list[Status]) -> list[Clock]:
    """Return the clocks of one shift: from coming on duty, and anew after each pair that splits the berth."""
    duty_start = next((s.start for s in shift if s.duty in (Duty.DRIVING, Duty.ON)), None)
    if duty_start is None:
        return []
    rests = [
        rest for rest in _rests(shift) if rest.minutes >= limits.US_SPLIT_SHORT and rest.start > duty_start
    ]
    pairs = [pair for pair in itertools.pairwise(rests) if _splits(*pair)]
    excluded = sorted({rest for pair in pairs for rest in pair}, key=lambda rest: rest.start)
    begins = [(duty_start, duty_start), *((second.end, first.end) for first, second in pairs)]
    ends = [*(begin for begin, _ in begins[1:]), shift[-1].end]
    return [
        Clock(begin, end, start, _window_end(start, excluded))
        for (begin, start), end in zip(begins, ends, strict=True)
    ]


def _window_end(start: Minute, excluded: list[Rest]) -> Minute:
    """Return the end of the 14 h from `start`, without the rests that do not count."""
    end = start + limits.US_WINDOW
    for rest in excluded:
        if start <= rest.start < end:
            end += rest.minutes
    return end


def _judge_clock(shift: list[Status], clock: Clock, more: int) -> list[Finding]:
    """Judge the driving of a clock's time against its 11 and 14 hours, and `more` minutes."""
    driving, window_end = limits.US_DRIVING + more, clock.window_end + more
    eleven, fourteen = _Excess(Rule.DRIVE_11, driving), _Excess(Rule.SHIFT_14, limits.US_WINDOW + more)
    driven = 0
    for s in shift:
        start = max(s.start, clock.start)
        if s.duty is not Duty.DRIVING or s.end <= start or start >= clock.end:
            continue
        over = max(start, s.end - max(0, driven + s.end - start - driving))
        eleven.add(max(over, clock.begin), s.end)
        fourteen.add(max(start, window_end, clock.begin), s.end)
        driven += s.end - start
    return [*eleven.findings(clock.start), *fourteen.findings(clock.start)]


class _Excess:
    """Driving beyond one limit: where it begins, and how much."""

    def __init__(self, rule: Rule, limit: int) -> None:
        self.rule, self.limit = rule, limit
        self.at: Minute | None = None
        self.end: Minute = 0
        self.minutes = 0

    def add(self, start: Minute, end: Minute) -> None:
        """Count driving beyond; nothing if it is empty."""
        if start < end:
            self.at = start if self.at is None else self.at
            self.end = end
            self.minutes += end - start

    def findings(self, start: Minute) -> list[Finding]:
        """Return the finding of driving since `start`, if any was beyond."""
        if self.at is None:
            return []
        article = _ARTICLE[self.rule]
        measured = self.limit + self.minutes
        return [Finding(self.rule, article, start, self.end, self.at, measured, self.limit)]


def _judge_breaks(line: list[Status]) -> list[Finding]:
    """Judge driving between interruptions of 30 min in any other status."""
    found: list[Finding] = []
    excess, driven, paused = _Excess(Rule.BREAK_30, limits.US_DRIVING_WITHOUT_BREAK), 0, 0
    begun = line[0].start if line else 0
    for s in line:
        length = s.end - s.start
        if s.duty is Duty.DRIVING:
            begun = begun if driven else s.start
            excess.add(max(s.start, s.end - max(0, driven + length - limits.US_DRIVING_WITHOUT_BREAK)), s.end)
            driven, paused = driven + length, 0
            continue
        paused += length
        if paused >= limits.US_BREAK:
            found += excess.findings(begun)
            excess, driven = _Excess(Rule.BREAK_30, limits.US_DRIVING_WITHOUT_BREAK), 0
    return found + excess.findings(begun)


def _judge_cycle(line: list[Status], cycle: Cycle, zone: tzinfo) -> list[Finding]:
    """Judge driving once the hours on duty of the last days are used up."""
    found: list[Finding] = []
    days: dict[int, int] = {}
    restarted = restarts(line)
    excess, begun = _Excess(cycle.rule, cycle.minutes), line[0].start if line else 0
    for s in line:
        if s.start in restarted:
            found += excess.findings(begun)
            excess, begun, days = _Excess(cycle.rule, cycle.minutes), s.start, {}
        if s.duty not in (Duty.DRIVING, Duty.ON):
            continue
        for day, start, end in local_days(s.start, s.end, zone):
            used = sum(minutes for past, minutes in days.items() if past > day - cycle.days)
            if s.duty is Duty.DRIVING:
                excess.add(max(start, end - max(0, used + end - start - cycle.minutes)), end)
            days[day] = days.get(day, 0) + end - start
    return found + excess.findings(begun)


def restarts(line: list[Status]) -> set[Minute]:
    """Return the ends of rests of 34 h."""
    return {rest.end for rest in _rests(line) if rest.minutes >= limits.US_RESTART}


def local_days(start: Minute, end: Minute, zone: tzinfo) -> Iterator[tuple[int, Minute, Minute]]:
    """Cut at midnights of the zone; a day has its ordinal, and 23 or 25 hours at a change of the clocks."""
    while start < end:
        here = _day(start, zone)
        low, high = start + 1, min(end, start + _LONGEST_DAY)
        while low < high:
            middle = (low + high) // 2
            if _day(middle, zone) == here:
                low = middle + 1
            else:
                high = middle
        yield here, start, low
        start = low


def _day(minute: Minute, zone: tzinfo) -> int:
    return moment_of(minute).astimezone(zone).toordinal()
