"""Twelve real car trips (enviroCar, 5 s): what is known of them holds, and thinning them changes little."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from tracks_made import shared_data

from domain.tracks import Fixes, Kind, clean, make_fixes, make_segments, thin
from domain.tracks.days import find_midnights
from domain.tracks.geo import steps_m
from domain.tracks.tracker import State, Tracker

PLACE = shared_data("envirocar_tracks")
pytestmark = pytest.mark.skipif(
    PLACE is None, reason="the enviroCar tracks are not beside the project (FLEETFLOW_SHARED)"
)


@pytest.fixture(scope="module")
def published_km() -> dict[str, float]:
    with (PLACE / "tracks.csv").open(newline="") as lines:
        return {row["track_id"]: float(row["length_km"]) for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def fixes(published_km: dict[str, float]) -> Fixes:
    """Each track as a vehicle of its own, in the order of `published_km`."""
    codes = {track: code for code, track in enumerate(published_km)}
    with (PLACE / "points.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    def number(row: dict[str, str], name: str) -> float:
        return float(row[name]) if row[name] else np.nan

    return make_fixes(
        [codes[row["track_id"]] for row in rows],
        [np.datetime64(row["time"].rstrip("Z"), "us").astype(np.int64) for row in rows],
        [float(row["lat"]) for row in rows],
        [float(row["lon"]) for row in rows],
        speed_kmh=[number(row, "Speed [km/h]") for row in rows],
    )


def track_km(fixes: Fixes) -> np.ndarray:
    track = clean(fixes).track
    return np.array(
        [
            steps_m(mine.lat, mine.lon).sum() / 1000
            for mine in (track.take(track.vehicle == code) for code in np.unique(track.vehicle))
        ]
    )


def test_distance_is_the_published_length(fixes: Fixes, published_km: dict[str, float]) -> None:
    np.testing.assert_allclose(track_km(fixes), list(published_km.values()), rtol=0.015)


@pytest.mark.parametrize(("every_s", "all_in_all", "worst"), [(10, 0.01, 0.04), (15, 0.02, 0.08)])
def test_a_lower_rate_changes_distance_by_a_few_per_cent(
    fixes: Fixes, every_s: int, all_in_all: float, worst: float
) -> None:
    # The worst is 3.6 km through side streets: at 30 km/h, 15 s are 125 m, and corners are cut.
    full, thinned = track_km(fixes), track_km(thin(fixes, every_s))
    assert len(thin(fixes, every_s)) < 0.7 * len(fixes)
    changed = np.abs(thinned / full - 1)
    assert abs(thinned.sum() / full.sum() - 1) < all_in_all
    assert np.median(changed) < 1.25 * all_in_all
    assert changed.max() < worst


def test_one_second_and_fifteen_differ_by_a_few_per_cent(fixes: Fixes) -> None:
    """The real ways at 1 s, with a receiver's noise: 3 m, which it forgets over half a minute."""
    rng = np.random.default_rng(5)
    ratios = []
    for code in np.unique(fixes.vehicle):
        mine = clean(fixes.take(fixes.vehicle == code)).track
        times = np.arange(mine.fixed_at_us[0], mine.fixed_at_us[-1], 1_000_000)
        noise = np.zeros((len(times), 2))
        for at in range(1, len(times)):
            noise[at] = 0.967 * noise[at - 1] + rng.normal(0, 3 * 0.25, 2)
        lat = np.interp(times, mine.fixed_at_us, mine.seen_lat) + noise[:, 0] / 111_195
        lon = np.interp(times, mine.fixed_at_us, mine.seen_lon) + noise[:, 1] / 111_195 / 0.62
        speed = np.interp(times, mine.fixed_at_us, np.nan_to_num(mine.speed_kmh))
        second = make_fixes(0, times, lat, lon, speed_kmh=speed)
        ratios.append(track_km(thin(second, 15))[0] / track_km(second)[0])
    changed = np.abs(np.array(ratios) - 1)
    assert np.median(changed) < 0.04
    assert changed.max() < 0.1


def test_each_real_trip_is_trips_and_stops_that_fill_its_time(fixes: Fixes) -> None:
    tracker = Tracker(
        find_midnights(["Europe/Berlin"], int(fixes.fixed_at_us.min()), int(fixes.fixed_at_us.max()))
    )
    step = tracker.advance(State(), fixes, closing=True)
    segments = make_segments(step.parts)
    assert set(segments.kind.tolist()) <= {Kind.TRIP, Kind.STOP}
    for code in np.unique(fixes.vehicle):
        mine = segments.take(segments.vehicle == code)
        times = fixes.fixed_at_us[fixes.vehicle == code]
        assert (mine.end_us - mine.start_us).sum() == times.max() - times.min()
        assert (mine.kind == Kind.TRIP).any()
    assert step.state.counts["jump"] == 0
