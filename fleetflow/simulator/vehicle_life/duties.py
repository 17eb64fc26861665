"""The working days of a driver: a calendar of orders, what is planted into it, and the duties that follow.

Times are whole minutes since 1970, UTC; a day is its number since 1970. Everybody works five days and is off two;
shifts begin at the same time of the day to within ten minutes, so that each daily rest is of 11 h at least, but for one
reduced one a week of some. Infringements are planted by changing orders, and told with the limits of Regulation (EC)
561/2006, which are written out here: the rules that judge them later are not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from fleetflow.simulator.vehicle_life.rosters import Roster, Scenario, Seat
from fleetflow.simulator.vehicle_life.shifts import STYLES, Kind, Order, Shape, Step, lay_out, span

DAY = 1440
WEEK = 7 * DAY
JITTER = 10
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
HALF_SHIFT = 690
"""The longest shift of one who shares a vehicle, in minutes."""
CREW_WINDOW = 30 * 60
"""A crew's rest of 9 h has to be over within 30 h of the shift's beginning: Art. 8(5)."""
CREW_LONG_DAY = Order(800, least_span=1200, most_span=1230)
"""A crew's shift that leaves less than 5 h of its first 24 h: one driver would break Art. 8(2)."""
CREW_SHORT_DAY = Order(300, most_span=430)
"""The shift after it: the next one begins at its usual time."""
CREW_LAWFUL_REST, CREW_SHORT_REST = (550, 581), (465, 520)
"""Of the short one so much that both still drive after the 30 h: what is left of that shift is a crew's as well."""
SETTLED_DAYS = 3
"""Days before the start in which no day's infringement is planted: its window may not have ended."""


class Duty(NamedTuple):
    """A shift of a driver: when it begins, and its steps one after the other."""

    day: int
    start: int
    steps: tuple[Step, ...]

    @property
    def end(self) -> int:
        """The minute after the last step."""
        return self.start + span(self.steps)

    def timed(self) -> Iterator[tuple[int, int, Kind]]:
        """Start, end and kind of each step."""
        at = self.start
        for kind, minutes in self.steps:
            yield at, at + minutes, kind
            at += minutes


class Infringement(NamedTuple):
    """What was planted: the rule, the minutes from and until which it shows, what was done and what is allowed."""

    driver_id: str
    rule: str
    start: int
    end: int
    measured: int
    limit: int


class Crewed(NamedTuple):
    """A shift of a driver that counts as multi-manning, from its first minute to its last."""

    driver_id: str
    start: int
    end: int


@dataclass(frozen=True)
class DriverLife:
    """A driver's duties in order, the rests without a record (by the duty they follow), and what was planted."""

    roster: Roster
    first_minute: int
    duties: tuple[Duty, ...]
    unrecorded: frozenset[int]
    infringements: tuple[Infringement, ...]

    def crewed(self) -> Iterator[Crewed]:
        """The shifts of one of a crew in which he drives himself; nobody is alone in the vehicle at any time."""
        if self.roster.seat in (Seat.FIRST, Seat.SECOND):
            for duty in self.duties:
                if driving_of(duty):
                    yield Crewed(self.roster.driver_id, duty.start, duty.end)


@dataclass(frozen=True, slots=True)
class _Planned:
    """One day's order; `rest_before` minutes since the shift of the day before, or 0 for the usual time."""

    order: Order
    rest_before: int = 0


Tell = Callable[[dict[int, Duty]], Iterator[Infringement]]


def live(roster: Roster, first_day: int, start_day: int, last_day: int, rng: Random) -> DriverLife:
    """Let a driver work from `first_day`, a Monday, to `last_day`; plant what the roster says before `start_day`."""
    calendar = _Calendar(roster, first_day, start_day, last_day, rng)
    tell = calendar.plant()
    duties = {duty.day: duty for duty in calendar.duties()}
    return DriverLife(
        roster,
        (first_day - 2) * DAY,
        tuple(duties.values()),
        frozenset(calendar.unrecorded),
        tuple(tell(duties)),
    )


def live_as_crew(
    first: Roster, second: Roster, first_day: int, start_day: int, last_day: int, rng: Random
) -> tuple[DriverLife, DriverLife]:
    """Let two drivers work as a crew: one drives a stint while the other is available beside; then they change."""
    both = live(first, first_day, start_day, last_day, rng)
    of_second = tuple(one._replace(driver_id=second.driver_id) for one in both.infringements)
    return (
        replace(both, duties=tuple(_seated(duty, turn=0) for duty in both.duties)),
        replace(
            both,
            roster=second,
            duties=tuple(_seated(duty, turn=1) for duty in both.duties),
            infringements=of_second,
        ),
    )


def _seated(duty: Duty, turn: int) -> Duty:
    """The duty of one of a crew: every second stint is driven by the other."""
    steps: list[Step] = []
    stint = 0
    for step in duty.steps:
        stint += step.kind is Kind.REST
        is_beside = step.kind is Kind.DRIVING and stint % 2 != turn
        steps.append(Step(Kind.AVAILABLE, step.minutes) if is_beside else step)
    return duty._replace(steps=tuple(steps))


def weekday(day: int) -> int:
    """Return 0 for Monday to 6 for Sunday."""
    return (day + EPOCH_WEEKDAY) % 7


class _Calendar:
    """The days of a driver by number."""

    def __init__(self, roster: Roster, first_day: int, start_day: int, last_day: int, rng: Random) -> None:
        self._roster, self._rng = roster, rng
        self._first, self._start = first_day, start_day
        self._style = STYLES[roster.vehicle.kind.name]
        self.unrecorded: set[int] = set()
        off = {roster.first_off, (roster.first_off + 1) % 7}
        self._days = {
            day: _Planned(self._usual(day))
            for day in range(first_day, last_day + 1)
            if weekday(day) not in off
        }

    def duties(self) -> Iterator[Duty]:
        """Lay the days out."""
        end = 0
        for day, planned in sorted(self._days.items()):
            begin = day * DAY + self._roster.begin + self._rng.randrange(-JITTER, JITTER + 1)
            if planned.rest_before:
                begin = end + planned.rest_before
            duty = Duty(day, begin, lay_out(self._rng, planned.order, self._style))
            end = duty.end
            yield duty

    def plant(self) -> Tell:
        """Change the calendar as the scenario wants; return what tells the truth of it once the duties are known."""
        planting: dict[Scenario, Callable[[], Tell]] = {
            Scenario.LAWFUL: self._lawful,
            Scenario.NO_BREAK: self._no_break,
            Scenario.LONG_DAY: self._long_day,
            Scenario.SHORT_REST: self._short_rest,
            Scenario.HEAVY_WEEK: self._heavy_week,
            Scenario.HEAVY_FORTNIGHT: self._heavy_fortnight,
            Scenario.NO_WEEKLY_REST: self._no_weekly_rest,
            Scenario.SHORT_WEEKLY_RESTS: self._short_weekly_rests,
            Scenario.REST_WITHOUT_RECORD: self._rest_without_record,
            Scenario.CREW_LONG_DAY: self._crew_long_day,
            Scenario.CREW_SHORT_REST: self._crew_short_rest,
        }
        return planting[self._roster.scenario]()

    def _usual(self, day: int) -> Order:
        """A lawful day: now and then a break in two parts, a tenth hour of driving, or a rest of 10 h 30."""
        driving = self._style.driving + self._rng.randrange(-18, 19)
        if self._roster.seat is not Seat.ALONE:
            return Order(min(driving, 470), most_span=HALF_SHIFT)
        chance = self._rng.random()
        if chance < 0.25:
            return Order(driving, Shape.SPLIT_BREAK)
        if weekday(day) == (self._roster.first_off + 4) % 7:
            long = self._roster.vehicle.kind.name == "tractor" and chance < 0.6
            return Order(575, most_span=750) if long else Order(driving, least_span=800, most_span=810)
        return Order(driving)

    def _quiet_days(self) -> list[int]:
        """Days on which something may be planted: the day before and the one after are worked as well."""
        days = [
            day
            for day in self._days
            if self._first + 2 <= day < self._start - SETTLED_DAYS
            and {day - 1, day + 1, day + 2} <= self._days.keys()
        ]
        for day in days:  # nothing else is odd on that day
            self._days[day] = replace(self._days[day], order=Order(self._style.driving))
        return days

    def _some_days(self) -> list[int]:
        """Two quiet days in different weeks, or the one that there is."""
        quiet = self._quiet_days()
        first = self._rng.choice(quiet)
        later = [day for day in quiet if abs(day - first) >= 7]
        return sorted({first, self._rng.choice(later)}) if later else [first]

    def _lawful(self) -> Tell:
        return lambda duties: iter(())

    def _no_break(self) -> Tell:
        days = self._some_days()
        for day in days:
            self._days[day] = _Planned(Order(max(self._style.driving, 430), Shape.NO_BREAK))

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            for day in days:
                stint = list(_first_stint(duties[day]))
                yield self._found("BREAK", stint[0][0], stint[-1][1], sum(e - s for s, e in stint), 270)

        return tell

    def _long_day(self) -> Tell:
        days = self._some_days()
        for day in days:
            self._days[day] = _Planned(Order(self._rng.randrange(618, 650), most_span=790))

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            for day in days:
                duty = duties[day]
                yield self._found("DAILY_DRIVING", duty.start, duty.end, driving_of(duty), 600)

        return tell

    def _short_rest(self) -> Tell:
        rests = {day: self._rng.randrange(425, 500) for day in self._some_days()}
        for day, rest in rests.items():
            self._days[day] = _Planned(Order(320, least_span=810, most_span=820))
            self._days[day + 1] = _Planned(Order(320, most_span=600), rest_before=rest)

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            for day, rest in rests.items():
                start = duties[day].start
                yield self._found("DAILY_REST", start, start + DAY, rest, 540)

        return tell

    def _whole_weeks(self) -> list[int]:
        """Mondays of weeks before the running one, the first excluded."""
        return [day for day in range(self._first + 7, self._start - 6, 7) if day + 7 <= self._start]

    def _set_week(self, monday: int, driving: list[int]) -> None:
        for day, minutes in enumerate(driving, monday):
            self._days.pop(day, None)
            if minutes:
                self._days[day] = _Planned(Order(minutes, most_span=750))

    def _heavy_week(self) -> Tell:
        """57 h in six days; the third day over 9 h has no extension left."""
        monday = self._rng.choice(self._whole_weeks()[:-1])
        for other in (monday - 7, monday + 7):
            self._set_week(other, [380] * 5 + [0, 0])
        self._set_week(monday, [595, 535, 595, 535, 535, 620, 0])

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            week = sum(driving_of(duties[day]) for day in range(monday, monday + 6))
            yield self._found("WEEKLY_DRIVING", monday * DAY, monday * DAY + WEEK, week, 3360)
            last = duties[monday + 5]
            yield self._found("DAILY_DRIVING", last.start, last.end, driving_of(last), 540)

        return tell

    def _heavy_fortnight(self) -> Tell:
        monday = self._rng.choice(self._whole_weeks()[:-2])
        for other in (monday - 7, monday + 14):
            self._set_week(other, [380] * 5 + [0, 0])
        for week in (monday, monday + 7):
            self._set_week(week, [585, 536, 585, 536, 536, 0, 0])

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            both = sum(driving_of(duty) for day, duty in duties.items() if monday <= day < monday + 14)
            yield self._found("FORTNIGHTLY_DRIVING", monday * DAY, monday * DAY + 2 * WEEK, both, 5400)

        return tell

    def _no_weekly_rest(self) -> Tell:
        """Seven days at a stretch: the weekly rest begins more than six 24-hour periods after the last."""
        monday = self._rng.choice(self._whole_weeks()[:-1])
        self._set_week(monday, [360] * 7)
        self._set_week(monday + 7, [0, 0, 360, 360, 360, 0, 0])

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            start, end = duties[monday].start, duties[monday + 6].end
            yield self._found("WEEKLY_REST_SPACING", start, end, end - start, 8640)

        return tell

    def _short_weekly_rests(self) -> Tell:
        """Three weekly rests of some 35 h in a row: of four weeks two must be of 45 h."""
        last = self._whole_weeks()[-1]
        for monday in (last - 14, last - 7, last):
            self._set_week(monday, [380] * 6 + [0])

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            saturdays = [duties[monday + 5] for monday in (last - 7, last)]
            after = [min(duty.start for duty in duties.values() if duty.start > one.end) for one in saturdays]
            rest = max(start - one.end for start, one in zip(after, saturdays, strict=True))
            yield self._found("WEEKLY_REST_PATTERN", (last - 7) * DAY, last * DAY + WEEK, rest, 2700)

        return tell

    def _rest_without_record(self) -> Tell:
        days = self._some_days()
        self.unrecorded.update(days)

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            for day in days:
                yield self._found("UNPROVEN_REST", duties[day].end, duties[day + 1].start, 0, 660)

        return tell

    def _crew_long_day(self) -> Tell:
        """Rests of more than 9 h that are over within 30 h, though not within 24."""
        self._plant_crew_days(CREW_LAWFUL_REST)
        return lambda duties: iter(())

    def _crew_short_rest(self) -> Tell:
        rests = self._plant_crew_days(CREW_SHORT_REST)

        def tell(duties: dict[int, Duty]) -> Iterator[Infringement]:
            for day, rest in rests.items():
                start = duties[day].start
                yield self._found("DAILY_REST_MULTI_MANNING", start, start + CREW_WINDOW, rest, 540)

        return tell

    def _plant_crew_days(self, rest: tuple[int, int]) -> dict[int, int]:
        rests = {day: self._rng.randrange(*rest) for day in self._some_days()}
        for day, minutes in rests.items():
            self._days[day] = _Planned(CREW_LONG_DAY)
            self._days[day + 1] = _Planned(CREW_SHORT_DAY, rest_before=minutes)
        return rests

    def _found(self, rule: str, start: int, end: int, measured: int, limit: int) -> Infringement:
        return Infringement(self._roster.driver_id, rule, start, end, measured, limit)


def driving_of(duty: Duty) -> int:
    """Return the minutes of driving of a duty."""
    return sum(step.minutes for step in duty.steps if step.kind is Kind.DRIVING)


def _first_stint(duty: Duty) -> Iterator[tuple[int, int]]:
    """The driving before the first rest."""
    for start, end, kind in duty.timed():
        if kind is Kind.REST:
            return
        if kind is Kind.DRIVING:
            yield start, end
