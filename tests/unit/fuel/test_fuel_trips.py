"""Fuel of trips by counter, rate and level; baselines; what is made of trips that burn too much."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fuel_world import MINUTE_US, START_US

from domain.fuel import (
    FuelLog,
    Kind,
    Method,
    Profile,
    Severity,
    Source,
    TripFault,
    TripFuel,
    TripSample,
    Word,
    climb_m,
    find_events,
    judge_consumption,
    judge_methods,
    make_baseline,
    make_minutes,
    profile_of,
    trace_levels,
)
from domain.fuel.losses import DAY_US


def at(minute: float) -> int:
    return START_US + int(minute * MINUTE_US)


def log_of(minutes: int = 120, **columns: np.ndarray) -> FuelLog:
    """A vehicle with a tank of 500 l; it stands for the first and last ten minutes."""
    speed = np.full(minutes, 60.0)
    speed[:10] = speed[-10:] = 0
    given = {"speed_kmh": speed} | columns
    gathered = make_minutes(
        np.zeros(minutes, int), START_US + np.arange(minutes) * MINUTE_US, **given
    ).minutes
    levelled = trace_levels(gathered, np.array([500.0]))
    return FuelLog(gathered, levelled, find_events(levelled.levels).events, 0)


RATE = np.where(np.arange(120) < 10, 0.0, 24.0)


def test_the_counter_is_used_and_the_rate_stands_beside() -> None:
    fuel = log_of(total_l=1000 + np.arange(120) * 0.5, rate_lph=RATE).measure(at(10), at(110), 100.0)
    assert (fuel.litres, fuel.method, fuel.l_100km) == (50, Method.TOTAL, 50)
    assert fuel.by_rate_l == pytest.approx(40)
    assert (fuel.compared_with, fuel.difference_l) == (Method.RATE, pytest.approx(10))


def test_up_to_a_few_litres_the_rate_is_finer_than_the_counter() -> None:
    fuel = log_of(total_l=1000 + np.floor(np.arange(120) / 60), rate_lph=RATE / 10).measure(
        at(10), at(110), 10.0
    )
    assert (fuel.method, fuel.litres) == (Method.RATE, pytest.approx(4))


def test_a_rate_with_holes_does_not_count() -> None:
    rate = RATE.copy()
    rate[40:70] = np.nan
    fuel = log_of(rate_lph=rate).measure(at(10), at(110), 100.0)
    assert (fuel.litres, fuel.method) == (None, None)
    assert fuel.rate_cover == pytest.approx(0.7)


def test_a_counter_that_was_reset_under_way_does_not_count() -> None:
    total = np.r_[1000 + np.arange(60) * 0.5, np.arange(60) * 0.5]
    fuel = log_of(total_l=total, rate_lph=RATE).measure(at(10), at(110), 100.0)
    assert fuel.method is Method.RATE
    assert fuel.faults == (TripFault.TOTAL_RESET,)


def test_the_level_counts_where_it_fell_far_and_refills_are_added() -> None:
    level = np.r_[np.full(10, 90.0), np.linspace(90, 50, 100), np.full(10, 50.0)]
    fuel = log_of(level_pct=level).measure(at(10), at(110), 500.0)
    assert (fuel.litres, fuel.method) == (pytest.approx(200), Method.LEVEL)
    assert (
        log_of(level_pct=np.r_[np.full(110, 90.0), np.full(10, 86.0)]).measure(at(10), at(110), 50.0).litres
        is None
    )


def test_a_level_that_rose_without_a_refill_is_named() -> None:
    level = np.r_[np.full(10, 20.0), np.linspace(20, 80, 100), np.full(10, 80.0)]
    assert TripFault.LEVEL_ROSE in log_of(level_pct=level).measure(at(10), at(110), 50.0).faults


@pytest.mark.parametrize(
    ("km", "litres", "l_100km", "fault"),
    [
        (None, 50, None, TripFault.DISTANCE_UNKNOWN),
        (float("nan"), 50, None, TripFault.DISTANCE_UNKNOWN),
        (-1.0, 50, None, TripFault.DISTANCE_UNKNOWN),
        (0.0, 50, None, None),
        (6.0, None, None, TripFault.IMPLAUSIBLE),
    ],
)
def test_ways_that_cannot_be(
    km: float | None, litres: float | None, l_100km: float | None, fault: TripFault | None
) -> None:
    fuel = log_of(total_l=1000 + np.arange(120) * 0.5).measure(at(10), at(110), km)
    assert (fuel.litres, fuel.l_100km) == (litres, l_100km)
    assert fuel.faults == ((fault,) if fault else ())


def test_idle_is_what_burns_at_a_standstill() -> None:
    speed = np.where(np.arange(120) % 2, 50.0, 0.0)
    fuel = log_of(total_l=1000 + np.arange(120) * 0.5, speed_kmh=speed).measure(at(10), at(110), 100.0)
    assert fuel.idle_l == pytest.approx(25, abs=0.5)


def test_nothing_known_is_nothing_told() -> None:
    fuel = log_of().measure(at(10), at(110), 100.0)
    assert (fuel.litres, fuel.method, fuel.l_100km, fuel.idle_l) == (None, None, None, None)
    with pytest.raises(ValueError, match="expected later than its start"):
        log_of().measure(at(10), at(10), 1.0)


# Baselines.


def trips(
    values: list[float], vehicle: str = "v", model: str = "m", profile: Profile | None = None
) -> list[TripSample]:
    """A trip a day."""
    return [
        TripSample(vehicle, model, n * DAY_US, value, profile or Profile()) for n, value in enumerate(values)
    ]


def test_too_few_trips_of_the_model_are_no_baseline() -> None:
    assert make_baseline(trips([30.0] * 7), "v", "m", Profile()) is None
    assert make_baseline(trips([30.0] * 20, model="other"), "v", "m", Profile()) is None
    assert make_baseline(trips([float("nan"), -3.0] * 20), "v", "m", Profile()) is None


def test_equal_trips_have_a_spread_that_can_be_divided_by() -> None:
    baseline = make_baseline(trips([30.0] * 20), "v", "m", Profile(load="full"))
    assert baseline is not None
    assert (baseline.centre_l_100km, baseline.spread_l_100km) == (pytest.approx(30), pytest.approx(0.9))
    assert baseline.deviation(31.8) == pytest.approx(2)


def test_few_trips_of_the_vehicle_move_it_a_little_and_many_a_lot() -> None:
    fleet = trips([30.0] * 200, "other")

    def centre(own: int) -> float:
        baseline = make_baseline(fleet + trips([40.0] * own), "v", "m", Profile())
        assert baseline is not None
        return baseline.centre_l_100km

    # Weight 6, twice: for the vehicle, and for the vehicle on the profile.
    assert centre(0) == 30
    assert centre(1) == pytest.approx(40 - 10 * (6 / 7) ** 2)
    assert centre(60) == pytest.approx(40 - 10 * (6 / 66) ** 2)


def test_trips_of_one_day_tell_of_load_as_little_as_one() -> None:
    """12 trips within a litre, of unknown load: 7 % of 30 weighs 6 beside as many days as they are of."""
    daily = trips([29.5, 30.0, 30.5] * 4)
    at_once = [TripSample(one.vehicle, one.model, 0, one.l_100km, one.profile) for one in daily]
    measured, of_load = 1.4826 * 0.5, 0.07 * 30

    def spread(samples: list[TripSample], profile: Profile) -> float:
        baseline = make_baseline(samples, "new", "m", profile)
        assert baseline is not None
        return baseline.spread_l_100km

    assert spread(daily, Profile()) == pytest.approx(((12 * measured**2 + 6 * of_load**2) / 18) ** 0.5)
    assert spread(at_once, Profile()) == pytest.approx(((1 * measured**2 + 6 * of_load**2) / 7) ** 0.5)
    assert spread(at_once, Profile(load="part")) == pytest.approx(0.03 * 30)


def test_one_wild_trip_changes_nothing() -> None:
    calm = make_baseline(trips([29.0, 30.0, 31.0] * 7), "v", "m", Profile())
    wild = make_baseline(trips([*[29.0, 30.0, 31.0] * 7, 300.0]), "v", "m", Profile())
    assert calm is not None
    assert wild is not None
    assert wild.centre_l_100km == pytest.approx(calm.centre_l_100km, abs=0.1)


@pytest.mark.parametrize(
    ("climb", "load", "temperature", "profile"),
    [
        (4.99, 0.05, -0.1, Profile("flat", "empty", "cold")),
        (5.0, 0.1, 0.0, Profile("rolling", "part", "cool")),
        (12.0, 0.7, 10.0, Profile("hilly", "full", "mild")),
        (25.0, 1.2, 25.0, Profile("mountain", "full", "hot")),
        (None, float("nan"), float("inf"), Profile("unknown", "unknown", "unknown")),
    ],
)
def test_bands(climb: float | None, load: float, temperature: float, profile: Profile) -> None:
    assert profile_of(climb, load, temperature) == profile


@pytest.mark.parametrize(
    ("altitudes", "metres"),
    [
        ([], 0),
        ([100], 0),
        ([100, 109, 100, 109, 100], 0),
        ([100, 150, 100, 150], 100),
        ([100, 150, 145, 200], 100),
        ([200, 100], 0),
        ([100, float("nan"), 150], 50),
    ],
)
def test_climbs_beyond_noise_add_up(altitudes: list[float], metres: float) -> None:
    assert climb_m(altitudes) == metres


# Anomalies.


def burnt(l_100km: float, **changes: Any) -> TripFuel:
    fuel = TripFuel(
        litres=l_100km * 3, method=Method.TOTAL, by_total_l=l_100km * 3, by_rate_l=None, by_level_l=None,
        level_error_l=None, rate_cover=0.0, compared_with=None, difference_l=None, l_100km=l_100km, idle_l=None,
    )  # fmt: skip
    return replace(fuel, **changes)


BASELINE = make_baseline(trips([29.0, 30.0, 31.0] * 7), "v", "m", Profile())


def test_a_trip_far_above_its_baseline() -> None:
    assert BASELINE is not None
    known = Profile("flat", "part", "mild")
    found = judge_consumption(0, at(0), at(200), 300.0, burnt(45.0), BASELINE, known, high_before=4)
    assert found is not None
    assert (found.kind, found.severity) == (Kind.CONSUMPTION_HIGH, Severity.MEDIUM)
    assert found.volume_l == pytest.approx(45, abs=2)
    assert {one.cause: one.confidence for one in found.causes} == {
        Source.MECHANICAL: Word.VERY_LIKELY, Source.LOAD: Word.UNLIKELY, Source.WEATHER: Word.UNLIKELY,
        Source.THEFT: Word.UNLIKELY,
    }  # fmt: skip
    assert judge_consumption(0, at(0), at(200), 300.0, burnt(33.0), BASELINE, known) is None
    assert judge_consumption(0, at(0), at(200), 300.0, burnt(20.0), BASELINE, known) is None


def test_what_is_not_known_makes_load_and_weather_likelier() -> None:
    assert BASELINE is not None
    found = judge_consumption(0, at(0), at(200), 300.0, burnt(45.0), BASELINE, Profile())
    assert found is not None
    words = {one.cause: one.confidence for one in found.causes}
    assert (words[Source.LOAD], words[Source.WEATHER], words[Source.MECHANICAL]) == (
        Word.LIKELY, Word.POSSIBLE, Word.POSSIBLE,
    )  # fmt: skip


def test_a_counter_at_odds_with_the_level_is_the_sensors_first() -> None:
    fuel = burnt(20.0, by_level_l=160.0, level_error_l=14.0)
    found = judge_methods(0, at(0), at(200), fuel)
    assert found is not None
    assert found.kind is Kind.SENSOR
    assert [(one.cause, one.confidence) for one in found.causes] == [
        (Source.SENSOR, Word.LIKELY), (Source.LEAK, Word.POSSIBLE), (Source.THEFT, Word.POSSIBLE),
    ]  # fmt: skip
    assert judge_methods(0, at(0), at(200), burnt(20.0, by_level_l=80.0, level_error_l=14.0)) is None


@pytest.mark.parametrize("refilled_at", [110, 112, 118])
def test_a_refill_about_a_trips_end_does_not_count_as_burnt(refilled_at: int) -> None:
    """Levels of 44 % before it and 90 % from it on, wherever the end lies; the counter says 30 l as well."""
    speed = np.full(140, 60.0)
    speed[:10] = speed[105:] = 0
    level = np.r_[np.full(10, 50.0), np.linspace(50, 44, 95), np.full(35, 44.0)]
    level[refilled_at:] += 46
    total = 1000 + np.r_[np.zeros(10), np.linspace(0, 30, 95), np.full(35, 30.0)]
    log = log_of(140, level_pct=level, speed_kmh=speed, total_l=total)
    for end in range(105, 120):
        fuel = log.measure(at(10), at(end), 100.0)
        assert fuel.by_level_l == pytest.approx(30, abs=3)
        assert judge_methods(0, at(10), at(end), fuel) is None


def test_unknown_load_widens_what_a_few_trips_that_were_alike_promise() -> None:
    few = make_baseline(trips([30.0, 30.5, 29.5] * 3), "v", "m", Profile())
    known = make_baseline(trips([30.0, 30.5, 29.5] * 3), "v", "m", Profile(load="full"))
    many = make_baseline(trips([30.0, 30.5, 29.5] * 100), "v", "m", Profile())
    assert few is not None
    assert known is not None
    assert many is not None
    assert few.spread_l_100km > 0.04 * 30
    assert known.spread_l_100km <= 0.03 * 30
    assert many.spread_l_100km < 0.035 * 30
