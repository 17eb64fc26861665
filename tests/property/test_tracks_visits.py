"""Visits against an interpreter that goes fix by fix, and fences against slow geometry."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from domain.tracks import (
    Circle,
    Crossing,
    Events,
    FenceIndex,
    Polygon,
    Track,
    VisitRules,
    Visits,
    VisitTracker,
)
from domain.tracks.geo import distance_m, wrap_deg

SECOND = 1_000_000
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
many = settings(max_examples=60, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
RULES = VisitRules(min_visit_s=60, min_away_s=120, dwell_s=600)
# Side by side, overlapping, and one across the date line.
FENCES = (
    Circle(0.0, 179.999, 150.0),
    Circle(0.0, 179.9995, 300.0),
    Polygon((((-0.002, 179.998), (-0.002, -179.996), (0.002, -179.996), (0.002, 179.998)),)),
)
INDEX = FenceIndex(FENCES, margin_m=40)


def place(lat: list[float], lon: list[float], vehicle: list[int], t: list[int]) -> Track:
    unknown, none = np.full(len(t), np.nan), np.full(len(t), -1)
    return Track(
        vehicle, t, lat, lon, lat, lon, np.zeros(len(t), bool), unknown, unknown, none, none, none * 0
    )


def life(seed: int, vehicles: int) -> Track:
    rng = random.Random(seed)
    rows = []
    for vehicle in range(vehicles):
        t, east = rng.randrange(100) * SECOND, -0.00413
        for _ in range(rng.randrange(60)):
            t += rng.choice([10, 30, 60, 100, 400]) * SECOND
            east += rng.choice([0, 0, 0.0003, -0.0003, 0.001, -0.001, 0.002])
            rows.append((rng.choice([0.0, 0.0, 0.001]), float(wrap_deg(180 + east)), vehicle, t))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    return place(*columns)


def visits_by_hand(track: Track, fence: int) -> list[tuple[int, int, int, int | None]]:
    """(vehicle, entered, last, left) of what is a visit, by a state a vehicle."""
    found = []
    for vehicle in sorted(set(track.vehicle.tolist())):
        spans: list[list[int | None]] = []
        for row in np.flatnonzero(track.vehicle == vehicle):
            t = int(track.fixed_at_us[row])
            state = where(float(track.lat[row]), float(track.lon[row]), fence)
            is_in = bool(spans) and spans[-1][2] is None
            if is_in and state == "out":
                spans[-1][2] = t
            elif is_in:
                spans[-1][1] = t
            elif state == "in":
                left = spans[-1][2] if spans else None
                if left is not None and t - left < RULES.min_away_s * SECOND:
                    spans[-1][1:] = [t, None]
                else:
                    spans.append([t, t, None])
        found += [(vehicle, *span) for span in spans if span[1] - span[0] >= RULES.min_visit_s * SECOND]
    return found


def where(lat: float, lon: float, at: int) -> str:
    fence = FENCES[at]
    if isinstance(fence, Circle):
        apart = distance_m(fence.lat, fence.lon, lat, lon)
        return "in" if apart <= fence.radius_m else "near" if apart <= fence.radius_m + 40 else "out"
    # The polygon is a rectangle from 179.998 to -179.996.
    east, north = lon % 360 - 180, lat
    beside = max(-0.002 - east, east - 0.004, 0.0) * 111_195.08
    above = max(abs(north) - 0.002, 0.0) * 111_195.08
    apart = math.hypot(beside, above)
    return "in" if apart == 0 else "near" if apart <= 40 else "out"


def follow(track: Track, cuts: list[int]) -> tuple[Visits, Events, Visits]:
    tracker = VisitTracker(INDEX, RULES)
    order = np.argsort(track.fixed_at_us, kind="stable")
    pending, over, events = Visits.empty(), [], []
    edges = [0, *sorted(min(cut, len(track)) for cut in cuts), len(track)]
    for a, b in pairwise(edges):
        rows = track.take(order[a:b])
        step = tracker.advance(pending, rows.take(np.lexsort((rows.fixed_at_us, rows.vehicle))))
        pending = step.pending
        over.append(step.over)
        events.append(step.events)
    return Visits.concat(over), Events.concat(events), pending


@many
@given(st.builds(life, st.integers(0, 2**32), st.integers(1, 3)), st.lists(st.integers(0, 180), max_size=12))
def test_visits_and_events_are_those_of_the_interpreter_in_any_split(track: Track, cuts: list[int]) -> None:
    over, events, pending = follow(track, cuts)
    told = sorted(zip(*(column.tolist() for column in events.columns().values()), strict=True))
    assert len(told) == len(set(told))
    wanted = []
    for fence in range(len(FENCES)):
        for vehicle, entered, last, left in visits_by_hand(track, fence):
            newest = int(track.fixed_at_us[track.vehicle == vehicle].max())
            wanted.append((vehicle, fence, entered, int(Crossing.ENTRY), entered))
            if last - entered >= RULES.dwell_s * SECOND:
                at = entered + int(RULES.dwell_s * SECOND)
                wanted.append((vehicle, fence, at, int(Crossing.DWELL), entered))
            if left is not None and newest - left >= RULES.min_away_s * SECOND:
                wanted.append((vehicle, fence, left, int(Crossing.EXIT), entered))
    assert told == sorted(wanted)
    exits = {(v, f, e) for v, f, _, kind, e in wanted if kind == Crossing.EXIT}
    assert (
        set(zip(over.vehicle.tolist(), over.fence.tolist(), over.entered_us.tolist(), strict=True)) == exits
    )
    whole = follow(track, [])
    for name, values in pending.columns().items():
        np.testing.assert_array_equal(values, getattr(whole[2], name), err_msg=name)


def winding(lat: float, lon: float, ring: list[tuple[float, float]]) -> bool:
    """Whether the directions to the corners go round: the sum of the angles, not crossings."""
    turned = 0.0
    for (a_lat, a_lon), (b_lat, b_lon) in zip(ring, ring[1:] + ring[:1], strict=True):
        a = math.atan2(a_lat - lat, float(wrap_deg(a_lon - lon)))
        b = math.atan2(b_lat - lat, float(wrap_deg(b_lon - lon)))
        turned += (b - a + math.pi) % (2 * math.pi) - math.pi
    return abs(turned) > math.pi


@settings(many, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([10.0, 179.95, -179.98]), st.sampled_from([0.01, 0.2, 8.0]))
def test_many_fences_hold_what_slow_geometry_says(seed: int, lon: float, size: float) -> None:
    rng = random.Random(seed)
    fences, rings = [], []
    for _ in range(20):
        middle = (50 + rng.uniform(-size, size), float(wrap_deg(lon + rng.uniform(-size, size))))
        # A star about its middle never crosses itself.
        corners = sorted(rng.uniform(0, 2 * math.pi) for _ in range(9))
        star = [(a, rng.uniform(0.2, 0.5) * size) for a in corners]
        outer = [(middle[0] + r * math.sin(a), float(wrap_deg(middle[1] + r * math.cos(a)))) for a, r in star]
        hole = [
            (middle[0] + 0.1 * size * y, float(wrap_deg(middle[1] + 0.1 * size * x)))
            for x, y in ((0, 1), (1, -1), (-1, -1))
        ]
        rings.append((outer, hole))
        fences.append(Polygon((tuple(outer), tuple(hole))))
        fences.append(Circle(*middle, size * 20_000))
    lats = [50 + rng.uniform(-1.5, 1.5) * size for _ in range(80)]
    lons = [float(wrap_deg(lon + rng.uniform(-1.5, 1.5) * size)) for _ in range(80)]
    near = FenceIndex(fences, margin_m=0).locate(np.array(lats), np.array(lons))
    ours = set(zip(near.row[near.inside].tolist(), near.fence[near.inside].tolist(), strict=True))
    wanted = set()
    for row, (a, b) in enumerate(zip(lats, lons, strict=True)):
        for at, fence in enumerate(fences):
            if isinstance(fence, Circle):
                inside = distance_m(a, b, fence.lat, fence.lon) <= fence.radius_m
            else:
                inside = winding(a, b, rings[at // 2][0]) != winding(a, b, rings[at // 2][1])
            if inside:
                wanted.add((row, at))
    assert ours == wanted
