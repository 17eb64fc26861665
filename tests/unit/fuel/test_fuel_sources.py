"""Which of two sources of the level a day is told by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fleetflow.vehicles.fuel.reading import _minutes

DAY = datetime(2026, 11, 19, tzinfo=UTC)


def row(minute: int, bus: float | None, device: float | None) -> tuple[Any, ...]:
    """A row as the query has it."""
    at = DAY + timedelta(minutes=minute)
    return (1, at, bus, device, 0.0, None, None, None, None, None, None, None, None)


def levels(rows: list[tuple[Any, ...]]) -> list[float | None]:
    told = _minutes(rows, DAY + timedelta(days=9)).minutes.level_pct
    return [None if np.isnan(one) else float(one) for one in told]


def test_a_bus_that_sleeps_at_night_does_not_hide_what_the_device_saw() -> None:
    assert levels([row(0, None, 60.0), row(14, None, 40.0), row(28, 39.6, 39.9)]) == [60.0, 40.0, 39.9]


def test_the_bus_goes_first_where_it_tells_as_much() -> None:
    assert levels([row(0, 60.0, 50.0), row(1, 59.6, 50.0), row(2, 59.2, None)]) == [60.0, 59.6, 59.2]
    assert levels([row(0, 60.0, 50.0), row(1, 59.6, 50.0)]) == [60.0, 59.6]


def test_each_day_is_told_by_itself() -> None:
    rows = [row(0, 60.0, None), row(1440, None, 50.0), row(1441, 49.6, 49.8)]
    assert levels(rows) == [60.0, 50.0, 49.8]
