"""Art. 6(1) and 8(2) to 8(5): the daily period, its driving, and the rest that must lie within it.

A daily period begins where a daily or weekly rest ended, at the first activity that is not rest. Within 24 h of
that a new rest must have been *completed*: only its part inside counts. Multi-manning has 30 h: all driving
after the first hour with a second driver, and some of it at all (Art. 4(o)). The period ends

- at the start of the first rest of at least 9 h that begins in the window, wherever that rest ends; or
- at the end of the window, if none began: the next period starts there (Guidance Note 7).

The rest inside the window is regular (11 h, or 3 h and later 9 h), reduced (9 h; three between two weekly
rests), or too short. A failed rest takes no reduction; without one left the limit is 11 h, except for a split
rest tried. A weekly rest (24 h) resets the count. Whether its own part in the window, of 9 to 11 h, is a fourth
reduced rest is contested (Art. 8(3) against 8(2)): it is not counted, and comes as REDUCED_IN_WEEKLY_REST.

Driving counts 9 h, or 10 h for two periods of the week in which they start; a period over 9 h takes an
extension even when it is over 10 h too. Driving on a ferry's ramp (Art. 9(1)) is left out here. Driving
that the end of a window cuts belongs to both periods, to each its minutes.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.evidence import INFERRED
from domain.driver_hours.model import (
    AVAILABILITY,
    DRIVING,
    OTHER_WORK,
    REST,
    DriverDay,
    Finding,
    Minute,
    Rule,
    Stretch,
    week_of,
)

_RESTED = limits.REDUCED_DAILY_REST.minutes
_WEEKLY = limits.REDUCED_WEEKLY_REST.minutes
_ON_FERRY = "interrupted on a ferry or train: needs proof of a bunk"
# Start and end of a rest inside a window.
Part = tuple[Minute, Minute]
# Where a finding about a rest lies: start and end of the window, the instant, and the longest rest.
At = tuple[Minute, Minute, Minute, int]


class Taken(NamedTuple):
    """The rest inside a window: its longest part, and what it counts as."""

    longest: int
    kind: str


class Days:
    """The running daily period, the reductions since the last weekly rest, and the extensions of the week."""

    __slots__ = ("extensions", "extensions_week", "reductions", "start", "stretches")

    def __init__(self) -> None:
        self.start: Minute | None = None
        self.stretches: tuple[Stretch, ...] = ()
        self.reductions = 0
        self.extensions = 0
        self.extensions_week = 0

    def take(self, stretch: Stretch, found: list[Finding], days: list[DriverDay]) -> None:
        """Go on by one stretch; each period that it ends is judged."""
        begun, is_rested = self.start, False
        length = stretch.end - stretch.start
        if (
            begun is not None
            and stretch.end < begun + limits.DAILY_WINDOW
            and (length < _RESTED or stretch.kind is not REST)
        ):
            self.stretches += (stretch,)
            return
        if stretch.kind is REST:
            is_rested = length >= _RESTED
            if self.start is None or (is_rested and not self._on_duty()):
                self._rest_before_duty(length)
                return
        elif self.start is None:
            self.start = stretch.start
        self.stretches += (stretch,)
        if stretch.end >= self.start + limits.DAILY_WINDOW or is_rested:
            self._close_what_ended(found, days)

    def still_open(self, found: list[Finding]) -> None:
        """Report driving beyond the limit in a period that still runs; its rest may still come."""
        if self.start is not None and self.stretches:
            self._judge_driving(self.stretches[-1].end, found)

    def window(self) -> tuple[bool, Minute]:
        """Return whether the running period counts as multi-manning so far, and where its window ends."""
        assert self.start is not None
        crew = crewed(self.stretches)
        return crew, self.start + (limits.CREW_WINDOW if crew else limits.DAILY_WINDOW)

    def driving(self) -> int:
        """Return the daily driving of the running period."""
        return sum(s.end - s.start for s in self.stretches if s.kind is DRIVING and not s.ferry)

    def daily_limit(self, now: Minute) -> tuple[int, int]:
        """Return the limit of the running period, or of one that starts now, and the extensions left."""
        left = self._extensions_left(now if self.start is None else self.start)
        limit = limits.EXTENDED_DAILY_DRIVING if left else limits.DAILY_DRIVING
        return limit.minutes, left

    def next_rest(self) -> tuple[Minute | None, int]:
        """Return the latest start of the next daily rest, None while no period runs, and the least it must be."""
        reduced, regular = _RESTED, limits.REGULAR_DAILY_REST.minutes
        none_left = self.reductions >= limits.REDUCTIONS_BETWEEN_WEEKLY_RESTS
        if self.start is None:
            return None, regular if none_left else reduced
        _, window_end = self.window()
        first_part = limits.FIRST_PART_OF_DAILY_REST
        has_first_part = any(end - start >= first_part for start, end in self.rests(window_end))
        least = regular if none_left and not has_first_part else reduced
        return window_end - least, least

    def _extensions_left(self, start: Minute) -> int:
        used = self.extensions if self.extensions_week == week_of(start) else 0
        return max(0, limits.EXTENSIONS_OF_WEEK - used)

    def rests(self, window_end: Minute) -> list[Part]:
        """Return the rests of the running period, in order, each cut at the window's end."""
        return [
            (s.start, min(s.end, window_end))
            for s in self.stretches
            if s.kind is REST and s.start < window_end
        ]

    def _on_duty(self) -> bool:
        return any(s.kind is not REST for s in self.stretches)

    def _rest_before_duty(self, length: int) -> None:
        if length >= _RESTED:
            self.start, self.stretches = None, ()
        if length >= _WEEKLY:
            self.reductions = 0

    def _close_what_ended(self, found: list[Finding], days: list[DriverDay]) -> None:
        last = self.stretches[-1]
        rested = last.kind is REST and last.end - last.start >= _RESTED
        while self.start is not None:
            if not rested and last.end < self.start + limits.DAILY_WINDOW:
                return
            crew, end = self.window()
            if rested and self.stretches[-1].start < end:
                self._finish(crew, end, last, found, days)
                self.start, self.stretches = None, ()
            elif last.end < end:
                return
            else:
                self._finish(crew, end, None, found, days)
                self._start_anew(end, last if rested else None)

    def _start_anew(self, end: Minute, rest: Stretch | None) -> None:
        """Start the next period at the end of a window; a rest of 9 h that follows at once comes before it."""
        left = tuple(_after(s, end) for s in self.stretches if s.end > end)
        if rest is not None and all(s.kind is REST for s in left):
            self._rest_before_duty(rest.end - rest.start)
            return
        self.start, self.stretches = end, left

    def _finish(
        self,
        crew: bool,
        window_end: Minute,
        rest: Stretch | None,
        found: list[Finding],
        days: list[DriverDay],
    ) -> None:
        """Judge the period that ends at a rest, or else at its window's end."""
        assert self.start is not None
        end = window_end if rest is None else rest.start
        weekly = rest is not None and rest.end - rest.start >= _WEEKLY
        limit = self._judge_driving(end, found, rest)
        taken = self._judge_rest(crew, window_end, weekly, found)
        if weekly:
            self.reductions = 0
        totals = {DRIVING: 0, OTHER_WORK: 0, AVAILABILITY: 0, REST: 0}
        for start, until, kind, *_ in self.stretches:
            if start < end:
                totals[kind] += (until if until < end else end) - start
        days.append(
            DriverDay(
                self.start, end, totals[DRIVING], totals[OTHER_WORK], totals[AVAILABILITY],
                limit.minutes, crew, taken.longest, "weekly" if weekly else taken.kind,
            )
        )  # fmt: skip

    def _judge_driving(self, end: Minute, found: list[Finding], rest: Stretch | None = None) -> limits.Limit:
        assert self.start is not None
        parts = [s for s in self.stretches if s.kind is DRIVING and not s.ferry and s.start < end]
        driving = sum(min(s.end, end) - s.start for s in parts)
        limit = limits.EXTENDED_DAILY_DRIVING if self._extensions_left(self.start) else limits.DAILY_DRIVING
        if driving > limits.DAILY_DRIVING.minutes:
            self._use_extension(week_of(self.start))
        if limit.broken(driving):
            doubt = self._doubt(end)
            found.append(
                Finding(
                    limit.rule, limit.article, self.start, end, self.start, driving, limit.minutes,
                    limit.severity(driving), bool(doubt), doubt,
                )
            )  # fmt: skip
            if rest is not None and _may_be_the_way_home(driving - limit.minutes, rest):
                found.append(
                    Finding(
                        Rule.WAY_HOME, "12", self.start, end, self.start, driving, limit.minutes, needs_evidence=True,
                        reason="may be the way home before the weekly rest: needs the noted reason",
                    )
                )  # fmt: skip
        return limit

    def _use_extension(self, week: int) -> None:
        if self.extensions_week != week:
            self.extensions_week, self.extensions = week, 0
        self.extensions += 1

    def _judge_rest(self, crew: bool, window_end: Minute, weekly: bool, found: list[Finding]) -> Taken:
        assert self.start is not None
        rests = self.rests(window_end)
        taken = classify([end - start for start, end in rests])
        at = (self.start, window_end, self.start, taken.longest)
        if taken.kind == "reduced":
            self._judge_reduced(at, weekly, found)
        elif taken.kind == "missing":
            self._report_missing(at, crew, rests, found)
        return taken

    def _judge_reduced(self, at: At, weekly: bool, found: list[Finding]) -> None:
        limit = limits.REGULAR_DAILY_REST
        if self.reductions < limits.REDUCTIONS_BETWEEN_WEEKLY_RESTS:
            self.reductions += 1
        elif weekly:
            found.append(_reduced_in_weekly_rest(at))
        else:
            doubt = self._doubt(at[1])
            severity = limit.severity(at[3])
            found.append(Finding(limit.rule, "8(4)", *at, limit.minutes, severity, bool(doubt), doubt))

    def _doubt(self, end: Minute) -> str:
        """Return why too much driving or too little rest is not proven: some activity is only inferred."""
        parts = (s for s in self.stretches if s.kind is not REST and s.start < end)
        return INFERRED if any(s.proven < s.end - s.start for s in parts) else ""

    def _report_missing(self, at: At, crew: bool, rests: list[Part], found: list[Finding]) -> None:
        none_left = self.reductions >= limits.REDUCTIONS_BETWEEN_WEEKLY_RESTS
        limit = _limit_of(crew, none_left, _tries_split([end - start for start, end in rests]))
        ferry_like = _looks_like_a_ferry(rests)
        excused = ferry_like and any(s.ferry for s in self.stretches if s.start < at[1])
        doubt = _ON_FERRY if excused else self._doubt(at[1])
        severity = limit.severity(at[3])
        found.append(Finding(limit.rule, limit.article, *at, limit.minutes, severity, bool(doubt), doubt))
        if ferry_like and not excused:
            found.append(_ferry_rest(at))


def crewed(stretches: tuple[Stretch, ...]) -> bool:
    """Say whether Art. 4(o) holds: some driving is with a second driver, all of it after the first hour."""
    seen, grace_end = False, None
    for s in stretches:
        if grace_end is None and s.kind is not REST:
            grace_end = s.start + limits.CREW_GRACE
        if s.kind is DRIVING:
            if s.crew:
                seen = True
            elif grace_end is not None and s.end > grace_end:
                return False
    return seen


def classify(rests: list[int]) -> Taken:
    """Say what the rests of a window, in order, count as; split is 3 h, then 9 h."""
    longest = max(rests, default=0)
    if longest >= limits.REGULAR_DAILY_REST.minutes:
        return Taken(longest, "regular")
    if longest < _RESTED:
        return Taken(longest, "missing")
    return Taken(longest, "split" if _tries_split(rests) else "reduced")


def _after(stretch: Stretch, minute: Minute) -> Stretch:
    """Return the part from a minute on; it is proven if all of it was."""
    if stretch.start >= minute:
        return stretch
    proven = stretch.end - minute if stretch.proven == stretch.minutes else 0
    return stretch._replace(start=minute, proven=proven, run=proven)


def _tries_split(rests: list[int]) -> bool:
    """Say whether a rest of 3 h came before the longest one."""
    longest = rests.index(max(rests)) if rests else 0
    return any(rest >= limits.FIRST_PART_OF_DAILY_REST for rest in rests[:longest])


def _looks_like_a_ferry(rests: list[Part]) -> bool:
    """Say whether a regular rest was interrupted at most twice, for one hour in total (Art. 9(1))."""
    for first in range(len(rests)):
        for last in range(first + 1, min(first + limits.FERRY_INTERRUPTIONS, len(rests) - 1) + 1):
            rest = sum(end - start for start, end in rests[first : last + 1])
            interrupted = rests[last][1] - rests[first][0] - rest
            if interrupted <= limits.FERRY_INTERRUPTION_MINUTES and rest >= limits.REGULAR_DAILY_REST.minutes:
                return True
    return False


def _limit_of(crew: bool, none_left: bool, split: bool) -> limits.Limit:
    if crew:
        return limits.MULTI_MANNING_REST
    if split:
        return limits.SPLIT_DAILY_REST
    return limits.REGULAR_DAILY_REST if none_left else limits.REDUCED_DAILY_REST


def _may_be_the_way_home(excess: int, rest: Stretch) -> bool:
    regular = rest.minutes >= limits.REGULAR_WEEKLY_REST.minutes
    allowed = limits.WAY_HOME_TO_REGULAR_REST if regular else limits.WAY_HOME
    return rest.minutes >= _WEEKLY and excess <= allowed


def _reduced_in_weekly_rest(at: At) -> Finding:
    limit = limits.REGULAR_DAILY_REST
    return Finding(
        Rule.REDUCED_IN_WEEKLY_REST, "8(2), 8(3), 8(4)", *at, limit.minutes, limit.severity(at[3]), True,
        "contested: the part of a weekly rest inside the 24 h, after three reduced daily rests",
    )  # fmt: skip


def _ferry_rest(at: At) -> Finding:
    return Finding(
        Rule.FERRY_REST, "9(1)", *at, limits.REGULAR_DAILY_REST.minutes, needs_evidence=True,
        reason="a regular rest if the interruptions were on a ferry or train with a bunk: needs the ticket",
    )  # fmt: skip
