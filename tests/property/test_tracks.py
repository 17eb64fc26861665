"""Tracks against an interpreter that goes fix by fix, in any order of arrival and any split."""

from __future__ import annotations

import math
import random
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent))

import tracks_reference as reference
from tracks_reference import SECOND, Fix

from domain.tracks import (
    Circle,
    CleaningRules,
    Events,
    FenceIndex,
    Fixes,
    Kind,
    Parts,
    Rule,
    State,
    Track,
    Tracker,
    TripRules,
    Visits,
    VisitTracker,
    clean,
    find_midnights,
    make_days,
    make_fixes,
    make_segments,
)

ZONES = ("Europe/Berlin", "America/New_York")
# Ten minutes before the night in which Berlin put its clocks forward.
START = 1_711_836_600 * SECOND
CLEANING = CleaningRules()
TRIPS = TripRules()
CALENDAR = find_midnights(ZONES, START - 86_400 * SECOND, START + 60 * 86_400 * SECOND)
TRACKER = Tracker(CALENDAR, CLEANING, TRIPS)


def live(seed: int, vehicles: int, steps: int) -> list[Fix]:
    """A few vehicles' fixes, with everything that goes wrong."""
    rng = random.Random(seed)
    fixes = []
    for vehicle in range(vehicles):
        t, lat, lon, odometer = (
            START,
            52.0,
            rng.choice([13.0, 179.999, -179.999]),
            rng.choice([100.0, 99_990.0]),
        )
        mode, step_s = "stand", rng.choice([1, 10, 60])
        for _ in range(rng.randint(0, steps)):
            if rng.random() < 0.15:
                mode = rng.choice(["stand", "drive", "creep"])
            t += rng.choice([step_s] * 12 + [301, 901, 4_000, 40_000]) * SECOND
            if mode == "drive":
                lat += step_s * rng.choice([1, 2]) * 1e-4
                odometer += step_s * 0.0166
            if mode == "creep":
                lon += 3e-4 * rng.random()
            lon = (lon + 180) % 360 - 180
            lat += rng.choice([-3.0, 3.0] + [0.0] * 98)
            odometer = rng.choice([0.0, odometer + 5_000] + [odometer] * 98) % 100_000
            fixes.append(_fix(rng, vehicle, t, lat, lon, mode, odometer))
            if rng.random() < 0.08:
                fixes.append(fixes[-1])
            if rng.random() < 0.05:
                fixes.append(_fix(rng, vehicle, t, lat + 1e-3, lon, mode, odometer))
    return fixes


def lives() -> st.SearchStrategy[list[Fix]]:
    return st.builds(live, st.integers(0, 2**32), st.integers(1, 3), st.integers(0, 60))


def _fix(rng: random.Random, vehicle: int, t: int, lat: float, lon: float, mode: str, odometer: float) -> Fix:
    speed = {"stand": 0.0, "creep": 2.0, "drive": 40.0}[mode]
    draw = rng.random()
    if draw < 0.04:
        lat = lat + 2
    elif draw < 0.05:
        lat, lon = rng.choice([(math.nan, 1.0), (91.0, 0.0), (0.0, 0.0), (10.0, 200.0)])
    return Fix(
        vehicle,
        t,
        lat,
        lon,
        speed=math.nan if rng.random() < 0.2 else speed,
        accuracy=rng.choice([math.nan, 5.0, 5.0, 5.0, 900.0 if rng.random() < 0.1 else 7.0]),
        odometer=math.nan if rng.random() < 0.5 else odometer,
        ignition=rng.choice([-1, 1, 1, 1, 0 if mode == "stand" or rng.random() < 0.1 else 1]),
        driver=rng.choice([-1, 4]) if rng.random() < 0.05 else 4,
        zone=vehicle % 2,
        sent=t + rng.choice([0] * 30 + [-400, 31 * 86_400]) * SECOND,
    )


def to_fixes(fixes: list[Fix]) -> Fixes:
    return make_fixes(
        [f.vehicle for f in fixes],
        [f.t for f in fixes],
        [f.lat for f in fixes],
        [f.lon for f in fixes],
        recorded_at_us=[f.sent for f in fixes],
        speed_kmh=[f.speed for f in fixes],
        accuracy_m=[f.accuracy for f in fixes],
        odometer_km=[f.odometer for f in fixes],
        ignition=[f.ignition for f in fixes],
        driver=[f.driver for f in fixes],
        zone=[f.zone for f in fixes],
    )


def by_vehicle(fixes: list[Fix]) -> dict[int, list[Fix]]:
    return {v: [f for f in fixes if f.vehicle == v] for v in sorted({f.vehicle for f in fixes})}


def same(a: Track | Parts, b: Track | Parts) -> None:
    for name, values in a.columns().items():
        np.testing.assert_array_equal(values, getattr(b, name), err_msg=name)


def run(fixes: list[Fix], *cuts: int) -> tuple[Parts, Track, dict[str, int]]:
    """Track the fixes as they stand, cut into batches."""
    state, parts, tracks = State(), [], []
    edges = [0, *sorted(cuts), len(fixes)]
    for n, (a, b) in enumerate(pairwise(edges)):
        step = TRACKER.advance(state, to_fixes(fixes[a:b]), closing=n == len(edges) - 2)
        state = step.state
        parts.append(step.parts)
        tracks.append(step.track)
    found, track = Parts.concat(parts), Track.concat(tracks)
    found = found.take(np.lexsort((found.start_us, found.vehicle)))
    return found, track.take(np.lexsort((track.fixed_at_us, track.vehicle))), state.counts


# Inputs are made of a seed: shrinking it would search without finding.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
many = settings(max_examples=60, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])


@many
@given(lives())
def test_cleaning_says_what_the_interpreter_says(fixes: list[Fix]) -> None:
    cleaned = clean(to_fixes(fixes))
    for vehicle, own in by_vehicle(fixes).items():
        track, verdict = reference.clean(own, CLEANING)
        at = [n for n, f in enumerate(fixes) if f.vehicle == vehicle]
        # Of equal rows it does not matter which one is the repeat.
        ours = sorted((repr(fixes[n]), Rule(int(cleaned.rule[n])).name.lower()) for n in at)
        assert ours == sorted((repr(f), rule) for f, rule in zip(own, verdict, strict=True))
        mine = cleaned.track.take(cleaned.track.vehicle == vehicle)
        assert mine.fixed_at_us.tolist() == [f.t for f in track]
        assert mine.lat.tolist() == [f.lat for f in track]
        assert mine.lon.tolist() == [f.lon for f in track]
        assert list(zip(mine.seen_lat.tolist(), mine.seen_lon.tolist(), strict=True)) == [
            f.seen for f in track
        ]
        assert mine.after_jump.tolist() == [f.jumped for f in track]


@many
@given(lives())
def test_segments_are_those_of_the_interpreter(fixes: list[Fix]) -> None:
    parts, _, _ = run(fixes)
    segments = make_segments(parts)
    for vehicle, own in by_vehicle(fixes).items():
        track, _ = reference.clean(own, CLEANING)
        wanted = reference.segments_of(reference.legs_of(track, CLEANING, TRIPS), TRIPS)
        mine = segments.take(segments.vehicle == vehicle)
        assert [Kind(k).name for k in mine.kind.tolist()] == [s.kind for s in wanted]
        assert mine.start_us.tolist() == [s.legs[0].a.t for s in wanted]
        assert mine.end_us.tolist() == [s.legs[-1].b.t for s in wanted]
        np.testing.assert_allclose(mine.distance_mm, [s.m * 1000 for s in wanted], rtol=1e-9, atol=40)
        gained = [sum(leg.odometer_m for leg in s.legs) * 1000 for s in wanted]
        np.testing.assert_allclose(mine.odometer_mm, gained, atol=1)
        assert mine.odometer_faults.tolist() == [sum(leg.faults for leg in s.legs) for s in wanted]
        standing = [sum(leg.us for leg in s.legs if leg.kind == "STOP") for s in wanted]
        assert mine.standing_us.tolist() == standing
        days = make_days(parts.take(parts.vehicle == vehicle))
        ours: dict[tuple[str, int], int] = {}
        for kind, day, us in zip(
            days.kind.tolist(), days.day.tolist(), days.elapsed_us.tolist(), strict=True
        ):
            ours[Kind(kind).name, day] = ours.get((Kind(kind).name, day), 0) + us
        assert ours == reference.seconds_by_day(wanted, ZONES[vehicle % 2])
        assert days.distance_mm.sum() == mine.distance_mm.sum()


@many
@given(lives(), st.integers(0, 2**32), st.lists(st.integers(0, 200), max_size=8))
@example([], 0, [])
def test_order_split_and_delay_change_nothing(fixes: list[Fix], seed: int, cuts: list[int]) -> None:
    rng = random.Random(seed)
    parts, track, counts = run(fixes)
    shuffled = rng.sample(fixes, len(fixes))
    again = run(shuffled)
    same(parts, again[0])
    same(track, again[1])
    delays = {id(f): rng.random() * (TRIPS.lateness_s - 1) * SECOND for f in fixes}
    arrived = sorted(shuffled, key=lambda f: f.t + delays[id(f)])
    split = run(arrived, *(min(cut, len(fixes)) for cut in cuts))
    same(parts, split[0])
    same(track, split[1])
    assert split[2] == counts == again[2]
    assert sum(counts.values()) == len(fixes)
    assert counts["late"] == 0


@many
@given(lives())
def test_segments_follow_each_other_without_a_gap(fixes: list[Fix]) -> None:
    parts, track, _ = run(fixes)
    for vehicle in np.unique(parts.vehicle):
        mine = parts.take(parts.vehicle == vehicle)
        times = track.fixed_at_us[track.vehicle == vehicle]
        assert mine.start_us[1:].tolist() == mine.end_us[:-1].tolist()
        assert (mine.start_us[0], mine.end_us[-1]) == (times[0], times[-1])
        assert mine.standing_us.sum() + 0 <= times[-1] - times[0]


@many
@given(lives(), st.integers(1, 40))
def test_the_view_between_batches_is_what_closing_there_gives(fixes: list[Fix], size: int) -> None:
    arrived = sorted(fixes, key=lambda f: f.t)
    state, final = State(), []
    for start in range(0, len(arrived), size):
        step = TRACKER.advance(state, to_fixes(arrived[start : start + size]))
        state = step.state
        final.append(step.parts)
        seen = Parts.concat([*final, TRACKER.view(state)])
        seen = seen.take(np.lexsort((seen.start_us, seen.vehicle)))
        same(make_segments(run(arrived[: start + size])[0]), make_segments(seen))


VISITS = VisitTracker(FenceIndex([Circle(52.0, lon, 900.0) for lon in (13.0, 179.999)]))


def events(batches: list[list[Fix]]) -> list[tuple[int, ...]]:
    state, pending, told = State(), Visits.empty(), []
    for n, batch in enumerate(batches):
        step = TRACKER.advance(state, to_fixes(batch), closing=n == len(batches) - 1)
        visited = VISITS.advance(pending, step.track)
        state, pending = step.state, visited.pending
        told.append(visited.events)
    rows = Events.concat(told).columns().values()
    return sorted(zip(*(column.tolist() for column in rows), strict=True))


@many
@given(lives(), st.integers(0, 2**32), st.integers(1, 40))
def test_late_and_repeated_fixes_raise_no_event_twice(fixes: list[Fix], seed: int, size: int) -> None:
    rng = random.Random(seed)
    whole = events([fixes])
    assert len(whole) == len({(vehicle, fence, kind, name) for vehicle, fence, _, kind, name in whole})
    delays = {id(f): rng.random() * (TRIPS.lateness_s - 1) * SECOND for f in fixes}
    arrived = sorted(fixes, key=lambda f: f.t + delays[id(f)])
    batches = [arrived[start : start + size] for start in range(0, len(arrived), size)]
    # Every batch comes again, at once or some batches later.
    again = [batches[at] for n in range(len(batches)) for at in (n, max(0, n - rng.randrange(4)))]
    assert events([*again, []]) == whole
