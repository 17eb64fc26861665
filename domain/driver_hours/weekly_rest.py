"""Art. 8(6) to 8(9): the weekly rest: how often, how long, in which weeks, and what makes up for a reduced one.

**Spacing**: a weekly rest (24 h) begins within six 24-hour periods of the end of the one before it. Judged once
a weekly rest was seen.

**Weeks**: a rest counts in one week: where it starts, unless that week has one already and the rest reaches
into the next (Art. 8(9)). Holidays, a rest that covers some week wholly, are a regular rest in each week that has
24 h of them. Of the rests of a week the longest is its weekly rest; shorter ones are extra.

**Pattern**, on wholly covered weeks: two consecutive weeks have two weekly rests, one of them regular (45 h).
Two reduced ones in a row may be legal in international carriage (8(6), third sub-paragraph): they need
evidence, until a third of four consecutive weeks is reduced, which nothing allows.

**Compensation**: a reduced weekly rest leaves a debt: what it lacks to 45 h. It is settled by what a later rest
has beyond 45 h (weekly rest of its week) or 9 h (any other rest), en bloc, before the end of the third week
after; of a rest that goes on after that only the part before counts. A surplus settles the debts that it covers
whole: as much as possible in total, of equals the older.

Where the rest was spent (8(8)) and the return home within four weeks (8(8a)) are asked for, never judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from domain.driver_hours import limits
from domain.driver_hours.evidence import INFERRED
from domain.driver_hours.model import BEFORE_ALL, REST, Finding, Minute, Rule, Stretch, week_of, week_start

_REDUCED = limits.REDUCED_WEEKLY_REST.minutes
_REGULAR = limits.REGULAR_WEEKLY_REST.minutes
_ABROAD = (
    "two reduced weekly rests in a row: legal in international carriage of goods, outside the states of"
    " establishment and residence"
)
_SPACING = limits.WEEKLY_REST_SPACING
# Of four consecutive weeks two have a regular rest, whatever the carriage: 8(6), third sub-paragraph.
_REDUCED_OF_FOUR = 3


class Spacing:
    """The end of the last weekly rest, and of the last activity that is only inferred."""

    __slots__ = ("inferred_end", "last_end")

    def __init__(self) -> None:
        self.inferred_end: Minute = BEFORE_ALL
        self.last_end: Minute | None = None

    def take(self, stretch: Stretch, found: list[Finding]) -> None:
        """Go on by one stretch."""
        if stretch.kind is REST and stretch.end - stretch.start >= _REDUCED:
            self._judge(stretch.start, found)
            self.last_end = stretch.end

    def still_open(self, last: Stretch, found: list[Finding]) -> None:
        """Report an overdue weekly rest: up to the end of the data, or the start of a running rest."""
        if self.last_end is not None and last.end > self.last_end:
            self._judge(last.start if last.kind is REST else last.end, found)

    def _judge(self, begun: Minute, found: list[Finding]) -> None:
        if self.last_end is None:
            return
        passed = begun - self.last_end
        doubt = INFERRED if self.inferred_end > self.last_end else ""
        if _SPACING.broken(passed):
            found.append(
                Finding(
                    _SPACING.rule, _SPACING.article, self.last_end, begun, self.last_end + _SPACING.minutes,
                    passed, _SPACING.minutes, _SPACING.severity(passed), bool(doubt), doubt,
                )
            )  # fmt: skip


class Rest(NamedTuple):
    """A rest of at least 9 h, and the week it counts in."""

    week: int
    start: Minute
    end: Minute

    @property
    def minutes(self) -> int:
        """The length."""
        return self.end - self.start

    def fills(self, week: int) -> bool:
        """Say whether 24 h of it lie in a week, and it covers some week wholly, as holidays do."""
        whole_weeks = week_of(self.end) - week_of(self.start - 1) - 1
        inside = min(self.end, week_start(week + 1)) - max(self.start, week_start(week))
        return whole_weeks > 0 and inside >= _REDUCED


class Debt(NamedTuple):
    """What a reduced weekly rest lacks to 45 h, and until when that must be made up."""

    week: int
    rest_start: Minute
    rest_end: Minute
    minutes: int
    due: Minute
    settled: bool = False


class Week(NamedTuple):
    """A closed week: how many weekly rests, whether one is regular, and the longest rests of and below 24 h."""

    weekly_rests: int
    is_regular: bool
    longest: int
    longest_below: int


class WeeklyRests:
    """The rests of weeks that are still open, the last four closed weeks, and all debts."""

    __slots__ = ("closed", "debts", "first_whole", "inferred_end", "is_reported", "rests", "week", "week_end")

    def __init__(self) -> None:
        self.week: int | None = None
        self.week_end: Minute = BEFORE_ALL
        self.inferred_end: Minute = BEFORE_ALL
        self.first_whole = 0
        self.rests: tuple[Rest, ...] = ()
        self.closed: tuple[Week, ...] = ()
        self.debts: tuple[Debt, ...] = ()
        self.is_reported = False

    def take(self, stretch: Stretch, found: list[Finding]) -> None:
        """Go on by one stretch; each week that ends with or in it is judged."""
        if self.week is None:
            self.begin(stretch.start)
        if stretch.kind is REST and stretch.end - stretch.start >= limits.COMPENSATION_BASE:
            self.add(stretch.start, stretch.end, found)
        while stretch.end >= self.week_end:
            self.close_week(found)

    def begin(self, start: Minute) -> None:
        """Begin at the first minute of the data; the first week counts if it is covered whole."""
        self.week = week_of(start)
        self.week_end = week_start(self.week + 1)
        self.first_whole = self.week + (start > week_start(self.week))

    def add(self, start: Minute, end: Minute, found: list[Finding]) -> None:
        """Add a rest, later than those before, of at least 9 h."""
        week = week_of(start)
        if end - start >= _REDUCED:
            weeks = range(week, week_of(end - 1) + 1)
            taken = {rest.week for rest in self.rests if rest.minutes >= _REDUCED}
            week = next((free for free in weeks if free not in taken), week)
        self.rests += (Rest(week, start, end),)
        if end - start >= _REGULAR:
            found.append(_place(start, end))

    def close_week(self, found: list[Finding]) -> None:
        """Judge the running week and go to the next."""
        assert self.week is not None
        week, end = self.week, self.week_end
        rests = sorted((rest for rest in self.rests if rest.week == week), key=lambda rest: rest.start)
        inside = any(rest.fills(week) for rest in self.rests)
        weekly = [rest for rest in rests if rest.minutes >= _REDUCED]
        own = max(weekly, key=lambda rest: rest.minutes, default=None)
        self._account(rests, own, inside)
        longest = own.minutes if own else 0
        self.closed = (
            *self.closed[-3:],
            Week(
                max(len(weekly), inside), inside or longest >= _REGULAR, longest,
                max((rest.minutes for rest in rests if rest.minutes < _REDUCED), default=0),
            ),
        )  # fmt: skip
        self.rests = tuple(rest for rest in self.rests if rest.week > week or rest.end > end)
        self.week, self.week_end = week + 1, week_start(week + 2)
        self._report_overdue(found)
        if week >= self.first_whole:
            self._judge_weeks(week, found)

    def unsettled(self, now: Minute) -> Iterator[Debt]:
        """Return the debts that are open at a time, late ones too."""
        return (debt for debt in self.debts if not debt.settled and debt.rest_end <= now)

    def _account(self, rests: list[Rest], own: Rest | None, inside: bool) -> None:
        """Let the week's rests settle debts in their order, and the reduced one make a new debt."""
        for rest in rests:
            if rest is own and rest.minutes < _REGULAR and not inside:
                due = week_start(rest.week + 1 + limits.COMPENSATION_WEEKS)
                lacking = _REGULAR - rest.minutes
                self.debts += (Debt(rest.week, rest.start, rest.end, lacking, due),)
            else:
                self._settle(rest, _REGULAR if rest is own else limits.COMPENSATION_BASE)

    def _settle(self, rest: Rest, base: int) -> None:
        open_debts = [
            debt
            for debt in self.debts
            if not debt.settled and min(rest.end, debt.due) - rest.start >= base + debt.minutes
        ]
        if not open_debts:
            return
        best: tuple[Debt, ...] = ()
        for size in range(1, len(open_debts) + 1):
            for some in combinations(open_debts, size):
                owed = sum(debt.minutes for debt in some)
                room = min(rest.end, min(debt.due for debt in some)) - rest.start - base
                if owed <= room and owed > sum(debt.minutes for debt in best):
                    best = some
        self.debts = tuple(debt._replace(settled=True) if debt in best else debt for debt in self.debts)

    def _report_overdue(self, found: list[Finding]) -> None:
        """Report debts a week after they were due: a rest that began in time may count in the next week."""
        assert self.week is not None
        late = week_start(self.week - 1)
        for debt in self.debts:
            if debt.due == late and not debt.settled:
                found.append(
                    Finding(
                        Rule.WEEKLY_REST_COMPENSATION, "8(6b), 8(7)", debt.rest_start, debt.due, debt.due,
                        0, debt.minutes, None, self.inferred_end > debt.rest_start,
                        INFERRED if self.inferred_end > debt.rest_start else "",
                    )
                )  # fmt: skip

    def _judge_weeks(self, week: int, found: list[Finding]) -> None:
        """Judge the pair and the four weeks that end with this one."""
        covered = self.closed[-(week - self.first_whole + 1) :]
        if len(covered) >= 2:
            self._judge_pair(week, covered, found)
        if (week - self.first_whole + 1) % 4 == 0:
            found.append(_return_home(week))

    def _judge_pair(self, week: int, covered: tuple[Week, ...], found: list[Finding]) -> None:
        first, second = covered[-2:]
        was_reported, self.is_reported = self.is_reported, False
        doubt = INFERRED if self.inferred_end > week_start(week - 1) else ""
        if first.weekly_rests + second.weekly_rests < 2:
            self.is_reported = True
            if not was_reported:
                longest = max(first.longest_below, second.longest_below)
                found.append(_pattern(week, limits.REDUCED_WEEKLY_REST, longest, doubt))
        elif not second.is_regular:
            reduced = sum(not one.is_regular for one in covered)
            if reduced >= _REDUCED_OF_FOUR or not first.is_regular:
                longest = max(one.longest for one in (first, second) if not one.is_regular)
                doubt = _ABROAD if reduced < _REDUCED_OF_FOUR else doubt
                found.append(_pattern(week, limits.REGULAR_WEEKLY_REST, longest, doubt))


def _pattern(week: int, limit: limits.Limit, measured: int, doubt: str) -> Finding:
    return Finding(
        limit.rule, limit.article, week_start(week - 1), week_start(week + 1), week_start(week - 1), measured,
        limit.minutes, limit.severity(measured), bool(doubt), doubt,
    )  # fmt: skip


def _place(start: Minute, end: Minute) -> Finding:
    return Finding(
        Rule.WEEKLY_REST_PLACE, "8(8)", start, end, start, end - start, _REGULAR, needs_evidence=True,
        reason="a regular weekly rest must not be taken in the vehicle: needs proof of the accommodation",
    )  # fmt: skip


def _return_home(week: int) -> Finding:
    start, end = week_start(week - 3), week_start(week + 1)
    return Finding(
        Rule.RETURN_HOME, "8(8a)", start, end, end, end - start, end - start, needs_evidence=True,
        reason="the work must let the driver return home within each four weeks: needs the employer's records",
    )  # fmt: skip
