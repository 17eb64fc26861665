"""Fences that are refused, places in and out of them, and the events of visits, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from tracks_made import NOON, SECOND, M, line

from domain.tracks import (
    Circle,
    Crossing,
    Fence,
    FenceError,
    FenceIndex,
    Fixes,
    Polygon,
    Visits,
    VisitTracker,
    clean,
    event_id,
    keep_names,
)
from domain.tracks.visits import STILL_IN

SQUARE = ((50.0, 10.0), (50.0, 10.1), (50.1, 10.1), (50.1, 10.0))
HOLE = ((50.04, 10.04), (50.04, 10.06), (50.06, 10.06), (50.06, 10.04), (50.04, 10.04))


def inside(fence: Fence, *places: tuple[float, float]) -> list[bool]:
    lat, lon = np.array(places).T
    near = FenceIndex([Circle(0, 0, 10), fence], margin_m=0).locate(lat, lon)
    return [bool(((near.row == row) & (near.fence == 1) & near.inside).any()) for row in range(len(lat))]


def test_a_circle_is_metres_on_the_ground_wherever_it_is() -> None:
    for lat in (0.0, 52.0, -70.0):
        east = M / np.cos(np.radians(lat))
        circle = Circle(lat, 179.9999, 500)
        places = [(lat + 499 * M, 179.9999), (lat + 501 * M, 179.9999)]
        places += [(lat, 179.9999 + metres * east - 360) for metres in (498, 502)]
        assert inside(circle, *places) == [True, False, True, False]


def test_a_polygon_has_holes_and_corners_in_either_direction() -> None:
    places = [(50.05, 10.05), (50.02, 10.02), (50.2, 10.05), (50.05, 9.99)]
    for rings in ((SQUARE, HOLE), (SQUARE[::-1], HOLE), (HOLE, SQUARE)):
        assert inside(Polygon(rings), *places) == [False, True, False, False]


def test_a_polygon_over_the_date_line() -> None:
    fiji = Polygon((((-18, 177), (-18, -179), (-16, -179), (-16, 177)),))
    places = [(-17, 178), (-17, 180), (-17, -180), (-17, -179.5), (-17, -178), (-17, 0), (-17, 176.9)]
    assert inside(fiji, *places) == [True, True, True, True, False, False, False]


def test_a_fence_as_large_as_a_country_is_found_too() -> None:
    country = Polygon((((40, -10), (40, 30), (60, 30), (60, -10)),))
    assert inside(country, (50, 10), (61, 10), (50, 31)) == [True, False, False]


@pytest.mark.parametrize(
    ("fence", "says"),
    [
        (Circle(84.9, 0, 50_000), "beyond 85"),
        (Circle(91, 0, 50), "not a place"),
        (Circle(0, float("nan"), 50), "not a place"),
        (Circle(0, 0, 0), "radius_m"),
        (Circle(0, 0, float("inf")), "radius_m"),
        (Polygon(()), "no ring"),
        (Polygon((((0, 0), (1, 1)),)), "2 corners"),
        (Polygon((((0, 0), (1, 1), (0, 0)),)), "2 corners"),
        (Polygon((((0, 0), (1, 1), (2, 2)),)), "no area"),
        (Polygon((((80, 0), (80, 120), (80, -120)),)), "pole"),
        (Polygon((((80, 0), (86, 10), (80, 10)),)), "beyond 85"),
        (Polygon((((0, -100), (0, 0), (0, 100), (1, 100), (1, 0), (1, -100)),)), "wide"),
    ],
)
def test_what_is_no_fence_is_refused_with_its_position(fence: Fence, says: str) -> None:
    with pytest.raises(FenceError, match=rf"fence 1: .*{says}"):
        FenceIndex([Circle(0, 0, 10), fence])


def test_no_fence_and_no_fix_are_fine() -> None:
    assert len(FenceIndex([]).locate(np.array([1.0]), np.array([1.0]))) == 0
    assert len(FenceIndex([Circle(0, 0, 10)]).locate(np.empty(0), np.empty(0))) == 0


SITE = VisitTracker(FenceIndex([Circle(52.0, 13.0, 300)], margin_m=50))


def events(fixes: Fixes) -> list[tuple[str, int]]:
    """Kind and second of each event."""
    told = SITE.advance(Visits.empty(), clean(fixes).track).events
    return [
        (Crossing(kind).name, (at - NOON) // SECOND)
        for kind, at in zip(told.kind.tolist(), told.at_us.tolist(), strict=True)
    ]


def test_a_visit_raises_entry_dwell_and_exit_once() -> None:
    seconds = np.arange(0, 4200, 60.0)
    metres = np.where(seconds < 600, 2000, np.where(seconds < 3000, 100, 2000))
    assert events(line(seconds, metres, speed_kmh=20.0)) == [("ENTRY", 600), ("DWELL", 2400), ("EXIT", 3000)]


def test_around_the_border_nothing_flaps() -> None:
    seconds = np.arange(0, 1200, 30.0)
    metres = np.where(seconds < 300, 2000, np.where(seconds % 60 == 0, 290, 340))
    assert events(line(seconds, metres, speed_kmh=20.0)) == [("ENTRY", 300)]


def test_driving_by_is_no_visit_and_a_step_out_no_exit() -> None:
    seconds = np.arange(0, 1200, 30.0)
    by = np.where((seconds >= 300) & (seconds < 360), 100, 1500)
    assert events(line(seconds, by, speed_kmh=20.0)) == []
    out = np.where(seconds < 300, 1500, np.where((seconds >= 600) & (seconds < 690), 500, 100))
    assert events(line(seconds, out, speed_kmh=20.0)) == [("ENTRY", 300)]


def test_an_event_keeps_its_name_when_late_fixes_move_its_time() -> None:
    raised = Visits([0, 0, 1], [0, 0, 0], [100, 900, 100], [200, 950, 200], [210, STILL_IN, 210], [7, 1, 7])
    anew = Visits(
        [0, 0, 0, 1], [0, 0, 0, 0], [90, 300, 905, 300], [205, 400, 990, 400], [210, 410, 1000, 410], [0] * 4
    )
    assert keep_names(anew, raised).tolist() == [100, 300, 900, 300]
    names = {event_id("VEH1", "SITE1", 100, kind) for kind in Crossing}
    assert len(names) == 3
    assert event_id("VEH1", "SITE1", 100, Crossing.ENTRY) == "7bd0a5d9-bee3-5183-9f70-69cfd1a7dbc6"
