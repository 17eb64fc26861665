"""The network: sites around real cities, customers, carriers, service levels, and who keeps promises.

The map does not depend on the seed: every fleet of a tenant shares it, so a second run meets the sites that
the order database already has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from fleetflow.simulator.atlas import CITIES, DEFAULT_SITE_RADIUS_KM, REGIONS, SITE_RADIUS_KM, City
from fleetflow.simulator.geo import Point, distance_km, offset
from fleetflow.simulator.plan import DEFAULT_TENANT, seeded

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ROAD_REACH_KM = 460.0


@dataclass(frozen=True, slots=True)
class Site:
    """A place where shipments start, change or end; `number` is its index in `Network.sites`."""

    number: int
    site_id: str
    name: str
    kind: str
    city: int
    point: Point


@dataclass(frozen=True, slots=True)
class Carrier:
    """Who carries; `on_time` is the share of promises it keeps on a usual lane."""

    carrier_id: str
    on_time: float
    modes: tuple[str, ...]
    weight: int
    partner: bool


@dataclass(frozen=True, slots=True)
class ServiceLevel:
    """What was sold: due on the n-th day at a local hour of the destination."""

    name: str
    local_hour: int
    days: dict[str, int] = field(hash=False)
    weight: int = 1


CARRIERS = (
    Carrier("own-fleet", 0.953, ("road", "courier"), 9, partner=False),
    Carrier("northway", 0.938, ("road", "courier"), 5, partner=True),
    Carrier("meridian-cargo", 0.906, ("road",), 4, partner=True),
    Carrier("swiftpost", 0.957, ("courier",), 4, partner=True),
    Carrier("railbridge", 0.902, ("rail",), 2, partner=True),
    Carrier("skylane-air", 0.944, ("air",), 3, partner=True),
    Carrier("cargolift", 0.917, ("air",), 2, partner=True),
    Carrier("bluewater-line", 0.881, ("ocean",), 1, partner=True),
)
LEVELS = (
    ServiceLevel("express", 12, {"road": 1, "courier": 1, "air": 2, "rail": 2, "ocean": 8}, 3),
    ServiceLevel("standard", 18, {"road": 2, "courier": 2, "air": 3, "rail": 4, "ocean": 12}, 5),
    ServiceLevel("economy", 20, {"road": 4, "courier": 3, "air": 5, "rail": 5, "ocean": 16}, 2),
)
# How much better or worse than its carrier's usual share a region is; the rest differs by lane.
REGION_EFFECT = {
    "uk-ireland": -0.012,
    "benelux": 0.014,
    "dach": 0.012,
    "france": 0.0,
    "iberia": -0.010,
    "italy": -0.026,
    "nordics": 0.006,
    "east-europe": -0.014,
    "us-east": -0.006,
    "us-central": 0.008,
    "us-west": 0.0,
    "apac": 0.010,
}


class Clock:
    """Local time of the cities in UTC milliseconds; offsets are looked up once per city and day."""

    def __init__(self) -> None:
        self._zones = [ZoneInfo(city.timezone) for city in CITIES]
        self._offsets: dict[tuple[int, int], int] = {}

    def offset_ms(self, city: int, at_ms: int) -> int:
        """Local minus UTC, as at noon UTC of that day: a shift does not jump with the clock change."""
        key = (city, at_ms // DAY_MS)
        known = self._offsets.get(key)
        if known is None:
            noon = datetime.fromtimestamp(key[1] * 86_400 + 43_200, UTC).astimezone(self._zones[city])
            known = self._offsets[key] = int((noon.utcoffset() or timedelta()) / timedelta(milliseconds=1))
        return known

    def local_ms(self, city: int, at_ms: int) -> int:
        """Milliseconds since local midnight."""
        return (at_ms + self.offset_ms(city, at_ms)) % DAY_MS

    def midnight_ms(self, city: int, day: int) -> int:
        """The UTC moment of local midnight that begins the `day`-th day since 1970."""
        return day * DAY_MS - self.offset_ms(city, day * DAY_MS)


@dataclass(frozen=True)
class Network:
    """All sites, and the lists that a draw needs."""

    tenant: str
    sites: tuple[Site, ...]
    customers: tuple[str, ...]
    hubs: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]
    receivers: tuple[tuple[int, ...], ...]

    @property
    def prefix(self) -> str:
        """What ids begin with: the tenant's name, as ids are global keys; nothing for the default one."""
        return "" if self.tenant == DEFAULT_TENANT else f"{self.tenant.upper()}-"

    @cached_property
    def road_hubs(self) -> tuple[tuple[int, ...], ...]:
        """For each city the hubs of other cities that a truck reaches by road within a shift."""
        return tuple(tuple(self._by_road(number)) for number in range(len(CITIES)))

    @cached_property
    def region_cities(self) -> dict[str, tuple[int, ...]]:
        """The cities of each region."""
        return {r: tuple(n for n, city in enumerate(CITIES) if city.region == r) for r in REGIONS}

    def _by_road(self, number: int) -> list[int]:
        here = CITIES[number]
        if here.island:
            return []
        return [
            self.hubs[other]
            for other, city in enumerate(CITIES)
            if other != number
            and city.region == here.region
            and not city.island
            and distance_km(Point(here.lat, here.lon), Point(city.lat, city.lon)) <= ROAD_REACH_KM
        ]


def build_network(tenant: str, receivers_per_city: int) -> Network:
    """Lay out a hub, two depots and `receivers_per_city` customer sites around each city; 240 shippers."""
    prefix = "" if tenant == DEFAULT_TENANT else f"{tenant.upper()}-"
    sites: list[Site] = []
    hubs: list[int] = []
    places: list[tuple[int, ...]] = []
    receivers: list[tuple[int, ...]] = []
    for number in range(len(CITIES)):
        first = len(sites)
        sites.append(_site(first, prefix, "hub", number, 0))
        sites.extend(_site(len(sites) + n, prefix, "depot", number, n + 1) for n in range(2))
        sites.extend(
            _site(len(sites) + n, prefix, "customer", number, n + 1) for n in range(receivers_per_city)
        )
        hubs.append(first)
        places.append(tuple(range(first, first + 3)))
        receivers.append(tuple(range(first + 3, len(sites))))
    shippers = tuple(f"{prefix}CST-{n:04d}" for n in range(1, 241))
    return Network(tenant, tuple(sites), shippers, tuple(hubs), tuple(places), tuple(receivers))


def _site(number: int, prefix: str, kind: str, city_number: int, n: int) -> Site:
    city: City = CITIES[city_number]
    rng = seeded("site", city.code, kind, n)
    reach = SITE_RADIUS_KM.get(city.code, DEFAULT_SITE_RADIUS_KM)
    near, far = {"hub": (3.0, 8.0), "depot": (5.0, 12.0), "customer": (2.0, reach)}[kind]
    bearing = rng.uniform(0, 360) if city.inland is None else city.inland + rng.uniform(-70, 70)
    point = offset(Point(city.lat, city.lon), bearing, rng.uniform(near, far))
    code = {
        "hub": f"HUB-{city.code}",
        "depot": f"DEP-{city.code}-{n}",
        "customer": f"CUS-{city.code}-{n:04d}",
    }[kind]
    name = {
        "hub": f"{city.name} hub",
        "depot": f"{city.name} depot {n}",
        "customer": f"{city.name} dock {n}",
    }[kind]
    return Site(
        number, prefix + code, name, kind, city_number, Point(round(point.lat, 6), round(point.lon, 6))
    )


def on_time_share(carrier: Carrier, level: ServiceLevel, origin: City, destination: City) -> float:
    """The share of promises kept on a lane with this carrier: a trait of the lane, the same in every run."""
    lane = seeded("lane", origin.code, destination.code).uniform(-0.03, 0.025)
    effect = REGION_EFFECT[destination.region] + (-0.012 if level.name == "express" else 0.004)
    return min(0.985, max(0.78, carrier.on_time + effect + lane))
