"""The US engine against a reference that looks at every minute; the sleeper split has its own table of cases."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.driver_hours.us import Duty, Status, evaluate_us
from domain.driver_hours.us_remaining import remaining_us

# A Monday 00:00 UTC, so that days of the reference begin at its multiples of 1,440.
MONDAY = 29_459_520
DUTIES = {"D": Duty.DRIVING, "N": Duty.ON, "O": Duty.OFF}
Row = tuple[str, int]

LENGTHS = st.sampled_from((1, 29, 30, 31, 60, 180, 240, 480, 481, 660, 661)) | st.integers(1, 900)
OFF = st.sampled_from((29, 30, 120, 599, 600, 601, 2039, 2040))
ROWS = st.lists(
    st.one_of(st.tuples(st.sampled_from("DDN"), LENGTHS), st.tuples(st.just("O"), OFF)),
    min_size=1,
    max_size=60,
)
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Counter:
    """Driving minutes beyond one limit, from the first."""

    def __init__(self, rule: str) -> None:
        self.rule, self.at, self.minutes = rule, -1, 0

    def add(self, minute: int) -> None:
        self.at = minute if self.at < 0 else self.at
        self.minutes += 1


class Reference:
    """One walk over the minutes: what has been driven and worked since which reset."""

    def __init__(self) -> None:
        self.counters: list[Counter] = []
        self.worked: dict[int, int] = {}
        self.new_shift()
        self.new_stint()
        self.new_cycle()

    def counter(self, rule: str) -> Counter:
        self.counters.append(Counter(rule))
        return self.counters[-1]

    def new_shift(self) -> None:
        self.began, self.driven = -1, 0
        self.eleven, self.fourteen = self.counter("DRIVE_11"), self.counter("SHIFT_14")

    def new_stint(self) -> None:
        self.stint, self.pause = 0, self.counter("BREAK_30")

    def new_cycle(self) -> None:
        self.worked, self.cycle = {}, self.counter("CYCLE_70")

    def drive(self, minute: int) -> None:
        self.driven += 1
        self.stint += 1
        eight_days = sum(minutes for day, minutes in self.worked.items() if day > minute // 1440 - 8)
        for counter, beyond in (
            (self.eleven, self.driven > 660),
            (self.fourteen, minute - self.began >= 840),
            (self.pause, self.stint > 480),
            (self.cycle, eight_days >= 4200),
        ):
            if beyond:
                counter.add(minute)

    def found(self) -> set[tuple[str, int, int]]:
        return {(c.rule, c.at, c.minutes) for c in self.counters if c.minutes}


def reference(line: str) -> set[tuple[str, int, int]]:
    walk, off, idle = Reference(), 0, 0
    for minute, letter in enumerate(line):
        off = off + 1 if letter == "O" else 0
        idle = idle + 1 if letter != "D" else 0
        if idle == 30:
            walk.new_stint()
        if off == 600:
            walk.new_shift()
        if off == 2040:
            walk.new_cycle()
        if letter != "O":
            walk.began = minute if walk.began < 0 else walk.began
            if letter == "D":
                walk.drive(minute)
            walk.worked[minute // 1440] = walk.worked.get(minute // 1440, 0) + 1
    return walk.found()


@OFTEN
@given(rows=ROWS)
def test_shifts_breaks_and_cycle(rows: list[Row]) -> None:
    statuses = laid_out(rows)
    found = {(f.rule.value, f.at - MONDAY, f.excess) for f in evaluate_us(statuses)}
    assert found == reference("".join(letter * minutes for letter, minutes in rows))


@OFTEN
@given(rows=ROWS, places=st.lists(st.integers(0, 30_000), max_size=20))
def test_cuts_and_order_change_nothing(rows: list[Row], places: list[int]) -> None:
    whole = laid_out(rows)
    pieces = [
        Status(start, end, status.duty)
        for status in whole
        for start, end in pairwise(
            sorted(
                {
                    status.start,
                    status.end,
                    *(MONDAY + p for p in places if status.start < MONDAY + p < status.end),
                }
            )
        )
    ]
    assert evaluate_us(pieces[::-1]) == evaluate_us(whole)


@OFTEN
@given(rows=ROWS)
def test_what_remains_may_be_driven_and_not_a_minute_more(rows: list[Row]) -> None:
    statuses = laid_out(rows)
    now = statuses[-1].end
    left = remaining_us(statuses, now).driving

    def found(driving: int) -> list[tuple[str, int, int]]:
        driven = [*statuses, Status(now, now + driving, Duty.DRIVING)]
        return [(f.rule.value, f.at, f.excess) for f in evaluate_us(driven)]

    assert found(left) == found(0)
    # Driving past midnight may free hours of the cycle: then a minute more is one of the next day's.
    assert found(left + 1) != found(0) or (now + left) // 1440 > now // 1440


def laid_out(rows: list[Row]) -> list[Status]:
    laid, now = [], MONDAY
    for letter, minutes in rows:
        laid.append(Status(now, now + minutes, DUTIES[letter]))
        now += minutes
    return laid
