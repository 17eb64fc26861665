"""The whole fleet of a plan: network, crew, shipments with their past, and the two live streams."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fleetflow.simulator.crew import Crew, build_crew
from fleetflow.simulator.dispatch import Dispatcher
from fleetflow.simulator.history import Archive, book_past, live_past
from fleetflow.simulator.memory import without_collections
from fleetflow.simulator.motion import GpsStream
from fleetflow.simulator.network import Clock, Network, build_network
from fleetflow.simulator.plan import ASSIGNMENT, SHIPMENT, SimulationPlan, seeded
from fleetflow.simulator.shipments import Bookings, Shipment
from fleetflow.simulator.status import Scribe, StatusStream
from fleetflow.simulator.vehicle_life.life import Lives, build_lives
from fleetflow.simulator.wire import Event, EventIds, Wire


@dataclass
class Fleet:
    """Everything there is at `plan.start`. Streaming moves its shipments on: a fleet is good for one run."""

    plan: SimulationPlan
    network: Network
    crew: Crew
    clock: Clock
    dispatcher: Dispatcher
    bookings: Bookings
    wire: Wire
    shipments: list[Shipment]
    tag: str
    scribe: Scribe
    lives: Lives

    @property
    def open_shipments(self) -> list[Shipment]:
        """The shipments whose life is not over."""
        return [shipment for shipment in self.shipments if not shipment.ended]

    def history(self) -> Iterator[list[Event]]:
        """The events of the past, in groups; to be read to the end before the live part begins."""
        rng = seeded(self.plan.fingerprint(), "history")
        archive = Archive(self.dispatcher, self.scribe, self.wire, rng, self.plan.faults)
        return archive.events(self.shipments, self.plan.start_ms)

    def gps(self) -> GpsStream:
        """The live gps stream."""
        plan, rng = self.plan, seeded(self.plan.fingerprint(), "gps")
        return GpsStream(
            self.network, self.crew, self.clock, rng, self.wire.ids, plan.faults, plan.start_ms,
            self.lives.vehicle_numbers,
        )  # fmt: skip

    def status(self) -> StatusStream:
        """The live status stream."""
        plan = self.plan
        both = plan.share(SHIPMENT) + plan.share(ASSIGNMENT)
        share = plan.share(ASSIGNMENT) / both if both else 0.0
        rng = seeded(plan.fingerprint(), "status")
        return StatusStream(
            self.dispatcher, self.bookings, self.scribe, self.wire, rng, plan.faults, self.open_shipments,
            plan.start_ms, share,
        )  # fmt: skip


def build_fleet(plan: SimulationPlan) -> Fleet:
    """Build the fleet that the plan describes; the same plan gives the same fleet."""
    with without_collections():
        return _build(plan.sized())


def _build(plan: SimulationPlan) -> Fleet:
    fingerprint = plan.fingerprint()
    tag = fingerprint[:8]
    clock = Clock()
    network = build_network(plan.tenant, min(150, max(12, plan.shipments // 300)))
    crew = build_crew(network, plan.drivers, plan.vehicles, plan.seed)
    bookings = Bookings(network, clock, seeded(fingerprint, "bookings"), tag)
    dispatcher = Dispatcher(network, crew, clock, seeded(fingerprint, "dispatch"), tag)
    shipments = book_past(bookings, seeded(fingerprint, "due"), plan)
    live_past(dispatcher, shipments, plan.start_ms)
    dispatcher.notes.clear()
    wire = Wire(
        network,
        EventIds(fingerprint),
        [v.vehicle_id for v in crew.vehicles],
        [d.driver_id for d in crew.drivers],
    )
    scribe = Scribe(dispatcher, wire, seeded(fingerprint, "scribe"), plan.faults)
    lives = build_lives(plan, network, crew)
    return Fleet(plan, network, crew, clock, dispatcher, bookings, wire, shipments, tag, scribe, lives)
