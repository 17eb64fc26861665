from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from domain.driver_hours.minute import whole_minutes
from domain.driver_hours.model import Activity, Kind, Origin
from domain.driver_hours.recorded import Fault, Report, activities, sift, to_minutes
from tests.unit.driver_hours.line import KINDS, MONDAY

NOW = MONDAY * 60
D, W, R = Kind.DRIVING, Kind.OTHER_WORK, Kind.REST


def report(name: str, start: int, end: int | None, kind: Kind = D, **changes: Any) -> Report:
    """Return a report, times in seconds from Monday, sent at its end."""
    last = start if end is None else max(start, end)
    given = Report(
        NOW + start,
        None if end is None else NOW + end,
        kind,
        False,
        Origin.TACHOGRAPH,
        NOW + last,
        name,
        "v1",
    )
    return given._replace(**changes)


def faults(*reports: Report) -> list[tuple[str, str]]:
    (expected, *others) = [
        sorted((fault.event_id, fault.fault.value) for fault in sift(order).faulty)
        for order in permutations(reports)
    ]
    assert all(other == expected for other in others)
    return expected


def spans(*reports: Report) -> list[tuple[int, int, Kind]]:
    """Return (start, end, kind) in minutes from Monday."""
    return [(a.start - MONDAY, a.end - MONDAY, a.kind) for a in activities(sift(reports).reports)]


@pytest.mark.parametrize(
    ("one", "fault"),
    [
        (report("e", 60, 30), Fault.ENDS_BEFORE_START),
        (report("e", 60, 60), Fault.ENDS_BEFORE_START),
        (report("e", -NOW, 60 - NOW, recorded=NOW), Fault.BEFORE_TACHOGRAPHS),
        (report("e", 0, 7_200, recorded=NOW), Fault.IN_FUTURE),
        (report("e", 601, None, recorded=NOW), Fault.IN_FUTURE),
    ],
)
def test_times_that_cannot_be_are_left_out_by_name(one: Report, fault: Fault) -> None:
    sifted = sift([one, report("good", 0, 600)])
    assert [kept.event_id for kept in sifted.reports] == ["good"]
    assert [(found.event_id, found.fault) for found in sifted.faulty] == [("e", fault)]


def test_a_clock_that_is_ten_minutes_off_is_none() -> None:
    assert faults(report("e", 0, 7_200, recorded=NOW + 6_600)) == []


def test_the_same_activity_sent_again_holds_with_its_end() -> None:
    first, second = report("open", 0, None), report("closed", 0, 3_600, recorded=NOW)
    assert faults(first, second._replace(recorded=NOW + 3_600)) == [("open", "sent_again")]
    assert spans(first, second._replace(recorded=NOW + 3_600)) == [(0, 60, D)]
    longer = report("longer", 0, 7_200)
    assert faults(first, second._replace(recorded=NOW + 3_600), longer) == [
        ("closed", "sent_again"), ("open", "sent_again"),
    ]  # fmt: skip


def test_an_open_activity_lasts_until_the_next_starts() -> None:
    assert spans(report("a", 0, None), report("b", 3_600, None, W, recorded=NOW + 7_200)) == [
        (0, 60, D),
        (60, 120, W),
    ]
    assert spans(report("a", 0, None)) == [(0, 1, D)]


def test_work_left_open_ends_after_a_day_and_rest_does_not() -> None:
    late = report("b", 172_800, 172_860)
    assert faults(report("a", 0, None, W), late) == [("a", "left_open")]
    assert spans(report("a", 0, None, W), late) == [(0, 1440, W), (2880, 2881, D)]
    assert faults(report("a", 0, None, R), late) == []
    assert faults(report("a", 86_400, None, W), late) == []


def test_who_starts_while_another_lasts_is_named() -> None:
    first = report("a", 0, 600)
    assert faults(first, report("b", 300, 900)) == [("b", "overlaps")]
    assert faults(first, report("b", 300, 900, vehicle_id="v2")) == [("b", "in_two_vehicles")]
    assert faults(first, report("b", 300, 900, vehicle_id=None)) == [("b", "overlaps")]
    assert faults(first, report("b", 600, 900, vehicle_id="v2")) == []


@pytest.mark.parametrize(
    "runs",
    ["D60 R60 D60", "D60 R60 R60 D60", "R31 W29", "R60 D30 W30 R60", "R20 D20 R20", "D25 R10 D25", "D90 R45 W60"],
)  # fmt: skip
def test_seconds_become_minutes_as_the_recording_equipment_has_them(runs: str) -> None:
    laid, second = [], NOW
    read = [(KINDS[run[0]], int(run[1:])) for run in runs.split()]
    for kind, seconds in read:
        laid.append(Activity(second, second + seconds, kind))
        second += seconds
    kinds = [one.kind for one in to_minutes(laid) for _ in range(one.start, one.end)]
    assert kinds == whole_minutes(read)


def test_a_minute_with_mostly_nothing_is_nothing() -> None:
    laid = [Activity(NOW, NOW + 80, D), Activity(NOW + 115, NOW + 180, R)]
    assert [(a.start - MONDAY, a.end - MONDAY, a.kind) for a in to_minutes(laid)] == [(0, 1, D), (2, 3, R)]


def test_what_lies_before_the_beginning_is_left_out_and_time_after_it_is_a_gap() -> None:
    laid = [Activity(NOW - 90, NOW - 20, D), Activity(NOW + 40, NOW + 120, R)]
    assert [(a.start - MONDAY, a.end - MONDAY) for a in to_minutes(laid)] == [(-2, -1), (-1, 0), (1, 2)]
    assert [(a.start - MONDAY, a.end - MONDAY) for a in to_minutes(laid, NOW)] == [(1, 2)]
