from __future__ import annotations

import time

import pytest

from fleetflow.simulator.pacing import CATCH_UP, Pacer, PlannedClock, WallClock


class SteppedClock(PlannedClock):
    """A clock that the test pushes on."""

    def push(self, seconds: float) -> None:
        self.sleep_until(self.elapsed_s() + seconds)


@pytest.mark.parametrize("rate", [1, 3, 50, 999, 35_000, 50_000])
def test_the_rate_is_kept_over_time(rate: float) -> None:
    clock = PlannedClock(0)
    pacer = Pacer(rate, clock)
    events = 0
    while clock.elapsed_s() < 30:
        pacer.wait()
        events += pacer.slice_events
    assert events == pytest.approx(30 * rate, rel=0.02, abs=2)


@pytest.mark.parametrize("rate", [1, 50, 35_000])
def test_no_slice_is_larger_than_a_fiftieth_of_a_second(rate: float) -> None:
    pacer = Pacer(rate, PlannedClock(0))
    assert pacer.slice_events <= max(1, rate / 50)


def test_a_stall_is_made_up_for_without_a_burst() -> None:
    clock = SteppedClock(0)
    pacer = Pacer(1_000, clock)
    for _ in range(50):
        pacer.wait()
    clock.push(2.0)
    moments = []
    for _ in range(1_000):
        pacer.wait()
        moments.append(clock.elapsed_s())
    for later, earlier in zip(moments[50:], moments, strict=False):
        assert 50 * pacer.slice_events / (later - earlier) <= 1_000 * CATCH_UP * 1.001
    assert clock.elapsed_s() == pytest.approx(1_049 * pacer.interval_s, rel=0.01)


def test_the_offset_is_the_planned_one_not_the_clock_s() -> None:
    clock = SteppedClock(0)
    pacer = Pacer(100, clock)
    clock.push(3.0)
    assert [round(pacer.wait(), 6) for _ in range(3)] == [0.0, 0.02, 0.04]


def test_the_wall_clock_sleeps_at_least_as_long_as_it_should() -> None:
    clock, began = WallClock(), time.monotonic()
    clock.sleep_until(0.05)
    assert time.monotonic() - began >= 0.049
    assert clock.elapsed_s() >= 0.05
