"""The gps stream: vehicles under way between real places, at the speed of road, class and moment.

Between two fixes a vehicle covers mean speed times elapsed time along its route, so that position, speed,
heading, odometer and fuel agree. Vehicles whose driver is off shift stand still and report once in a while.
"""

from __future__ import annotations

from math import cos, radians
from random import Random

from fleetflow.simulator.crew import Crew, Vehicle
from fleetflow.simulator.geo import KM_PER_DEGREE, Point, Route, bearing_deg
from fleetflow.simulator.network import HOUR_MS, Clock, Network
from fleetflow.simulator.plan import GPS, Faults
from fleetflow.simulator.spoil import Spoiler
from fleetflow.simulator.wire import PLAIN, Event, EventIds, Mark

ACCELERATION_KMH_S = 3.0
BRAKING_KMH_S = 6.0
COMFORT_KMH_S = 4.0
TOWN_KM = 6.0
PARKED_EVERY = 12
ROSTER_EVERY_MS = 300_000
LATE = Mark(flaw="late")


class Mover:
    """A vehicle on the map. Kilometres, km/h, degrees, percent, epoch milliseconds."""

    __slots__ = (
        "driver",
        "dwell_until",
        "extras",
        "fuel",
        "fuel_per_km",
        "head",
        "heading",
        "ignition",
        "index",
        "lag",
        "lat",
        "lat_per_km",
        "left_km",
        "lon",
        "lon_per_km",
        "odometer",
        "place",
        "route",
        "speed",
        "start_odometer",
        "stood_at",
        "t",
        "target",
        "vehicle",
    )

    def __init__(
        self, vehicle: Vehicle, head: str, place: int, point: Point, rng: Random, at_ms: int
    ) -> None:
        self.vehicle, self.head, self.place = vehicle, head, place
        self.lat, self.lon = point
        self.driver: int | None = None
        self.route: Route | None = None
        self.index = 0
        self.left_km = self.lat_per_km = self.lon_per_km = 0.0
        self.speed = self.target = 0.0
        self.heading = rng.random() * 359.9
        # Nobody writes services of these: they have not come as far as the first.
        self.odometer = self.start_odometer = rng.uniform(2_000, 24_000)
        self.fuel = rng.uniform(35, 96)
        self.fuel_per_km = vehicle.kind.consumption / vehicle.kind.tank_l
        # Only the tractors' devices report height and accuracy.
        full = vehicle.kind.name == "tractor"
        self.extras = (
            f'"altitude_m":{rng.randrange(5, 420)},"accuracy_m":{rng.randrange(3, 12)},' if full else ""
        )
        self.lag = 80 + rng.randrange(900)
        self.ignition, self.dwell_until = False, at_ms
        self.stood_at, self.t = point, at_ms


class GpsStream:
    """Fixes of the whole fleet in turn; the same calls give the same fixes."""

    def __init__(
        self,
        network: Network,
        crew: Crew,
        clock: Clock,
        rng: Random,
        ids: EventIds,
        faults: Faults,
        begin_ms: int,
        without: frozenset[int] = frozenset(),
    ) -> None:
        """Put every vehicle, but those `without`, on the map: under way if a driver is on shift, else parked."""
        self._network, self._crew, self._clock, self._rng, self._ids = network, crew, clock, rng, ids
        self._spoiler = Spoiler()
        self._begin_ms = begin_ms
        self._invalid_below = faults.invalid
        self._odd_below = faults.invalid + faults.late
        self.movers = [
            self._place(vehicle, begin_ms) for vehicle in crew.vehicles if vehicle.number not in without
        ]
        self._roster_ms = begin_ms
        self._moving: list[Mover] = []
        self._parked: list[Mover] = []
        self._call_roster(begin_ms)
        for mover in self._moving:
            self._set_out(mover, under_way=True)
        self._turn = self._moving_turn = self._parked_turn = 0

    def fill(self, slots: int, now_ms: int, recorded_ms: int) -> list[Event]:
        """The next `slots` fixes; `now_ms` is the simulated moment, `recorded_ms` that of sending."""
        if now_ms - self._roster_ms >= ROSTER_EVERY_MS:
            self._call_roster(now_ms)
        events: list[Event] = []
        odd, draw = self._odd_below, self._rng.random
        for _ in range(slots):
            mover = self._whose_turn()
            at_ms = now_ms - mover.lag
            self._move(mover, at_ms if at_ms > mover.t else mover.t + 1)
            if odd and (chance := draw()) < odd:
                events.append(self._odd(mover, chance, recorded_ms))
            else:
                line = self._line(mover, recorded_ms, mover.t)
                events.append((GPS, mover.vehicle.vehicle_id, line, PLAIN))
        return events

    def _whose_turn(self) -> Mover:
        self._turn += 1
        if self._parked and (not self._moving or self._turn % PARKED_EVERY == 0):
            self._parked_turn = (self._parked_turn + 1) % len(self._parked)
            return self._parked[self._parked_turn]
        self._moving_turn = (self._moving_turn + 1) % len(self._moving)
        return self._moving[self._moving_turn]

    def _line(self, m: Mover, recorded_ms: int, fixed_ms: int) -> bytes:
        return (
            f'{m.head}"event_id":"{self._ids.next()}","recorded_at":{recorded_ms},"driver_id":'
            f'{self._driver(m)},"fixed_at":{fixed_ms},"lat":{m.lat:.6f},"lon":{m.lon:.6f},"speed_kmh":{m.speed:.1f},'
            f'"heading_deg":{m.heading:.1f},{m.extras}"odometer_km":{m.odometer:.3f},'
            f'"fuel_level_pct":{m.fuel:.1f},"ignition_on":{"true" if m.ignition else "false"}}}'
        ).encode()

    def _driver(self, m: Mover) -> str:
        return "null" if m.driver is None else f'"{self._crew.drivers[m.driver].driver_id}"'

    def _odd(self, m: Mover, chance: float, recorded_ms: int) -> Event:
        """A spoilt line, or a fix from hours ago, when the vehicle still stood where its way began."""
        key = m.vehicle.vehicle_id
        if chance < self._invalid_below:
            feed, rule, line = self._spoiler.spoil(GPS, self._line(m, recorded_ms, m.t))
            return feed, key, line, Mark(rule=rule)
        fixed_ms = self._begin_ms - int((8 + 28 * self._rng.random()) * HOUR_MS)
        line = (
            f'{m.head}"event_id":"{self._ids.next()}","recorded_at":{fixed_ms + 900},"driver_id":null,'
            f'"fixed_at":{fixed_ms},"lat":{m.stood_at[0]:.6f},"lon":{m.stood_at[1]:.6f},"speed_kmh":0.0,'
            f'"heading_deg":{m.heading:.1f},{m.extras}'
            f'"odometer_km":{m.start_odometer:.3f},"fuel_level_pct":97.0,"ignition_on":false}}'
        ).encode()
        return GPS, key, line, LATE

    def _place(self, vehicle: Vehicle, begin_ms: int) -> Mover:
        place = self._network.hubs[vehicle.city]
        head = (
            f'{{"feed":"gps_location","tenant_id":"{self._network.tenant}","schema_version":1,'
            f'"vehicle_id":"{vehicle.vehicle_id}",'
        )
        return Mover(vehicle, head, place, self._network.sites[place].point, self._rng, begin_ms)

    def _call_roster(self, now_ms: int) -> None:
        """See who is on shift. Who is on the way drives on to the next stop, shift or not."""
        self._roster_ms = now_ms
        self._moving, self._parked = [], []
        for mover in self.movers:
            on_shift = next(
                (n for n in mover.vehicle.drivers if self._crew.drivers[n].on_shift(self._clock, now_ms)),
                None,
            )
            if mover.route is None:
                mover.driver = on_shift
            (self._moving if mover.route is not None or on_shift is not None else self._parked).append(mover)

    def _move(self, m: Mover, at_ms: int) -> None:
        """Bring the vehicle to that moment."""
        elapsed_s = (at_ms - m.t) / 1000
        m.t = at_ms
        if m.route is None:
            if m.driver is None or at_ms < m.dwell_until:
                return
            self._set_out(m)
        before = m.speed
        wish = m.target + (self._rng.random() - 0.5) * 3.0
        if m.left_km < 1.0 and m.route is not None and m.index == m.route.segments:
            # v^2 = 2 a s, with v in km/h, a in km/h/s and s in km.
            wish = min(wish, (7_200 * COMFORT_KMH_S * m.left_km) ** 0.5 + 4.0)
        speed = min(before + ACCELERATION_KMH_S * elapsed_s, max(before - BRAKING_KMH_S * elapsed_s, wish))
        m.speed = speed if speed > 0 else 0.0
        self._advance(m, (before + m.speed) * elapsed_s / 7_200)

    def _advance(self, m: Mover, km: float) -> None:
        """Go on along the route; at its end, stop there."""
        left = km
        while left >= m.left_km and m.route is not None:
            left -= m.left_km
            m.lat, m.lon = m.route.waypoint(m.index)
            if m.index >= m.route.segments:
                self._count_km(m, km - left)
                self._stop(m)
                return
            self._next_segment(m)
        m.left_km -= left
        m.lat += left * m.lat_per_km
        m.lon += left * m.lon_per_km
        self._count_km(m, km)

    def _count_km(self, m: Mover, km: float) -> None:
        m.odometer += km
        m.fuel = max(2.0, m.fuel - km * m.fuel_per_km)

    def _next_segment(self, m: Mover) -> None:
        route = m.route
        assert route is not None
        m.index += 1
        lat, lon = route.waypoint(m.index)
        across = cos(radians((lat + m.lat) / 2))
        north, east = lat - m.lat, lon - m.lon
        km = KM_PER_DEGREE * (north * north + (east * across) ** 2) ** 0.5
        m.left_km = km
        m.lat_per_km, m.lon_per_km = (north / km, east / km) if km else (0.0, 0.0)
        m.heading = bearing_deg(Point(m.lat, m.lon), Point(lat, lon))
        kind, done = m.vehicle.kind, route.length_km * m.index / route.segments
        in_town = done < TOWN_KM or route.length_km - done < TOWN_KM
        m.target = (kind.town_kmh if in_town else kind.road_kmh) * (0.82 + 0.18 * self._rng.random())

    def _stop(self, m: Mover) -> None:
        m.route, m.speed, m.ignition, m.left_km = None, 0.0, False, 0.0
        m.dwell_until = m.t + 180_000 + int(self._rng.random() * 1_200_000)

    def _set_out(self, m: Mover, *, under_way: bool = False) -> None:
        """Choose where to go, fill up if the tank would not do, take the first segment (or a later one)."""
        target = self._destination(m)
        a, b = self._network.sites[m.place].point, self._network.sites[target].point
        route = Route(a, b, self._rng.uniform(-1, 1), 1 + self._rng.randrange(4))
        m.lat, m.lon = a
        m.place, m.route, m.index, m.ignition = target, route, 0, True
        if m.fuel < 1.3 * route.length_km * m.fuel_per_km + 6:
            m.fuel = 94.0 + 4.0 * self._rng.random()
        if under_way:
            m.index = self._rng.randrange(route.segments)
            m.lat, m.lon = route.waypoint(m.index)
            self._count_km(m, route.length_km * m.index / route.segments)
        self._next_segment(m)
        if under_way:
            m.speed = m.target

    def _destination(self, m: Mover) -> int:
        """Vans go round their city; trucks and tractors run between the hubs that a road connects."""
        city = self._network.sites[m.place].city
        roads = self._network.road_hubs[city]
        draw = self._rng.random
        if m.vehicle.kind.name != "van" and roads and draw() < 0.8:
            choices = roads
        else:
            choices = self._network.receivers[city] if draw() < 0.75 else self._network.places[city]
        at = int(draw() * len(choices))
        return choices[at] if choices[at] != m.place else choices[at - 1]
