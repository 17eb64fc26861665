"""When a service is due: calendars, meters, gaps in what is known, and tasks that make no sense."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from domain.maintenance.due import (
    BadTask,
    Due,
    Life,
    ServiceDone,
    ServiceTask,
    Status,
    add_months,
    judge_due,
)
from domain.maintenance.meters import ENGINE_HOURS, ODOMETER, Meter, Reading, read_meter

TODAY = date(2026, 6, 30)
LIFE = Life("v1", commissioned_on=date(2025, 1, 31))
YEARLY = ServiceTask("inspection", every_months=12)
BY_KM = ServiceTask("oil", every_km=30_000)
ANY = ServiceTask("oil", every_km=30_000, every_months=12, every_engine_hours=800)


def odometer(*readings: tuple[date, float]) -> Meter:
    return read_meter(ODOMETER, [Reading(day, value) for day, value in readings], TODAY)


def line(first: date, value: float, a_day: float) -> Meter:
    count = (TODAY - first).days + 1
    return odometer(*((first + timedelta(days=i), value + a_day * i) for i in range(count)))


def done(*days: date, task: str = "inspection") -> list[ServiceDone]:
    return [ServiceDone(day, "v1", task) for day in days]


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2024, 2, 29), 48, date(2028, 2, 29)),
        (date(2026, 3, 31), 6, date(2026, 9, 30)),
        (date(2026, 12, 31), 2, date(2027, 2, 28)),
        (date(2026, 11, 15), 14, date(2028, 1, 15)),
    ],
)
def test_months_end_on_the_same_day_or_the_last_one(day: date, months: int, expected: date) -> None:
    assert add_months(day, months) == expected


@pytest.mark.parametrize(
    ("last", "status", "left"),
    [
        (date(2025, 6, 30), Status.DUE, 0),
        (date(2025, 6, 29), Status.OVERDUE, -1),
        (date(2025, 7, 1), Status.NOT_DUE, 1),
    ],
)
def test_a_day_is_due_before_it_is_overdue(last: date, status: Status, left: float) -> None:
    due = judge_due(YEARLY, LIFE, done(last), TODAY)
    assert (due.status, due.limits[0].left) == (status, left)


@pytest.mark.parametrize(
    ("driven", "status"), [(29_999, Status.NOT_DUE), (30_000, Status.DUE), (30_001, Status.OVERDUE)]
)
def test_a_limit_of_a_meter_is_due_before_it_is_overdue(driven: float, status: Status) -> None:
    readings = odometer((TODAY - timedelta(days=100), 0), (TODAY, driven))
    assert judge_due(BY_KM, LIFE, [], TODAY, readings).status is status


def test_whichever_comes_first() -> None:
    hours = read_meter(ENGINE_HOURS, [Reading(TODAY - timedelta(days=60), 100), Reading(TODAY, 950)], TODAY)
    due = judge_due(
        ANY, LIFE, done(TODAY - timedelta(days=60), task="oil"), TODAY, line(date(2026, 1, 1), 0, 100), hours
    )
    assert due.status is Status.OVERDUE
    assert {limit.by: limit.left and limit.left < 0 for limit in due.limits} == {
        "months": False,
        "odometer": False,
        "engine_hours": True,
    }


def test_never_serviced_counts_from_commissioning() -> None:
    due = judge_due(YEARLY, LIFE, [], TODAY)
    assert (due.status, due.last_done_on, due.limits[0].due_on) == (Status.OVERDUE, None, date(2026, 1, 31))


def test_a_bought_vehicle_counts_from_what_it_had() -> None:
    life = Life("v1", commissioned_on=date(2026, 1, 1), commissioned_km=400_000)
    due = judge_due(BY_KM, life, [], TODAY, odometer((date(2026, 1, 1), 400_000), (TODAY, 410_000)))
    assert (due.status, due.limits[0].left) == (Status.NOT_DUE, 20_000)


def test_a_replaced_odometer_does_not_put_a_service_off() -> None:
    first = date(2026, 6, 1)
    values = [300_000, 301_500, 303_000, 100, 1_100, 2_100]
    meter = odometer(*((first + timedelta(days=i), value) for i, value in enumerate(values)))
    due = judge_due(ServiceTask("oil", every_km=5_000), LIFE, done(first, task="oil"), TODAY, meter)
    assert meter.replaced_on
    assert (due.status, due.limits[0].left) == (Status.OVERDUE, -100)
    assert due.limits[0].due_on == first + timedelta(days=5)


def test_what_is_missing_is_said_and_the_rest_judged() -> None:
    due = judge_due(ANY, LIFE, done(date(2026, 1, 1), task="oil"), TODAY)
    assert due.status is Status.NOT_DUE
    assert [limit.missing for limit in due.limits] == [
        None,
        "the meter was never read",
        "the meter was never read",
    ]


def test_a_service_before_the_first_reading_leaves_the_limit_unknown() -> None:
    due = judge_due(BY_KM, LIFE, done(date(2026, 1, 1), task="oil"), TODAY, line(date(2026, 6, 1), 5_000, 10))
    assert due.status is Status.UNKNOWN
    assert "first read on 2026-06-01" in str(due.limits[0].missing)


def test_nothing_known_is_unknown_and_not_fine() -> None:
    assert judge_due(YEARLY, Life("v1"), [], TODAY).status is Status.UNKNOWN


def test_services_of_another_time_do_not_count() -> None:
    given = done(date(2024, 12, 1), date(2027, 1, 1), date(2025, 8, 1))
    due = judge_due(YEARLY, LIFE, given, TODAY)
    assert due.last_done_on == date(2025, 8, 1)
    assert due.ignored == (
        "done on 2024-12-01, before the vehicle came into service on 2025-01-31",
        "done on 2027-01-01, which is yet to come",
    )


def test_other_tasks_and_vehicles_do_not_count() -> None:
    others = [ServiceDone(TODAY, "v2", "inspection"), ServiceDone(TODAY, "v1", "oil")]
    assert judge_due(YEARLY, LIFE, others, TODAY).last_done_on is None


@pytest.mark.parametrize(
    ("task", "life"),
    [
        (ServiceTask("inspection", every_months=12, retired_on=TODAY), LIFE),
        (YEARLY, Life("v1", date(2020, 1, 1), retired_on=date(2026, 1, 1))),
    ],
)
def test_what_is_retired_is_not_due(task: ServiceTask, life: Life) -> None:
    assert judge_due(task, life, [], TODAY).status is Status.RETIRED


def test_a_task_that_retires_tomorrow_is_still_due() -> None:
    task = ServiceTask("inspection", every_months=12, retired_on=TODAY + timedelta(days=1))
    assert judge_due(task, LIFE, [], TODAY).status is Status.OVERDUE


@pytest.mark.parametrize(
    ("intervals", "message"),
    [
        ({}, "has no interval"),
        ({"every_km": -1.0}, r"every -1\.0 km; expected more than 0"),
        ({"every_km": float("nan")}, "every nan km"),
        ({"every_km": float("inf")}, "every inf km"),
        ({"every_months": 0}, "every 0 months"),
        ({"every_months": 100_000}, "expected 1 to 1200"),
        ({"every_engine_hours": -5.0, "every_km": 10.0}, "engine hours; expected more than 0"),
    ],
)
def test_a_task_that_judges_nothing_is_refused(intervals: dict[str, float], message: str) -> None:
    with pytest.raises(BadTask, match=message):
        ServiceTask("oil", **intervals)  # type: ignore[arg-type]


def test_a_repeated_service_is_one() -> None:
    once, twice = (judge_due(YEARLY, LIFE, done(*[date(2025, 8, 1)] * times), TODAY) for times in (1, 2))
    assert once == twice
    assert isinstance(once, Due)
