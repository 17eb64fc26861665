"""Trips, stops, gaps, odometers and local days on tracks made by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest
from tracks_made import NOON, SECOND, line, segments

from domain.tracks import (
    Fixes,
    Kind,
    Parts,
    State,
    Tracker,
    TripRules,
    find_midnights,
    make_days,
    make_segments,
)

MINUTE = 60.0


def told(fixes: Fixes, trips: TripRules | None = None) -> list[tuple[str, float, float]]:
    """Kind, minutes and kilometres of each segment."""
    found, _ = segments(fixes, trips=trips)
    return [
        (Kind(kind).name, round(us / 60 / SECOND, 2), round(mm / 1e6, 2))
        for kind, us, mm in zip(
            found.kind.tolist(),
            (found.end_us - found.start_us).tolist(),
            found.distance_mm.tolist(),
            strict=True,
        )
    ]


def legs(*stretches: tuple[float, float], step_s: float = 10, **known: object) -> Fixes:
    """Fixes of a vehicle that goes so many minutes at so many km/h, stretch after stretch."""
    speed = np.concatenate([np.full(round(m * 60 / step_s), float(kmh)) for m, kmh in stretches])
    metres = np.append(0, np.cumsum(speed * step_s / 3.6))
    return line(np.arange(len(metres)) * step_s, metres, speed_kmh=np.append(speed[0], speed), **known)


def test_a_day_of_standing_and_driving() -> None:
    found = told(legs((10, 0), (20, 60), (8, 0), (10, 30), (6, 0)))
    # The leg after a fix at rest and the one before the next belong to the trip.
    assert [kind for kind, _, _ in found] == ["STOP", "TRIP", "STOP", "TRIP", "STOP"]
    assert [km for _, _, km in found] == [0.0, 20.0, 0.0, 5.0, 0.0]
    assert [minutes for _, minutes, _ in found] == [10.0, 20.17, 7.83, 10.17, 5.83]


def test_a_red_light_does_not_end_a_trip_a_long_pause_does() -> None:
    assert [kind for kind, _, _ in told(legs((5, 50), (4, 0), (5, 50)))] == ["TRIP"]
    assert [kind for kind, _, _ in told(legs((5, 50), (6, 0), (5, 50)))] == ["TRIP", "STOP", "TRIP"]


def test_manoeuvring_is_part_of_the_stop() -> None:
    found = told(legs((10, 0), (1, 20), (10, 0)))
    assert found == [("STOP", 21.0, 0.33)]


def test_between_the_two_speeds_a_vehicle_goes_on_doing_what_it_did() -> None:
    assert [kind for kind, _, _ in told(legs((5, 50), (10, 5), (5, 50)))] == ["TRIP"]
    assert [kind for kind, _, _ in told(legs((5, 0), (10, 5), (5, 0)))] == ["STOP"]


def test_silence_on_the_way_is_a_gap_and_in_one_place_a_stop() -> None:
    before, after = legs((10, 60)), legs((10, 60))
    later = after.with_columns(
        fixed_at_us=after.fixed_at_us + 60 * 60 * SECOND,
        recorded_at_us=after.recorded_at_us + 60 * 60 * SECOND,
    )
    moved = later.with_columns(lat=later.lat + 0.3)
    assert [kind for kind, _, _ in told(Fixes.concat([before, moved]))] == ["TRIP", "GAP", "TRIP"]
    same = later.with_columns(lat=later.lat + (before.lat[-1] - later.lat[0]))
    found = told(Fixes.concat([before, same]))
    assert [kind for kind, _, _ in found] == ["TRIP", "STOP", "TRIP"]
    assert found[1] == ("STOP", 50.0, 0.0)


def test_a_ferry_with_the_engine_off_is_carried() -> None:
    ferry = legs((10, 40), (30, 25), (10, 40))
    ignition = np.ones(len(ferry), np.int64)
    ignition[61:241] = 0
    found = told(ferry.with_columns(ignition=ignition))
    assert [kind for kind, _, _ in found] == ["TRIP", "CARRIED", "TRIP"]
    assert found[1][2] == pytest.approx(12.5, abs=0.1)
    assert [
        kind for kind, _, _ in told(ferry.with_columns(ignition=ignition), TripRules(use_ignition=False))
    ] == ["TRIP"]


def test_a_teleport_is_a_gap_whose_kilometres_no_trip_has() -> None:
    fixes = legs((20, 60))
    away = fixes.with_columns(lat=np.where(np.arange(len(fixes)) > 60, fixes.lat + 5, fixes.lat))
    found = told(away)
    assert [kind for kind, _, _ in found] == ["TRIP", "GAP", "TRIP"]
    assert found[0][2] + found[2][2] == pytest.approx(20, abs=0.2)


def test_idling_is_standing_with_the_engine_on_in_trips_too() -> None:
    fixes = legs((10, 0), (10, 60), (3, 0), (10, 60), (20, 0))
    ignition = np.ones(len(fixes), np.int64)
    ignition[-61:] = 0
    found, _ = segments(fixes.with_columns(ignition=ignition))
    minutes = {
        name: (getattr(found, name) / 60 / SECOND).round(2).tolist() for name in ("idle_us", "engine_on_us")
    }
    # The first fix after each drive stands, the leg to it moves.
    assert minutes["idle_us"] == [10.0, 2.83, 9.83]
    assert minutes["engine_on_us"] == [10.0, 23.17, 9.83]
    assert found.engine_known_us.sum() == 53 * 60 * SECOND


def test_unknown_ignition_is_unknown_and_not_off() -> None:
    found, _ = segments(legs((10, 0), (10, 60)))
    assert found.engine_known_us.tolist() == [0, 0]


def test_one_fix_has_no_segment_and_the_second_makes_one() -> None:
    assert told(line([0], [0])) == []
    assert told(line([0, 60], [0, 0], speed_kmh=0.0)) == [("STOP", 1.0, 0.0)]


@pytest.mark.parametrize(
    ("readings", "km", "faults"),
    [
        ([1000.0, 1001.0, 1002.0, 1003.0], 3.0, 0),
        ([1000.0, np.nan, np.nan, 1003.0], 3.0, 0),
        ([99_999.0, 0.0, 1.0, 2.0], 3.0, 0),
        ([999_998.5, 999_999.5, 0.5, 1.5], 3.0, 0),
        ([5000.0, 5001.0, 0.0, 1.0], 2.0, 1),
        ([1000.0, 1001.0, 9001.0, 9002.0], 2.0, 1),
        ([1000.0, 1001.0, 1000.5, 1001.5], 2.0, 0),
        ([np.nan] * 4, 0.0, 0),
        ([-5.0, 1000.0, np.inf, 1001.0], 1.0, 0),
    ],
)
def test_the_odometer_is_put_right_or_left_out(readings: list[float], km: float, faults: int) -> None:
    fixes = line([0, 60, 120, 180], [0, 1000, 2000, 3000], speed_kmh=60.0, odometer_km=readings)
    found, _ = segments(fixes)
    assert found.odometer_mm.sum() == km * 1e6
    assert found.odometer_faults.sum() == faults


def test_odometer_and_track_are_compared_over_the_same_way() -> None:
    readings = [np.nan, 500.0, np.nan, 502.1, 9000.0]
    fixes = line([0, 60, 120, 180, 240], [0, 1000, 2000, 3000, 4000], speed_kmh=60.0, odometer_km=readings)
    found, _ = segments(fixes)
    assert found.odometer_mm.sum() == 2_100_000
    assert found.odometer_track_mm.sum() == pytest.approx(2_000_000, abs=2)


def days_of(fixes: Fixes, zone: str) -> dict[tuple[date, str], tuple[float, float]]:
    """Hours and kilometres by local day and kind."""
    times = fixes.fixed_at_us
    tracker = Tracker(find_midnights([zone], int(times.min()), int(times.max())))
    days = make_days(tracker.advance(State(), fixes, closing=True).parts)
    return {
        (date.fromordinal(719_163 + day), Kind(kind).name): (us / 3600 / SECOND, mm / 1e6)
        for day, kind, us, mm in zip(
            days.day.tolist(),
            days.kind.tolist(),
            days.elapsed_us.tolist(),
            days.distance_mm.tolist(),
            strict=True,
        )
    }


def us(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("zone", "start", "day", "hours"),
    [
        ("Europe/Berlin", us(2024, 3, 29), date(2024, 3, 31), 23),
        ("Europe/Berlin", us(2024, 10, 25), date(2024, 10, 27), 25),
        ("America/New_York", us(2024, 11, 1), date(2024, 11, 3), 25),
        ("Africa/Cairo", us(2024, 4, 24), date(2024, 4, 26), 23),
        ("Africa/Cairo", us(2024, 10, 29), date(2024, 10, 31), 25),
        ("Australia/Lord_Howe", us(2024, 4, 5), date(2024, 4, 7), 24.5),
        ("Asia/Kathmandu", us(2024, 4, 5), date(2024, 4, 7), 24),
    ],
)
def test_a_local_day_has_the_hours_that_the_clocks_give_it(
    zone: str, start: int, day: date, hours: float
) -> None:
    standing = line(np.arange(0, 4 * 86_400, 600.0), np.zeros(576), start_us=start, speed_kmh=0.0)
    assert days_of(standing, zone)[day, "STOP"] == (hours, 0)


def test_a_day_that_never_was_has_nothing() -> None:
    # Samoa went from 29 to 31 December 2011.
    standing = line(np.arange(0, 3 * 86_400, 600.0), np.zeros(432), start_us=us(2011, 12, 29), speed_kmh=0.0)
    found = days_of(standing, "Pacific/Apia")
    assert (date(2011, 12, 30), "STOP") not in found
    assert found[date(2011, 12, 31), "STOP"][0] == 24


def test_a_trip_over_midnight_is_shared_by_time_and_adds_up() -> None:
    # One leg of 10 minutes and 12 km from 23:56 to 00:06 local, amid others.
    start = us(2024, 6, 1, 21, 46)
    fixes = line([0, 600, 1200, 1800], [0, 12_000, 24_000, 36_000], start_us=start, speed_kmh=72.0)
    found = days_of(fixes, "Europe/Berlin")
    before, after = found[date(2024, 6, 1), "TRIP"], found[date(2024, 6, 2), "TRIP"]
    assert before == (pytest.approx(14 / 60), pytest.approx(12 + 4.8, abs=1e-5))
    assert after == (pytest.approx(16 / 60), pytest.approx(12 + 7.2, abs=1e-5))
    assert len(segments(fixes, ("Europe/Berlin",))[0]) == 1


def test_a_silence_of_ten_days_in_one_place_is_a_stop_on_each() -> None:
    fixes = line([0, 60, 864_000, 864_060], [0, 0, 0, 0], speed_kmh=0.0)
    found = days_of(fixes, "UTC")
    assert [hours for hours, _ in found.values()] == pytest.approx([12.0] + [24.0] * 9 + [12 + 1 / 60])


def test_times_outside_of_the_calendar_are_refused() -> None:
    tracker = Tracker(find_midnights(["UTC"], NOON, NOON + SECOND))
    with pytest.raises(ValueError, match="outside of the days"):
        tracker.advance(State(), line([0, 864_000], [0, 0]), closing=True)
    with pytest.raises(ValueError, match="zone"):
        tracker.advance(State(), line([0, 60], [0, 0], zone=3), closing=True)


def test_a_fix_later_than_the_lateness_is_counted_and_changes_nothing() -> None:
    tracker = Tracker(find_midnights(["UTC"], NOON, NOON + 86_400 * SECOND))
    fixes = legs((10, 0), (20, 60), (30, 0))
    state = tracker.advance(State(), fixes).state
    settled = NOON + (60 - 10) * 60 * SECOND
    late, in_time = line([0, 3000], [5, 5]), line([3000.001], [20_000], speed_kmh=0.0)
    step = tracker.advance(state, Fixes.concat([late, in_time]))
    assert state.settled.until_us.tolist() == [settled]
    assert step.state.counts["late"] == 2
    assert len(step.state.waiting) == len(state.waiting) + 1


def test_a_late_fix_within_the_lateness_reopens_only_what_is_not_final() -> None:
    tracker = Tracker(find_midnights(["UTC"], NOON, NOON + 86_400 * SECOND))
    fixes = legs((10, 0), (20, 60), (9, 0))
    step = tracker.advance(State(), fixes)
    view = make_segments(Parts.concat([step.parts, tracker.view(step.state)]))
    assert [Kind(k).name for k in view.kind.tolist()] == ["STOP", "TRIP", "STOP"]
    # A fix that had been held back shows that it went to the other dock and back.
    there = line([34 * MINUTE + 5], [20_200], speed_kmh=[40.0])
    later = tracker.advance(step.state, there)
    assert len(later.parts) == 0
    again = make_segments(Parts.concat([step.parts, tracker.view(later.state)]))
    assert again.start_us[:2].tolist() == view.start_us[:2].tolist()
    assert again.distance_mm.sum() - view.distance_mm.sum() == pytest.approx(400_000, abs=2)


@pytest.mark.parametrize("values", [{"stop_kmh": 9.0}, {"min_dwell_s": -1.0}, {"max_gap_s": float("nan")}])
def test_trip_rules_that_contradict_themselves_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        TripRules(**values)
