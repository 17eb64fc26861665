"""Which source of the level, and of the odometer, a day is told by."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from fleetflow.vehicles.fuel.reading import _minutes

DAY = datetime(2026, 11, 19, tzinfo=UTC)


def row(
    minute: int, bus: float | None, device: float | None, km: tuple[float | None, ...] = (None, None, None)
) -> tuple[Any, ...]:
    """A row as the query has it; km: of the bus's fine odometer, its coarse one, the device."""
    at = DAY + timedelta(minutes=minute)
    return (1, at, bus, device, 0.0, None, None, None, *km, None, None, None, None)


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


def test_odometers_are_not_mixed_within_a_day() -> None:
    """The dashboard, the tachograph and the device each count from a zero of their own."""
    rows = [
        row(0, None, None, (500.005, 500.0, 90.0)), row(1, None, None, (None, 500.5, 90.5)),
        row(2, None, None, (501.015, None, 91.0)), row(3, None, None, (501.5, None, None)),
        row(1440, None, None, (502.0, None, None)), row(1441, None, None, (None, None, 92.0)),
        row(1442, None, None, (None, None, 92.5)),
    ]  # fmt: skip
    told = _minutes(rows, DAY + timedelta(days=9)).minutes.odometer_km
    assert [None if np.isnan(one) else float(one) for one in told] == [
        500.005, None, 501.015, 501.5, None, 92.0, 92.5,
    ]  # fmt: skip
