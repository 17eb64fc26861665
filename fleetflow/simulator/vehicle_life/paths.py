"""Ways between real sites, as long as a trip wants, and the land that they lead over.

A way is a line of corners (WGS 84 degrees) with the kilometres from its beginning to each. Where a trip is longer than
the way between two sites, the vehicle goes round by a third place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, radians, sqrt
from random import Random

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.crew import Vehicle
from fleetflow.simulator.geo import EARTH_KM, Point, Route, bearing_deg, distance_km, offset
from fleetflow.simulator.network import ROAD_REACH_KM, Network, Site

Floats = npt.NDArray[np.float64]
STRAIGHTEST = 0.96
CROOKEDEST = 0.5


@dataclass(frozen=True)
class Path:
    """A way from one site to another."""

    origin: Site
    target: Site
    lat: Floats
    lon: Floats
    km: Floats

    @property
    def length_km(self) -> float:
        """The whole way."""
        return float(self.km[-1])

    def at(self, km: Floats) -> tuple[Floats, Floats]:
        """Return latitude and longitude after so many kilometres."""
        return np.interp(km, self.km, self.lat), np.interp(km, self.km, self.lon)

    def heading(self, km: Floats) -> Floats:
        """Return the course over ground there, 0 <= degrees < 360."""
        last = len(self.km) - 2
        corner = np.clip(np.searchsorted(self.km, km, side="right") - 1, 0, last)
        north = self.lat[corner + 1] - self.lat[corner]
        east = (self.lon[corner + 1] - self.lon[corner]) * np.cos(np.radians(self.lat[corner]))
        return np.asarray(np.degrees(np.arctan2(east, north)) % 360.0)


class Surroundings:
    """Where a vehicle may go: the sites that roads join to its home; vans keep to their own city."""

    def __init__(self, network: Network, vehicle: Vehicle) -> None:
        self.home = network.sites[network.hubs[vehicle.city]]
        home = Point(CITIES[vehicle.city].lat, CITIES[vehicle.city].lon)
        cities = {vehicle.city}
        if vehicle.kind.name != "van":
            cities |= {network.sites[hub].city for hub in network.road_hubs[vehicle.city]}
        self.sites = [
            site
            for site in network.sites
            if site.city in cities and distance_km(home, site.point) <= ROAD_REACH_KM
        ]

    def go(self, rng: Random, origin: Site, km: float, *, homewards: bool) -> Path:
        """Choose a site that is well reached by a way of about so many kilometres, and the way."""
        near = [(distance_km(origin.point, site.point), site) for site in self.sites if site is not origin]
        fit = [site for direct, site in near if CROOKEDEST * km <= direct <= STRAIGHTEST * km]
        if not fit:
            fit = [site for direct, site in near if 0.2 * km <= direct <= STRAIGHTEST * km]
        if not fit:  # round and back
            fit = [origin]
        nearest_home = min(fit, key=lambda site: distance_km(site.point, self.home.point))
        target = nearest_home if homewards else rng.choice(fit)
        return _joined(origin, target, [*_ways(rng, origin.point, target.point, km)])


def height_m(lat: Floats, lon: Floats) -> Floats:
    """Return the height above the sea of rolling land with slopes up to some 3 %."""
    return 190.0 + 80.0 * np.sin(37.0 * lat) + 60.0 * np.cos(23.0 * lon + 11.0 * lat)


def _ways(rng: Random, a: Point, b: Point, km: float) -> Sequence[Route]:
    direct = distance_km(a, b)
    half = max(0.0, (km / 2) ** 2 - (direct / 2) ** 2)
    aside = sqrt(half)
    middle = Point((a.lat + b.lat) / 2, (a.lon + b.lon) / 2)
    course = bearing_deg(a, b) if direct > 0.01 else rng.uniform(0, 360)
    via = offset(middle, course + rng.choice((-90, 90)), aside)
    bends = [(rng.uniform(-0.6, 0.6), 1 + rng.randrange(4)) for _ in range(2)]
    return [Route(a, via, *bends[0], segment_km=1.5), Route(via, b, *bends[1], segment_km=1.5)]


def _joined(origin: Site, target: Site, ways: Sequence[Route]) -> Path:
    corners = [way.waypoint(index) for way in ways for index in range(way.segments + 1)]
    lat = np.array([corner.lat for corner in corners])
    lon = np.array([corner.lon for corner in corners])
    north = np.radians(np.diff(lat))
    east = np.radians(np.diff(lon)) * np.cos(np.radians((lat[1:] + lat[:-1]) / 2))
    steps = EARTH_KM * np.hypot(north, east)
    moves = np.concatenate([[True], steps > 1e-6])
    return Path(origin, target, lat[moves], lon[moves], np.concatenate([[0.0], np.cumsum(steps)])[moves])


def metres_to_degrees(metres: Floats, lat: float) -> tuple[float, float]:
    """Return the degrees of latitude and longitude of a metre at a latitude."""
    one = 180.0 / (np.pi * EARTH_KM * 1000.0)
    return one, one / cos(radians(lat))
