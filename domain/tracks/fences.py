"""Geofences: circles and polygons with holes, refused if they make no sense, and a grid that finds them.

Edges of polygons are straight in degrees (as on a map of longitude and latitude). A polygon may cross the date line;
nothing may reach beyond 85 degrees, where degrees of longitude mean little, or be half the world wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, cos, degrees, isfinite, radians, sin

import numpy as np

from domain.tracks.geo import EARTH_M, M_PER_DEGREE, haversine_m, wrap_deg
from domain.tracks.table import Flags, Floats, Ints, Table

MAX_LAT = 85.0
MAX_WIDTH_DEG = 180.0
CELL_DEG = 0.05
CELLS_A_ROW = round(360 / CELL_DEG)
# A fence over more cells than this is looked at for every fix instead.
MANY_CELLS = 4096
# Pairs of fix and edge that are at work at once: some 100 MB.
EDGES_AT_ONCE = 2_000_000


class FenceError(ValueError):
    """A fence whose inside cannot be told."""


@dataclass(frozen=True)
class Circle:
    """All that is within `radius_m` of a place, by the great circle."""

    lat: float
    lon: float
    radius_m: float


@dataclass(frozen=True)
class Polygon:
    """Rings of (lat, lon) in degrees, closed or not; inside is what an odd number of rings surrounds.

    So a ring in a ring is a hole, in any direction of travel, and rings side by side are parts.
    """

    rings: tuple[tuple[tuple[float, float], ...], ...]


Fence = Circle | Polygon


@dataclass(frozen=True)
class Near(Table):
    """Pairs of a fix (its row) and a fence (its position) that are inside, or outside by at most the margin."""

    row: Ints
    fence: Ints
    inside: Flags


@dataclass(frozen=True)
class _Box:
    """Where a fence and its margin lie; longitudes as distances from `lon`."""

    south: float
    north: float
    lon: float
    half_width: float


@dataclass(frozen=True)
class _Shape:
    """A fence ready to be asked: a circle, or edges whose longitudes count from `origin_lon`."""

    box: _Box
    circle: Circle | None
    origin_lon: float
    edges: Floats


class FenceIndex:
    """Many fences, found by the cell of a grid of 0.05 degrees that a fix is in."""

    def __init__(self, fences: Sequence[Fence], margin_m: float = 50.0) -> None:
        """Prepare the fences; `margin_m` is how far outside a fix is still reported, as near.

        Raises:
            FenceError: a fence has no inside, reaches beyond 85 degrees, surrounds a pole, or is too wide; named by
                its position.
        """
        self.margin_m = margin_m
        self._shapes = [_shape(at, fence, margin_m) for at, fence in enumerate(fences)]
        self._boxes = np.array(
            [[s.box.south, s.box.north, s.box.lon, s.box.half_width] for s in self._shapes]
        ).reshape(-1, 4)
        self._is_circle = np.array([s.circle is not None for s in self._shapes], np.bool_)
        self._circles = np.array(
            [[s.circle.lat, s.circle.lon, s.circle.radius_m] if s.circle else [0.0] * 3 for s in self._shapes]
        ).reshape(-1, 3)
        self._edge_count = np.array([len(s.edges) for s in self._shapes], np.int64)
        self._edge_start = np.cumsum(self._edge_count) - self._edge_count
        self._edges = np.concatenate([np.empty((0, 4)), *(s.edges for s in self._shapes)])
        self._origin = np.array([s.origin_lon for s in self._shapes])
        self._fill_grid()

    def __len__(self) -> int:
        """The number of fences."""
        return len(self._shapes)

    def locate(self, lat: Floats, lon: Floats) -> Near:
        """Return the pairs of fix and fence that are inside or near, sorted by fix, then fence."""
        row, fence = self._candidates(lat, lon)
        south, north, middle, half = self._boxes[fence].T
        at, beside = lat[row], np.abs(wrap_deg(lon[row] - middle))
        boxed = (at >= south) & (at <= north) & (beside <= half)
        row, fence = row[boxed], fence[boxed]
        inside, near = np.zeros(len(row), np.bool_), np.zeros(len(row), np.bool_)
        rounds = np.flatnonzero(self._is_circle[fence])
        centre_lat, centre_lon, radius = self._circles[fence[rounds]].T
        metres = haversine_m(centre_lat, centre_lon, lat[row[rounds]], lon[row[rounds]])
        inside[rounds], near[rounds] = metres <= radius, metres <= radius + self.margin_m
        angular = np.flatnonzero(~self._is_circle[fence])
        for some in self._in_portions(angular, fence):
            inside[some], metres = self._ask_edges(lat[row[some]], lon[row[some]], fence[some])
            near[some] = inside[some] | (metres <= self.margin_m)
        found = np.flatnonzero(inside | near)
        found = found[np.lexsort((fence[found], row[found]))]
        return Near(row[found], fence[found], inside[found])

    def _fill_grid(self) -> None:
        cells, owners, wide = [], [], []
        for at, shape in enumerate(self._shapes):
            rows, columns = _cells_of(shape.box)
            if len(rows) * len(columns) > MANY_CELLS:
                wide.append(at)
                continue
            cells.append((rows[:, None] * CELLS_A_ROW + columns[None, :]).ravel())
            owners.append(np.full(len(cells[-1]), at))
        cell = np.concatenate([np.empty(0, np.int64), *cells])
        owner = np.concatenate([np.empty(0, np.int64), *owners])
        by_cell = np.argsort(cell, kind="stable")
        self._cells, self._first, self._count = np.unique(
            cell[by_cell], return_index=True, return_counts=True
        )
        self._owners, self._wide = owner[by_cell], wide

    def _candidates(self, lat: Floats, lon: Floats) -> tuple[Ints, Ints]:
        key = np.floor((lat + 90) / CELL_DEG).astype(np.int64) * CELLS_A_ROW
        key += np.floor((lon + 180) / CELL_DEG).astype(np.int64) % CELLS_A_ROW
        rows, fences = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        if len(self._cells):
            at = np.minimum(np.searchsorted(self._cells, key), len(self._cells) - 1)
            hit = np.flatnonzero(self._cells[at] == key)
            count, first = self._count[at[hit]], self._first[at[hit]]
            nth = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            rows.append(np.repeat(hit, count))
            fences.append(self._owners[np.repeat(first, count) + nth])
        for fence in self._wide:
            south, north, middle, half = self._boxes[fence]
            here = (lat >= south) & (lat <= north) & (np.abs(wrap_deg(lon - middle)) <= half)
            rows.append(np.flatnonzero(here))
            fences.append(np.full(len(rows[-1]), fence))
        return np.concatenate(rows), np.concatenate(fences)

    def _in_portions(self, pairs: Ints, fence: Ints) -> list[Ints]:
        work = np.cumsum(self._edge_count[fence[pairs]])
        if not len(work):
            return []
        return np.split(pairs, np.flatnonzero(np.diff(work // EDGES_AT_ONCE)) + 1)

    def _ask_edges(self, lat: Floats, lon: Floats, fence: Ints) -> tuple[Flags, Floats]:
        """For each pair: inside by the even-odd rule, and the metres to the nearest edge (on a local plane)."""
        count = self._edge_count[fence]
        first = np.cumsum(count) - count
        nth = np.arange(count.sum()) - np.repeat(first, count)
        edges = self._edges[np.repeat(self._edge_start[fence], count) + nth]
        north = np.repeat(lat, count)
        east = np.repeat(wrap_deg(lon - self._origin[fence]), count)
        lat_a, lon_a, lat_b, lon_b = edges.T
        spans = (lat_a > north) != (lat_b > north)
        rise = np.where(spans, lat_b - lat_a, 1.0)
        crossed = spans & (east < (lon_b - lon_a) * (north - lat_a) / rise + lon_a)
        inside = np.add.reduceat(crossed.astype(np.int64), first) % 2 == 1
        shrink = np.cos(np.radians(north))
        a_x, a_y = (lon_a - east) * shrink, lat_a - north
        b_x, b_y = (lon_b - lon_a) * shrink, lat_b - lat_a
        share = np.clip(-(a_x * b_x + a_y * b_y) / np.maximum(b_x**2 + b_y**2, 1e-30), 0, 1)
        metres = M_PER_DEGREE * np.hypot(a_x + share * b_x, a_y + share * b_y)
        return inside, np.minimum.reduceat(metres, first)


def _cells_of(box: _Box) -> tuple[Ints, Ints]:
    rows = np.arange(int((box.south + 90) // CELL_DEG), int((box.north + 90) // CELL_DEG) + 1)
    west, east = box.lon - box.half_width, box.lon + box.half_width
    columns = np.arange(int((west + 180) // CELL_DEG), int((east + 180) // CELL_DEG) + 1)
    return rows, np.unique(columns % CELLS_A_ROW)


def _shape(at: int, fence: Fence, margin_m: float) -> _Shape:
    try:
        shape = _round(fence, margin_m) if isinstance(fence, Circle) else _angular(fence, margin_m)
        if max(abs(shape.box.south), abs(shape.box.north)) > MAX_LAT:
            raise FenceError(f"it reaches beyond {MAX_LAT:g} degrees of latitude")
    except FenceError as error:
        raise FenceError(f"fence {at}: {error}") from None
    return shape


def _round(circle: Circle, margin_m: float) -> _Shape:
    _check_place(circle.lat, circle.lon)
    if not (isfinite(circle.radius_m) and circle.radius_m > 0):
        raise FenceError(f"radius_m is {circle.radius_m}, expected more than 0")
    angle = (circle.radius_m + margin_m) / EARTH_M
    high = degrees(angle)
    if abs(circle.lat) + high > MAX_LAT:
        raise FenceError(f"it reaches beyond {MAX_LAT:g} degrees of latitude")
    # A hair wider than the circle, for rounding.
    wide = degrees(asin(min(1.0, sin(angle) / cos(radians(circle.lat))))) + 1e-9
    box = _Box(circle.lat - high - 1e-9, circle.lat + high + 1e-9, circle.lon, wide)
    return _Shape(box, circle, 0.0, np.empty((0, 4)))


def _angular(polygon: Polygon, margin_m: float) -> _Shape:
    if not polygon.rings:
        raise FenceError("it has no ring")
    for lat, lon in (place for ring in polygon.rings for place in ring):
        _check_place(lat, lon)
    origin = polygon.rings[0][0][1] if polygon.rings[0] else 0.0
    edges = np.concatenate([_ring_edges(ring, origin) for ring in polygon.rings])
    north, south = float(edges[:, 0].max()), float(edges[:, 0].min())
    west, east = float(edges[:, 1].min()), float(edges[:, 1].max())
    if east - west >= MAX_WIDTH_DEG:
        raise FenceError(f"it is {east - west:g} degrees wide, expected less than {MAX_WIDTH_DEG:g}")
    high = margin_m / M_PER_DEGREE * 1.01
    wide = high / cos(radians(min(MAX_LAT, max(abs(north), abs(south)) + high)))
    middle = float(wrap_deg(origin + (east + west) / 2))
    box = _Box(south - high, north + high, middle, (east - west) / 2 + wide)
    # Longitudes count from the middle, so that no fix near the fence is on the other side of the world.
    edges[:, [1, 3]] -= (east + west) / 2
    return _Shape(box, None, middle, edges)


def _ring_edges(ring: tuple[tuple[float, float], ...], origin: float) -> Floats:
    """Return (lat, lon, lat, lon) of each edge, with longitudes that run on over the date line."""
    places = np.array(ring, np.float64).reshape(-1, 2)
    if len(places) > 1 and np.all(places[0] == places[-1]):
        places = places[:-1]
    if len(places) < 3:
        raise FenceError(f"a ring has {len(places)} corners, expected 3 or more")
    lat = np.append(places[:, 0], places[0, 0])
    steps = wrap_deg(np.diff(np.append(places[:, 1], places[0, 1])))
    if abs(steps.sum()) > 180:
        raise FenceError("a ring surrounds a pole")
    lon = np.append(0.0, np.cumsum(steps)) + float(wrap_deg(places[0, 1] - origin))
    lon[-1] = lon[0]
    if abs(np.sum(lon[:-1] * lat[1:] - lon[1:] * lat[:-1])) < 1e-14:
        raise FenceError("a ring has no area")
    return np.column_stack((lat[:-1], lon[:-1], lat[1:], lon[1:]))


def _check_place(lat: float, lon: float) -> None:
    if not (abs(lat) <= 90 and abs(lon) <= 180):
        raise FenceError(f"({lat}, {lon}) is not a place")
