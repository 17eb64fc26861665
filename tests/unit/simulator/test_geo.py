from __future__ import annotations

from itertools import pairwise

import pytest

from fleetflow.simulator.atlas import CITIES, REGIONS
from fleetflow.simulator.geo import Point, Route, bearing_deg, between, distance_km, offset
from fleetflow.simulator.network import Clock, build_network

PARIS, LONDON = Point(48.8566, 2.3522), Point(51.5074, -0.1278)
HOUR_MS = 3_600_000


def test_distances_are_the_known_ones() -> None:
    assert distance_km(PARIS, LONDON) == pytest.approx(343.5, abs=0.5)
    assert distance_km(Point(0, 0), Point(0, 180)) == pytest.approx(20_015, abs=1)
    assert distance_km(PARIS, PARIS) == 0


@pytest.mark.parametrize(("to", "course"), [((1, 0), 0), ((0, 1), 90), ((-1, 0), 180), ((0, -1), 270)])
def test_bearings_go_clockwise_from_north(to: tuple[float, float], course: float) -> None:
    assert bearing_deg(Point(0, 0), Point(*to)) == pytest.approx(course)


@pytest.mark.parametrize("course", [0, 37, 123, 270])
def test_an_offset_comes_back_by_distance_and_bearing(course: float) -> None:
    there = offset(PARIS, course, 120)
    assert distance_km(PARIS, there) == pytest.approx(120)
    assert bearing_deg(PARIS, there) == pytest.approx(course, abs=1e-6)


def test_an_offset_over_the_date_line_stays_a_longitude() -> None:
    assert -180 <= offset(Point(0, 179.9), 90, 50).lon <= 180


def test_half_way_is_as_far_from_both_ends() -> None:
    middle = between(PARIS, LONDON, 0.5)
    assert distance_km(PARIS, middle) == pytest.approx(distance_km(middle, LONDON))


@pytest.mark.parametrize("end", [LONDON, Point(48.9, 2.5), Point(48.86, 2.36)])
def test_a_route_begins_and_ends_where_it_should_and_bends_gently(end: Point) -> None:
    route = Route(PARIS, end, bend=1.0, waves=3)
    corners = [route.waypoint(n) for n in range(route.segments + 1)]
    assert corners[0] == PARIS
    assert corners[-1] == end
    driven = sum(distance_km(a, b) for a, b in pairwise(corners))
    assert route.length_km <= driven <= route.length_km * 1.15


def test_sites_lie_around_their_cities_and_have_ids_of_their_own() -> None:
    network = build_network("acme", 20)
    assert len({site.site_id for site in network.sites}) == len(network.sites) == 23 * len(CITIES)
    for site in network.sites:
        city = CITIES[site.city]
        assert distance_km(site.point, Point(city.lat, city.lon)) < 46
    assert set(network.region_cities) == set(REGIONS)
    assert build_network("acme", 20) == network


@pytest.mark.parametrize(
    ("day", "offset_h"),
    [("2026-03-28", 1), ("2026-03-29", 2), ("2026-10-24", 2), ("2026-10-25", 1)],
)
def test_local_time_follows_the_clock_change(day: str, offset_h: int) -> None:
    from datetime import UTC, datetime

    berlin = next(n for n, city in enumerate(CITIES) if city.code == "BER")
    noon_ms = int(datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC).timestamp() * 1000)
    clock = Clock()
    assert clock.offset_ms(berlin, noon_ms) == offset_h * HOUR_MS
    assert clock.local_ms(berlin, noon_ms) == (12 + offset_h) * HOUR_MS
