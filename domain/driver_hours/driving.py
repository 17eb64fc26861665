"""Art. 6(2) and 6(3): 56 h of driving in a week, 90 h in any two consecutive weeks.

Driving across Sunday 24:00 UTC belongs to both weeks, minute by minute. Pairs of weeks roll: each week is in
two. Driving on the way to or from a ferry counts here though it does not count for the day.
"""

from __future__ import annotations

from copy import copy

from domain.driver_hours import limits
from domain.driver_hours.model import BEFORE_ALL, DRIVING, Finding, Minute, Rule, Stretch, week_of, week_start


class WeeklyDriving:
    """Driving minutes of the running week and the one before it."""

    __slots__ = ("assumed", "before", "before_assumed", "current", "week", "week_end")

    def __init__(self) -> None:
        self.week: int | None = None
        self.week_end: Minute = BEFORE_ALL
        self.current = 0
        self.before = 0
        self.assumed = False
        self.before_assumed = False

    def take(self, stretch: Stretch, found: list[Finding]) -> None:
        """Go on by one stretch; each week that it leaves behind is judged."""
        start, end = stretch.start, stretch.end
        if self.week is None:
            self._enter(week_of(start))
        while end > self.week_end:
            self._drive(stretch, start, self.week_end)
            start = max(start, self.week_end)
            self._close(found)
        self._drive(stretch, start, end)

    def used(self, now: Minute) -> tuple[int, int]:
        """Return the driving of the week of `now`, and of it with the week before."""
        behind = 0 if self.week is None else week_of(now) - self.week
        if behind == 0:
            return self.current, self.before + self.current
        return 0, self.current if behind == 1 else 0

    def still_open(self, found: list[Finding]) -> None:
        """Report what would be found if the week ended now."""
        if self.week is not None:
            copy(self)._close(found)

    def _enter(self, week: int) -> None:
        self.week = week
        self.week_end = week_start(week + 1)

    def _drive(self, stretch: Stretch, start: Minute, end: Minute) -> None:
        if stretch.kind is DRIVING and start < end:
            self.current += end - start
            self.assumed = self.assumed or stretch.proven < stretch.end - stretch.start

    def _close(self, found: list[Finding]) -> None:
        assert self.week is not None
        start = week_start(self.week)
        self._judge(limits.WEEKLY_DRIVING, start, self.current, self.assumed, found)
        both = self.before + self.current
        assumed = self.assumed or self.before_assumed
        self._judge(limits.FORTNIGHTLY_DRIVING, week_start(self.week - 1), both, assumed, found)
        self.before, self.before_assumed = self.current, self.assumed
        self.current, self.assumed = 0, False
        self._enter(self.week + 1)

    def _judge(
        self, limit: limits.Limit, start: Minute, measured: int, assumed: bool, found: list[Finding]
    ) -> None:
        """Judge the running week; `at` is its Monday, of a pair the Monday of the second week."""
        if not limit.broken(measured):
            return
        assert self.week is not None
        found.append(
            Finding(
                limit.rule, limit.article, start, self.week_end, week_start(self.week), measured,
                limit.minutes, limit.severity(measured), assumed,
                "driving is inferred in part" if assumed else "",
            )
        )  # fmt: skip
        if limit is limits.WEEKLY_DRIVING and measured - limit.minutes <= limits.WAY_HOME_TO_REGULAR_REST:
            found.append(
                Finding(
                    Rule.WAY_HOME, "12", start, self.week_end, week_start(self.week), measured, limit.minutes,
                    needs_evidence=True,
                    reason="may be the way home before the weekly rest: needs the noted reason",
                )
            )  # fmt: skip
