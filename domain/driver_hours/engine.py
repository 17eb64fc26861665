"""The engine: activities in, findings out; all at once or one by one, with the same result.

    reported ─ tidy ─▶ activities ─ join ─▶ stretches ─▶ trackers ─▶ findings, days
                         (ordered)          (merged)     Breaks, Days, WeeklyDriving, Spacing, WeeklyRests

`State` holds the last stretch back until something else follows it: only then is its length known, and no rule
sees where the input was cut. `evaluate` is the fold of `advance` over tidy activities, and then `still_open`:
what would be found if the data ended there. Findings of `advance` never change any more; those of `still_open`
may.

Trackers hold values that are never changed in place, so that a shallow copy of each is a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.breaks import Breaks
from domain.driver_hours.day import Days
from domain.driver_hours.driving import WeeklyDriving
from domain.driver_hours.evidence import unproven_rest
from domain.driver_hours.model import (
    DRIVING,
    REST,
    Activity,
    DriverDay,
    Finding,
    Minute,
    Rule,
    Stretch,
    moment_of,
)
from domain.driver_hours.timeline import Tidied, gap, join, stretch_of, stretches, tidy
from domain.driver_hours.warned import Warned, early_warnings
from domain.driver_hours.weekly_rest import Spacing, WeeklyRests

_TRACKERS = ("breaks", "days", "driving", "spacing", "weekly_rests")
_RANK = {rule: rank for rank, rule in enumerate(Rule)}


class OutOfOrder(ValueError):
    """An activity is empty or starts before the state's end: fold the driver's history again from `tidy`."""


class Outcome(NamedTuple):
    """What became definite: findings in the order they did, and daily periods that ended.

    Early warnings that were given while driving are looked for where there is a list for them.
    """

    findings: list[Finding]
    days: list[DriverDay]
    warnings: list[Warned] | None = None


class Evaluation(NamedTuple):
    """All findings by time, open ones among them; the days that ended; how much of the input was cut."""

    findings: list[Finding]
    days: list[DriverDay]
    empty: int
    overlapping: int


class State:
    """Where one driver stands. A value: `advance` returns a new one and leaves this as it is."""

    __slots__ = ("last", *_TRACKERS)

    def __init__(self) -> None:
        self.last: Stretch | None = None
        self.breaks = Breaks()
        self.days = Days()
        self.driving = WeeklyDriving()
        self.spacing = Spacing()
        self.weekly_rests = WeeklyRests()

    @property
    def until(self) -> Minute | None:
        """The end of the last activity."""
        return self.last.end if self.last else None

    def snapshot(self) -> State:
        """Return a copy that shares nothing that changes."""
        new = State.__new__(State)
        new.last = self.last
        for tracker in _TRACKERS:
            setattr(new, tracker, copy(getattr(self, tracker)))
        return new

    def add(self, stretch: Stretch, outcome: Outcome) -> None:
        """Add a stretch in place: join it to the last, or hand the last to the rules.

        Raises:
            OutOfOrder: it is empty or starts before the end of the last.
        """
        last = self.last
        if stretch.end <= stretch.start or (last is not None and stretch.start < last.end):
            after = _read(last.end) if last else "nothing"
            raise OutOfOrder(f"{_read(stretch.start)} to {_read(stretch.end)} does not follow {after}")
        if last is None:
            self.last = stretch
            return
        if stretch.start > last.end:
            self.add(gap(last.end, stretch.start), outcome)
            last = self.last
            assert last is not None
        joined = join(last, stretch)
        if joined is None:
            self.judge(last, outcome)
        self.last = joined or stretch

    def at(self, now: Minute) -> State:
        """Return the state at `now`, as if the last activity went on until then and ended.

        Raises:
            ValueError: `now` lies before the end of the last activity.
        """
        new = self.snapshot()
        if new.last is not None:
            if now < new.last.end:
                raise ValueError(
                    f"{_read(now)} lies before the end of the last activity, {_read(new.last.end)}"
                )
            new.judge(new.last._replace(end=now), Outcome([], []))
        return new

    def finish(self, outcome: Outcome) -> None:
        """Hand the last stretch to the rules in place, and report what is still open; nothing can follow."""
        if self.last is None:
            return
        findings = outcome.findings
        self.judge(self.last, outcome)
        self.breaks.still_open(findings)
        self.days.still_open(findings)
        self.driving.still_open(findings)
        self.spacing.still_open(self.last, findings)

    def judge(self, stretch: Stretch, outcome: Outcome) -> None:
        """Hand a joined stretch, later than all before, to the rules for which it can change something, in place."""
        start, end, kind, crew, _, proven, _ = stretch
        if outcome.warnings is not None and kind is DRIVING:
            outcome.warnings.extend(
                early_warnings(stretch, self.breaks, self.days, self.driving, self.spacing)
            )
        findings, length = outcome.findings, end - start
        rest = length if kind is REST else 0
        if rest or kind is DRIVING or crew or proven < length:
            self.breaks.take(stretch, findings)
        self.days.take(stretch, findings, outcome.days)
        if kind is DRIVING or end > self.driving.week_end:
            self.driving.take(stretch, findings)
        if rest >= limits.COMPENSATION_BASE or end >= self.weekly_rests.week_end:
            self.weekly_rests.take(stretch, findings)
        if rest >= limits.REDUCED_WEEKLY_REST.minutes:
            self.spacing.take(stretch, findings)
        if proven == length:
            return
        if rest:
            unproven_rest(stretch, findings)
        else:
            self.spacing.inferred_end = self.weekly_rests.inferred_end = end


def advance(state: State, activity: Activity) -> tuple[State, Outcome]:
    """Return the state after one more activity, and what became definite by it.

    Raises:
        OutOfOrder: the activity is empty or starts before the end of the last one.
    """
    new, outcome = state.snapshot(), Outcome([], [])
    new.add(stretch_of(activity), outcome)
    return new, outcome


def still_open(state: State) -> list[Finding]:
    """Return what would be found, beyond the definite, if the data ended at the state's end."""
    outcome = Outcome([], [])
    state.snapshot().finish(outcome)
    return by_time(outcome.findings)


def evaluate(reported: Iterable[Activity]) -> Evaluation:
    """Evaluate one driver's activities, in any order; the data ends with the last of them."""
    tidied: Tidied = tidy(reported)
    state, outcome = State(), Outcome([], [])
    line = stretches(tidied.activities)
    for stretch in line[:-1]:
        state.judge(stretch, outcome)
    state.last = line[-1] if line else None
    state.finish(outcome)
    return Evaluation(by_time(outcome.findings), outcome.days, tidied.empty, tidied.overlapping)


def by_time(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by where they are broken, then by rule as `Rule` lists them."""
    return sorted(findings, key=lambda finding: (finding.at, _RANK[finding.rule], finding.start))


def _read(minute: Minute) -> str:
    return f"{moment_of(minute):%Y-%m-%dT%H:%MZ}"
