"""Meters: breaks, faults and replacements, in any order."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from domain.maintenance.meters import ENGINE_HOURS, ODOMETER, Meter, Reading, read_meter

START = date(2026, 3, 1)


def meter_of(values: dict[int, float], today: int = 100) -> Meter:
    readings = [Reading(START + timedelta(days=day), value) for day, value in values.items()]
    return read_meter(ODOMETER, readings, START + timedelta(days=today))


def test_a_sound_line_is_taken_as_it_is() -> None:
    meter = meter_of({0: 1_000, 1: 1_400, 4: 2_000})
    assert meter.used == (1_000, 1_400, 2_000)
    assert (meter.now, meter.refused, meter.unconfirmed) == (2_000, 0, 0)


def test_no_reading_is_no_use() -> None:
    meter = meter_of({})
    assert meter.now is None
    assert meter.at(START) is None
    assert meter.reached(0) is None
    assert meter.daily() == {}


@pytest.mark.parametrize(
    ("values", "used", "refused"),
    [
        ({0: 1_000, 1: 1_400, 2: 0, 3: 2_000}, (1_000, 1_400, 2_000), 1),
        ({0: 1_000, 1: 1_400, 2: 999_999, 3: 2_000}, (1_000, 1_400, 2_000), 1),
        ({0: 1_000, 1: 1_400, 2: 5, 3: 900_000, 4: 2_000}, (1_000, 1_400, 2_000), 2),
        ({0: 999_999, 1: 1_000, 2: 1_300, 3: 1_700}, (1_000, 1_300, 1_700), 1),
        ({0: 1_000, 1: -4, 2: float("nan"), 3: float("inf"), 4: 1_200}, (1_000, 1_200), 3),
    ],
    ids=[
        "falls to nought",
        "jumps",
        "two faults that differ",
        "the first is the fault",
        "no numbers of a meter",
    ],
)
def test_a_faulty_reading_is_refused(values: dict[int, float], used: tuple[float, ...], refused: int) -> None:
    meter = meter_of(values)
    assert (meter.used, meter.refused, meter.replaced_on) == (used, refused, ())


def test_a_new_meter_that_began_at_zero_counts_from_zero() -> None:
    meter = meter_of({0: 300_000, 1: 300_400, 2: 300_800, 4: 700, 5: 1_000, 6: 1_200})
    assert meter.used == (300_000, 300_400, 300_800, 301_500, 301_800, 302_000)
    assert meter.replaced_on == (START + timedelta(days=4),)


def test_a_used_meter_counts_from_its_first_reading() -> None:
    meter = meter_of({0: 300_000, 1: 300_400, 2: 300_800, 4: 120_000, 5: 120_300, 6: 120_500})
    assert meter.used[-3:] == (300_800, 301_100, 301_300)


def test_two_readings_of_a_new_meter_are_not_enough() -> None:
    meter = meter_of({0: 300_000, 1: 300_400, 2: 300_800, 4: 700, 5: 1_000})
    assert (meter.now, meter.unconfirmed, meter.replaced_on) == (300_800, 2, ())


def test_a_reading_of_tomorrow_is_refused() -> None:
    assert meter_of({0: 1_000, 3: 1_200}, today=2).refused == 1


def test_a_rollback_within_tolerance_never_lowers_the_use() -> None:
    assert meter_of({0: 1_000, 1: 999, 2: 1_400}).used == (1_000, 1_000, 1_401)


def test_use_between_readings_is_straight() -> None:
    meter = meter_of({0: 1_000, 10: 2_000})
    assert meter.at(START + timedelta(days=4)) == 1_400
    assert meter.at(START - timedelta(days=1)) is None
    assert meter.at(START + timedelta(days=50)) == 2_000
    assert meter.reached(1_001) == START + timedelta(days=10)
    assert set(meter.daily().values()) == {100}
    assert len(meter.daily()) == 10


def test_the_days_of_a_replacement_have_no_known_use() -> None:
    meter = meter_of({0: 300_000, 1: 300_400, 2: 300_800, 4: 700, 5: 1_000, 6: 1_200})
    assert [day - START for day in meter.daily()] == [timedelta(days=number) for number in (1, 2, 5, 6)]


def test_an_hour_meter_cannot_count_more_than_the_day_has() -> None:
    readings = [
        Reading(START + timedelta(days=day), value) for day, value in ((0, 10), (1, 34), (2, 59), (3, 60))
    ]
    meter = read_meter(ENGINE_HOURS, readings, START + timedelta(days=9))
    assert (meter.used, meter.refused) == ((10, 34, 60), 1)
