"""Shipments: what is booked from where to where, what was promised, and the life that is planned for each.

A shipment's `steps` are legal by construction (dbt/seeds/shipment_transition.csv; a test holds them against
it): created, assigned, picked_up, in_transit, out_for_delivery, delivered, with detours over exception and
failed_attempt, or an end in returned or cancelled. Times are UTC epoch milliseconds and grow strictly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random

from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.geo import Point, distance_km
from fleetflow.simulator.network import (
    CARRIERS,
    DAY_MS,
    HOUR_MS,
    LEVELS,
    Carrier,
    Clock,
    Network,
    ServiceLevel,
    on_time_share,
)

MINUTE_MS = 60_000
ENDS = frozenset(("delivered", "returned", "cancelled"))
EXCEPTION_REASONS = (
    "traffic",
    "weather",
    "vehicle_breakdown",
    "missed_connection",
    "customs_hold",
    "capacity",
    "damaged",
)
EXCEPTION_WEIGHTS = (28, 18, 12, 18, 8, 12, 4)
ATTEMPT_REASONS = ("customer_absent", "address_problem", "refused")
ATTEMPT_WEIGHTS = (70, 22, 8)
CURRENCY = {
    "GB": "GBP",
    "CH": "CHF",
    "DK": "DKK",
    "SE": "SEK",
    "NO": "NOK",
    "PL": "PLN",
    "CZ": "CZK",
    "HU": "HUF",
    "US": "USD",
    "JP": "JPY",
    "SG": "SGD",
    "AU": "AUD",
}

Step = tuple[int, str, str | None]
"""When it is planned, the status reached, the reason (failed_attempt and exception)."""


@dataclass(slots=True)
class Assignment:
    """A driver's hold on a shipment; `until_ms` 0 while it lasts."""

    assignment_id: str
    driver: int
    since_ms: int
    until_ms: int = 0


@dataclass(slots=True)
class Shipment:
    """One shipment: its order, its plan, and how far it has come (`position` is the next step)."""

    shipment_id: str
    order_ref: str
    customer_id: str
    carrier: Carrier
    level: ServiceLevel
    mode: str
    origin: int
    destination: int
    pieces: int
    weight_kg: float
    value_minor: int
    currency: str
    created_ms: int
    promised_ms: int
    late: bool
    steps: tuple[Step, ...]
    position: int = 0
    last_ms: int = 0
    sequence: int = 0
    status: str = ""
    assignments: list[Assignment] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether nothing is left of the plan."""
        return self.position >= len(self.steps)

    @property
    def open_assignment(self) -> Assignment | None:
        """The assignment that holds now, if any."""
        if self.assignments and not self.assignments[-1].until_ms:
            return self.assignments[-1]
        return None

    def holder(self, at_ms: int) -> Assignment | None:
        """The assignment of that moment; after the end the last one."""
        for assignment in reversed(self.assignments):
            if assignment.since_ms <= at_ms:
                return assignment
        return None


class Bookings:
    """Draws shipments; the same generator state gives the same ones."""

    def __init__(self, network: Network, clock: Clock, rng: Random, tag: str) -> None:
        self._network, self._clock, self._rng, self._tag = network, clock, rng, tag
        self._shares: dict[tuple[str, str, int, int], float] = {}
        self._lengths: dict[tuple[int, int], float] = {}
        self._booked = 0
        self._land = [_landmass(number) for number in range(len(CITIES))]
        self._levels = [level for level in LEVELS for _ in range(level.weight)]
        self._carriers = {
            mode: [c for c in CARRIERS if mode in c.modes for _ in range(c.weight)]
            for mode in ("road", "courier", "rail", "air", "ocean")
        }

    def due_on(self, day: int) -> Shipment:
        """A shipment promised for the day (days since 1970, local to its destination)."""
        origin, destination, level, mode = self._lane()
        booked_day = day - level.days[mode]
        created = self._clock.midnight_ms(origin, booked_day) + int((7 + 10 * self._rng.random()) * HOUR_MS)
        return self._book(origin, destination, level, mode, created, day)

    def created_at(self, created_ms: int) -> Shipment:
        """A shipment that is booked at that moment."""
        origin, destination, level, mode = self._lane()
        day = (created_ms + self._clock.offset_ms(origin, created_ms)) // DAY_MS + level.days[mode]
        return self._book(origin, destination, level, mode, created_ms, day)

    def _lane(self) -> tuple[int, int, ServiceLevel, str]:
        rng = self._rng
        origin = int(rng.random() * len(CITIES))
        if rng.random() < 0.62:
            near = self._network.region_cities[CITIES[origin].region]
            destination = near[int(rng.random() * len(near))]
        else:
            destination = int(rng.random() * len(CITIES))
        level = self._levels[int(rng.random() * len(self._levels))]
        return origin, destination, level, self._mode(origin, destination, level)

    def _mode(self, origin: int, destination: int, level: ServiceLevel) -> str:
        draw = self._rng.random()
        if self._land[origin] != self._land[destination]:
            return "ocean" if level.name == "economy" and draw < 0.4 else "air"
        length = self._length(origin, destination)
        if length <= 500:
            return "courier" if draw < 0.35 else "road"
        if length <= 1_500:
            return "air" if level.name == "express" else "rail" if draw < 0.25 else "road"
        return "air" if level.name == "express" or draw < 0.4 else "rail"

    def _length(self, origin: int, destination: int) -> float:
        known = self._lengths.get((origin, destination))
        if known is None:
            a, b = CITIES[origin], CITIES[destination]
            known = distance_km(Point(a.lat, a.lon), Point(b.lat, b.lon))
            self._lengths[origin, destination] = known
        return known

    def _share(self, carrier: Carrier, level: ServiceLevel, origin: int, destination: int) -> float:
        key = (carrier.carrier_id, level.name, origin, destination)
        known = self._shares.get(key)
        if known is None:
            known = self._shares[key] = on_time_share(carrier, level, CITIES[origin], CITIES[destination])
        return known

    def _book(
        self, origin: int, destination: int, level: ServiceLevel, mode: str, created: int, day: int
    ) -> Shipment:
        rng, draw = self._rng, self._rng.random
        choices = self._carriers[mode]
        carrier = choices[int(draw() * len(choices))]
        late = draw() > self._share(carrier, level, origin, destination)
        promised = self._clock.midnight_ms(destination, day) + level.local_hour * HOUR_MS
        promised = max(promised, created + 12 * HOUR_MS)
        delivered = (
            self._late(destination, promised) if late else self._in_time(destination, day, created, promised)
        )
        self._booked += 1
        sites, receivers = self._network.places[origin], self._network.receivers[destination]
        shippers = self._network.customers
        pieces = 1 + int(rng.expovariate(0.6))
        country = CITIES[origin].country
        return Shipment(
            f"{self._network.prefix}SHP-{self._tag}-{self._booked:07d}",
            f"ORD-{self._tag}-{self._booked:07d}",
            shippers[int(draw() * draw() * len(shippers))],
            carrier,
            level,
            mode,
            sites[int(draw() * len(sites))],
            receivers[int(draw() * len(receivers))],
            pieces,
            round(0.2 + pieces * rng.expovariate(0.12), 2),
            int(rng.lognormvariate(9.2, 1.1)),
            CURRENCY.get(country, "EUR"),
            created,
            promised,
            late,
            tuple(plan_life(rng, created, delivered, late, 2 if mode in ("road", "courier") else 4)),
        )

    def _in_time(self, city: int, day: int, created: int, promised: int) -> int:
        """A delivery between 08:00 local and the promise, on the day or (a third of them) the day before."""
        morning = self._clock.midnight_ms(city, day) + 8 * HOUR_MS
        if self._rng.random() < 0.33 and promised - created > 40 * HOUR_MS:
            return morning - DAY_MS + int(self._rng.random() * 11 * HOUR_MS)
        earliest = max(morning, created + 8 * HOUR_MS)
        return earliest + int(self._rng.random() * 0.98 * max(0, promised - earliest))

    def _late(self, city: int, promised: int) -> int:
        """A delivery after the promise; what would fall into the night comes the next morning."""
        at = promised + 8 * MINUTE_MS + int(self._rng.expovariate(1 / 7) * HOUR_MS)
        local = self._clock.local_ms(city, at)
        if 7 * HOUR_MS <= local < 21 * HOUR_MS:
            return at
        until_morning = (8 * HOUR_MS - local) % DAY_MS
        return at + until_morning + int(self._rng.random() * 3 * HOUR_MS)


def _landmass(number: int) -> str:
    city = CITIES[number]
    return city.country if city.region == "apac" else "america" if city.region.startswith("us-") else "europe"


def plan_life(rng: Random, created: int, delivered: int, late: bool, scans: int) -> Iterator[Step]:
    """Plan the steps from `created` to `delivered` (or to another end), strictly growing in time."""
    draw = rng.random
    yield created, "created", None
    end = draw()
    if end < 0.015:
        if end < 0.009:
            yield created + int((5 + 40 * draw()) * MINUTE_MS), "assigned", None
        yield created + int((60 + 120 * draw()) * MINUTE_MS), "cancelled", None
        return
    span = delivered - created
    assigned = created + int(span * (0.01 + 0.05 * draw()))
    picked_up = assigned + int(span * (0.06 + 0.10 * draw()))
    moving = picked_up + int(span * (0.01 + 0.04 * draw()))
    out = delivered - int(min(span * 0.25, (1 + 3 * draw()) * HOUR_MS))
    yield assigned, "assigned", None
    yield picked_up, "picked_up", None
    yield moving, "in_transit", None
    yield from _middle(rng, moving, out, late, scans)
    if end > 0.988:
        yield out, "out_for_delivery", None
        yield out + (delivered - out) // 2, "failed_attempt", _ATTEMPTS[int(draw() * len(_ATTEMPTS))]
        yield delivered, "returned", None
        return
    yield out, "out_for_delivery", None
    yield delivered, "delivered", None


def _middle(rng: Random, begin: int, end: int, late: bool, scans: int) -> Iterator[Step]:
    """What happens on the way: scans, an exception, a failed attempt; a late shipment usually has a cause."""
    draw, gap = rng.random, end - begin
    for scan in range(int((scans + 1) * draw())):
        yield begin + int(gap * 0.05 * (scan + 0.2 + 0.7 * draw())), "in_transit", None
    if draw() < (0.55 if late else 0.035):
        at = begin + int(gap * (0.25 + 0.15 * draw()))
        yield at, "exception", _EXCEPTIONS[int(draw() * len(_EXCEPTIONS))]
        yield at + int(gap * (0.05 + 0.10 * draw())), "in_transit", None
    if draw() < (0.35 if late else 0.025):
        at = begin + int(gap * (0.60 + 0.10 * draw()))
        yield at, "out_for_delivery", None
        yield (
            at + int(gap * (0.05 + 0.15 * draw())),
            "failed_attempt",
            _ATTEMPTS[int(draw() * len(_ATTEMPTS))],
        )


def _urn(words: tuple[str, ...], weights: tuple[int, ...]) -> tuple[str, ...]:
    """Each word as often as its weight: a draw is one index."""
    return tuple(word for word, weight in zip(words, weights, strict=True) for _ in range(weight))


_EXCEPTIONS = _urn(EXCEPTION_REASONS, EXCEPTION_WEIGHTS)
_ATTEMPTS = _urn(ATTEMPT_REASONS, ATTEMPT_WEIGHTS)
