"""Projected due dates: a vehicle's own use, what it is likened to, and what cannot be told."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from domain.maintenance.due import Due, Limit, Status
from domain.maintenance.projection import (
    DayKind,
    Projected,
    Use,
    kind_of,
    observe,
    pool,
    project,
    shrink,
)

TODAY = date(2026, 6, 28)
"""A Sunday."""


def history(weekday: float, saturday: float = 0, sunday: float = 0, days: int = 56) -> dict[date, float]:
    by_kind = {DayKind.WEEKDAY: weekday, DayKind.SATURDAY: saturday, DayKind.SUNDAY: sunday}
    return {day: by_kind[kind_of(day)] for i in range(days) if (day := TODAY - timedelta(days=i))}


def by_km(left: float) -> Due:
    return Due("v1", "oil", Status.NOT_DUE, None, (Limit("odometer", "km", left, 1_000_000),))


def project_km(left: float, use: Use) -> Projected:
    return project(by_km(left), TODAY, {"odometer": use})


def test_a_week_is_five_weekdays_and_a_weekend() -> None:
    monday = date(2026, 6, 22)
    assert [kind_of(monday + timedelta(days=i)) for i in range(7)] == [0, 0, 0, 0, 0, 1, 2]


def test_a_steady_vehicle_reaches_its_limit_on_the_day() -> None:
    found = project_km(2_000, observe(history(400), TODAY))
    assert found == Projected(
        date(2026, 7, 3), date(2026, 7, 3), date(2026, 7, 3), "odometer", "by odometer, own"
    )


def test_it_does_not_drive_on_weekends() -> None:
    assert project_km(2_001, observe(history(400), TODAY)).due_on == date(2026, 7, 6)
    assert project_km(2_001, observe(history(400, saturday=10), TODAY)).due_on == date(2026, 7, 4)


def test_a_reading_gone_wrong_does_not_move_the_date() -> None:
    daily = history(400)
    daily[date(2026, 6, 24)] = 90_000
    assert project_km(2_000, observe(daily, TODAY)).due_on == date(2026, 7, 3)


def test_far_trips_on_every_fifth_day_count() -> None:
    daily = {day: 600.0 if day.weekday() == 2 else use for day, use in history(50).items()}
    assert observe(daily, TODAY).a_week == pytest.approx(4 * 50 + 600)


def test_use_that_is_no_number_is_left_out() -> None:
    daily = history(400) | {
        TODAY: -5.0,
        TODAY - timedelta(days=1): float("nan"),
        TODAY + timedelta(days=1): 9.0,
    }
    assert observe(daily, TODAY).days == 54


def test_use_out_of_the_window_is_left_out() -> None:
    assert observe({TODAY - timedelta(days=56): 500.0}, TODAY).basis == "none"


def test_a_vehicle_that_stands_still_has_no_day() -> None:
    idle = observe(history(0), TODAY)
    assert idle.is_idle
    found = project_km(100, shrink(idle, pool([observe(history(400), TODAY)])))
    assert found == Projected(None, None, None, None, "the vehicle stands still")


def test_months_still_count_for_a_vehicle_that_stands_still() -> None:
    due = Due(
        "v1",
        "oil",
        Status.NOT_DUE,
        None,
        (Limit("months", "d", 30, due_on=date(2026, 7, 28)), Limit("odometer", "km", 100, 1_000)),
    )
    found = project(due, TODAY, {"odometer": observe(history(0), TODAY)})
    assert (found.due_on, found.by) == (date(2026, 7, 28), "months")


def test_a_new_vehicle_is_likened_to_its_model() -> None:
    model = pool([observe(history(400), TODAY)] * 3)
    found = project_km(2_000, shrink(observe({}, TODAY), model))
    assert found.words == "by odometer, others"
    assert found.due_on == date(2026, 7, 3)


def test_few_days_of_its_own_count_for_something() -> None:
    model = pool([observe(history(400), TODAY)])
    own = shrink(observe(history(200, days=14), TODAY), model)
    assert own.basis == "own and others"
    assert own.kinds[DayKind.WEEKDAY].mean == pytest.approx(0.5 * 200 + 0.5 * 400)


def test_with_nothing_known_nothing_is_told() -> None:
    assert project_km(100, shrink(observe({}, TODAY), pool([]))).due_on is None
    assert project(by_km(100), TODAY, {}).due_on is None


def test_what_was_exceeded_keeps_the_day_it_was() -> None:
    limit = Limit("odometer", "km", -500, 1_000, due_on=date(2026, 6, 1))
    found = project(
        Due("v1", "oil", Status.OVERDUE, None, (limit,)), TODAY, {"odometer": observe(history(9), TODAY)}
    )
    assert (found.due_on, found.not_before, found.not_after) == (date(2026, 6, 1),) * 3


def test_a_retired_task_has_no_day() -> None:
    assert project(Due("v1", "oil", Status.RETIRED, None, ()), TODAY, {}).words == "retired"


def test_the_interval_holds_the_day_about_as_often_as_said() -> None:
    """Days are drawn, not computed by what is tested: 80 of 100 are promised; 70 to 92 of 100 are let pass."""
    held = 0
    for seed in range(200):
        dice = random.Random(seed)
        drive = [max(0.0, dice.gauss(350, 120)) * (dice.random() < 0.85) for _ in range(200)]
        past = {TODAY - timedelta(days=i): drive[i] for i in range(56)}
        found = project_km(8_000, observe(past, TODAY))
        driven, day = 0.0, TODAY
        for use in drive[56:]:
            day += timedelta(days=1)
            driven += use
            if driven >= 8_000:
                break
        assert found.not_before is not None
        assert found.not_after is not None
        held += found.not_before <= day <= found.not_after
    assert 140 <= held <= 184
