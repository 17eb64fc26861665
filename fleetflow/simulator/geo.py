"""Distances, bearings and road-like routes on the sphere. Degrees and kilometres; pure functions."""

from __future__ import annotations

from math import asin, atan2, ceil, cos, degrees, hypot, pi, radians, sin, sqrt
from typing import NamedTuple

EARTH_KM = 6371.0088
KM_PER_DEGREE = pi * EARTH_KM / 180.0
# Up to here a straight line on the chart is the great circle to within a few metres.
SHORT_KM = 100.0


class Point(NamedTuple):
    """A place in WGS 84 degrees."""

    lat: float
    lon: float


def distance_km(a: Point, b: Point) -> float:
    """Great-circle distance (haversine)."""
    lat_a, lat_b = radians(a.lat), radians(b.lat)
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(radians(b.lon - a.lon) / 2) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(half)))


def bearing_deg(a: Point, b: Point) -> float:
    """Initial great-circle course from a to b, 0 <= bearing < 360."""
    lat_a, lat_b, d_lon = radians(a.lat), radians(b.lat), radians(b.lon - a.lon)
    east = sin(d_lon) * cos(lat_b)
    north = cos(lat_a) * sin(lat_b) - sin(lat_a) * cos(lat_b) * cos(d_lon)
    return degrees(atan2(east, north)) % 360.0


def offset(origin: Point, bearing: float, km: float) -> Point:
    """The point `km` away from origin on the given course."""
    lat, course, angle = radians(origin.lat), radians(bearing), km / EARTH_KM
    lat2 = asin(sin(lat) * cos(angle) + cos(lat) * sin(angle) * cos(course))
    d_lon = atan2(sin(course) * sin(angle) * cos(lat), cos(angle) - sin(lat) * sin(lat2))
    return Point(degrees(lat2), (origin.lon + degrees(d_lon) + 540.0) % 360.0 - 180.0)


def between(a: Point, b: Point, share: float) -> Point:
    """The point on the great circle from a to b after `share` (0..1) of the way."""
    angle = distance_km(a, b) / EARTH_KM
    if angle < 1e-9:
        return a
    w_a, w_b = sin((1 - share) * angle) / sin(angle), sin(share * angle) / sin(angle)
    lat_a, lon_a, lat_b, lon_b = radians(a.lat), radians(a.lon), radians(b.lat), radians(b.lon)
    x = w_a * cos(lat_a) * cos(lon_a) + w_b * cos(lat_b) * cos(lon_b)
    y = w_a * cos(lat_a) * sin(lon_a) + w_b * cos(lat_b) * sin(lon_b)
    z = w_a * sin(lat_a) + w_b * sin(lat_b)
    return Point(degrees(atan2(z, hypot(x, y))), degrees(atan2(y, x)))


class Route:
    """A way from a to b: the great circle with gentle bends, cut into short straight segments.

    The bends vanish at both ends. `bend` (-1..1) gives size and side, `waves` how often the road swings.
    """

    __slots__ = ("_amplitude_km", "_is_short", "_side", "_waves", "a", "b", "length_km", "segments")

    def __init__(self, a: Point, b: Point, bend: float, waves: int, segment_km: float = 2.5) -> None:
        self.a, self.b = a, b
        self.length_km = distance_km(a, b)
        self.segments = max(4, ceil(self.length_km / segment_km))
        self._is_short = self.length_km < SHORT_KM and abs(a.lon - b.lon) < 10
        self._amplitude_km = bend * min(6.0, 0.025 * self.length_km)
        course = radians(bearing_deg(a, b) + 90.0)
        self._side = (cos(course) / KM_PER_DEGREE, sin(course) / KM_PER_DEGREE)
        self._waves = waves

    def waypoint(self, index: int) -> Point:
        """The `index`-th corner; 0 is a, `segments` is b."""
        if index <= 0:
            return self.a
        if index >= self.segments:
            return self.b
        share = index / self.segments
        if self._is_short:
            lat, lon = (
                self.a[0] + share * (self.b[0] - self.a[0]),
                self.a[1] + share * (self.b[1] - self.a[1]),
            )
        else:
            lat, lon = between(self.a, self.b, share)
        side_km = self._amplitude_km * sin(pi * share) * sin(pi * self._waves * share)
        north, east = self._side
        return Point(lat + side_km * north, lon + side_km * east / cos(radians(lat)))
