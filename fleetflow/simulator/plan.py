"""What a simulation run is asked for: size of the fleet, rate, mix of feeds, shares of faults.

The same plan (seed, start and all) gives the same fleet and the same events; only `recorded_at` of live
events follows the clock of the machine, because it is the moment of sending.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime

GPS = "gps_location"
SHIPMENT = "shipment_event"
ASSIGNMENT = "driver_assignment_event"
CAN = "can_frame"
ACTIVITY = "driver_activity"
UNKNOWN = "unknown"
STREAM_FEEDS = (GPS, SHIPMENT, ASSIGNMENT)
TELEMETRY_FEEDS = (CAN, ACTIVITY)
DEFAULT_TENANT = "acme"
DEFAULT_MIX: Mapping[str, float] = {GPS: 0.65, SHIPMENT: 0.30, ASSIGNMENT: 0.05}
MAX_RATE = 50_000.0


class PlanError(ValueError):
    """A parameter of the simulation is not usable; the message names it."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares (0..1) of the events that are spoilt on purpose; each is counted in the truth."""

    duplicates: float = 0.0
    out_of_order: float = 0.0
    late: float = 0.0
    invalid: float = 0.0
    missing_driver: float = 0.0
    illegal: float = 0.0

    def check(self) -> None:
        """Raise PlanError for a share outside 0..1 or shares that leave no room for proper events."""
        for item in fields(self):
            share = getattr(self, item.name)
            if not 0.0 <= share <= 1.0:
                raise PlanError(f"{item.name} is a share between 0 and 1, got {share}")
        spoilt = self.out_of_order + self.late + self.invalid + self.missing_driver + self.illegal
        if spoilt > 0.9:
            raise PlanError(
                f"out_of_order + late + invalid + missing_driver + illegal exceed 0.9: {spoilt:.3f}"
            )


USUAL_FAULTS = Faults(
    duplicates=0.01, out_of_order=0.01, late=0.005, invalid=0.005, missing_driver=0.004, illegal=0.002
)


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """One run. Zero for drivers, vehicles or shipments means: as many as the rate needs (see `sized`).

    Attributes:
        start: the end of history and the first moment of the live part; tz-aware.
        rate: live events per second over all feeds.
        events: live events in total; wins over `seconds`.
        shipments: shipments that are open at `start`.
        history_days: days before `start` whose due shipments and events are made, and sent first.
        history_shipments: shipments due per past day.
        order_changes_per_s: at most so many order-database rows changed per second; 0 leaves the rows alone.
        telemetry_vehicles: vehicles that live a whole life, with CAN frames and tachographs, besides the live events.
        telemetry_days: days before `start` of which their positions and frames are sent, 2 at least.
        activity_days: days before `start` of which their drivers' activities are sent, 35 at least.
    """

    start: datetime
    seed: int = 1
    tenant: str = DEFAULT_TENANT
    rate: float = 500.0
    seconds: float = 60.0
    events: int | None = None
    drivers: int = 0
    vehicles: int = 0
    shipments: int = 0
    history_days: int = 8
    history_shipments: int = 2_500
    mix: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIX))
    faults: Faults = field(default_factory=Faults)
    order_changes_per_s: float = 100.0
    telemetry_vehicles: int = 0
    telemetry_days: int = 4
    activity_days: int = 35

    def __post_init__(self) -> None:
        """Raise PlanError for the first parameter that is not usable."""
        if self.start.tzinfo is None:
            raise PlanError("start needs a time zone")
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", self.tenant):
            raise PlanError(f"tenant is 1-32 of a-z 0-9 _ -, got {self.tenant!r}")
        if not 0 < self.rate <= MAX_RATE:
            raise PlanError(f"rate is more than 0 and at most {MAX_RATE:.0f} events/s, got {self.rate}")
        if self.seconds < 0 or (self.events is not None and self.events < 0):
            raise PlanError("seconds and events are not negative")
        for name in (
            "drivers",
            "vehicles",
            "shipments",
            "history_days",
            "history_shipments",
            "order_changes_per_s",
            "telemetry_vehicles",
        ):
            if getattr(self, name) < 0:
                raise PlanError(f"{name} is not negative, got {getattr(self, name)}")
        if self.telemetry_days < 2 or self.activity_days < 35:
            raise PlanError(
                "telemetry_days is at least 2, activity_days at least 35 (two-week rules want whole weeks), got"
                f" {self.telemetry_days} and {self.activity_days}"
            )
        unknown = set(self.mix) - set(STREAM_FEEDS)
        if unknown or not self.mix or min(self.mix.values()) < 0 or sum(self.mix.values()) <= 0:
            raise PlanError(
                f"mix gives a share >= 0 to some of {', '.join(STREAM_FEEDS)}, got {dict(self.mix)}"
            )
        self.faults.check()

    @property
    def total(self) -> int:
        """Live events to send."""
        return self.events if self.events is not None else round(self.rate * self.seconds)

    @property
    def start_ms(self) -> int:
        """Start in epoch milliseconds."""
        return round(self.start.timestamp() * 1000)

    def share(self, feed: str) -> float:
        """The feed's part of the live events, 0..1."""
        return self.mix.get(feed, 0.0) / sum(self.mix.values())

    def sized(self) -> SimulationPlan:
        """The plan with every 0 replaced by a size that fits the rate.

        Vehicles: a fix about every 5 s from each one on the road (half of them are parked at any moment).
        Shipments: enough that one moves every 20 s at most, but no more than 150,000: each brings some six
        events of its past with it.
        """
        vehicles = self.vehicles or max(60, round(self.rate * self.share(GPS) * 10))
        drivers = self.drivers or vehicles + vehicles // 3
        moves_per_s = self.rate * (self.share(SHIPMENT) + self.share(ASSIGNMENT))
        shipments = self.shipments or min(150_000, max(2_500, round(moves_per_s * 20)))
        return replace(self, vehicles=vehicles, drivers=drivers, shipments=shipments)

    def fingerprint(self) -> str:
        """40 hex digits that differ whenever seed, start or any other parameter does."""
        known = asdict(self) | {
            "start": self.start.astimezone(UTC).isoformat(),
            "mix": sorted(self.mix.items()),
        }
        return hashlib.sha256(repr(sorted(known.items())).encode()).hexdigest()[:40]


def seeded(*parts: object) -> random.Random:
    """A generator of its own for one purpose; the parts are its seed."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8]))
