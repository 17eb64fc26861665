"""What a reading may be: everything else is named and counted, and is no number."""

from __future__ import annotations

import numpy as np
import pytest
from fuel_world import MINUTE_US, START_US

from domain.fuel import Fault, make_minutes
from domain.fuel.counters import read_counter
from domain.fuel.rules import EventRules


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("level_pct", -0.1, Fault.LEVEL_NEGATIVE),
        ("level_pct", 100.5, Fault.LEVEL_OVER_FULL),
        ("level_pct", np.inf, Fault.LEVEL_INVALID),
        ("level_pct", -np.inf, Fault.LEVEL_INVALID),
        ("rate_lph", -1.0, Fault.RATE_INVALID),
        ("rate_lph", 3276.75, Fault.RATE_INVALID),
        ("rate_lph", np.inf, Fault.RATE_INVALID),
        ("total_l", -1.0, Fault.TOTAL_INVALID),
        ("total_l", np.inf, Fault.TOTAL_INVALID),
        ("odometer_km", -3.0, Fault.ODOMETER_INVALID),
    ],
)
def test_impossible_values_are_named(column: str, value: float, fault: Fault) -> None:
    gathered = make_minutes([0], [START_US], **{column: [value]})
    assert gathered.counts == {fault: 1}
    assert np.isnan(getattr(gathered.minutes, column)).all()


def test_unknown_is_no_fault() -> None:
    gathered = make_minutes([0], [START_US], level_pct=[np.nan], total_l=[np.nan], rate_lph=[np.nan])
    assert gathered.counts == {}


def test_clocks_that_were_reset_or_run_ahead_are_left_out() -> None:
    at = [3_600_000_000, START_US, START_US + 299_000_000, START_US + 301_000_000]
    gathered = make_minutes([0] * 4, at, level_pct=[50.0] * 4, now_us=START_US)
    assert gathered.counts == {Fault.CLOCK: 2}
    assert len(gathered.minutes) == 2


def test_a_minute_is_the_median_of_its_readings_and_the_mean_of_its_rates() -> None:
    at = [START_US + second * 1_000_000 for second in (0, 20, 40, 60)]
    minutes = make_minutes(
        [7] * 4, at, level_pct=[50, 90, 51, 40], rate_lph=[10, 20, 60, 5], speed_kmh=[0, 30, np.nan, 0],
        ignition=[-1, 1, 0, 0],
    ).minutes  # fmt: skip
    assert minutes.level_pct.tolist() == [51, 40]
    assert minutes.rate_lph.tolist() == [30, 5]
    assert minutes.speed_kmh.tolist() == [30, 0]
    assert minutes.ignition.tolist() == [1, 0]
    assert minutes.at_us.tolist() == [START_US, START_US + MINUTE_US]


def counter(values: list[float]) -> tuple[list[int], list[float], int, int]:
    at = START_US + np.arange(len(values)) * MINUTE_US
    read = read_counter(at, np.array(values, float), most_per_hour=120, slack=1)
    return read.at.tolist(), read.gain.tolist(), read.outliers, read.resets


def test_a_counter_that_rolls_back_once_was_misread() -> None:
    assert counter([100, 101, 5, 102]) == ([0, 1, 3], [0, 1, 1], 1, 0)


def test_a_counter_that_starts_anew_gains_nothing_known_between() -> None:
    at, gain, outliers, resets = counter([100, 101, 102, 0, 0.5, 1, 2])
    assert (at, outliers, resets) == ([0, 1, 2, 3, 4, 5, 6], 0, 1)
    np.testing.assert_equal(gain, [0, 1, 1, np.nan, 0.5, 0.5, 1])


def test_a_counter_whose_first_reading_is_wrong_begins_after_it() -> None:
    at, _, outliers, resets = counter([9000, 101, 102, 103])
    assert (at, outliers, resets) == ([1, 2, 3], 1, 0)


def test_a_counter_that_only_just_broke_waits() -> None:
    assert counter([100, 101, 50, 51])[2:] == (2, 0)


def test_small_steps_back_are_rounding() -> None:
    assert counter([100, 99.5, 100.5])[1] == [0, 0, 1]


def test_no_reading_and_one() -> None:
    assert counter([]) == ([], [], 0, 0)
    assert counter([3]) == ([0], [0], 0, 0)
    assert counter([np.nan, np.nan]) == ([], [], 0, 0)


def test_parameters_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="rest_min_l: -1, expected a number of 0 or more"):
        EventRules(rest_min_l=-1)
    with pytest.raises(ValueError, match="rest_min_l: nan"):
        EventRules(rest_min_l=float("nan"))
