"""Moves shipments along: who is assigned, who takes over, and where the shipment is at each step."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import NamedTuple, Protocol

from fleetflow.simulator.crew import Crew
from fleetflow.simulator.geo import Point, between
from fleetflow.simulator.network import Clock, Network
from fleetflow.simulator.shipments import Assignment, Shipment

# Notes that nobody sends (a mix without assignments) are dropped, oldest first.
MAX_NOTES = 20_000
FAR_DEGREES = 20.0
LOCAL_COURIER = ("air", "rail", "ocean")


class Note(NamedTuple):
    """A driver_assignment_event that is due to be sent."""

    shipment_id: str
    assignment: Assignment
    action: str
    effective_ms: int


class Journal(Protocol):
    """Told of what changes in the order system; the order database's rows follow it."""

    def booked(self, shipment: Shipment) -> None:
        """A new shipment."""

    def moved(self, shipment: Shipment, at_ms: int) -> None:
        """A shipment's status (or promise) is another."""

    def assigned(self, shipment: Shipment, assignment: Assignment) -> None:
        """An assignment was opened."""

    def released(self, shipment: Shipment, assignment: Assignment) -> None:
        """An assignment was closed."""


class NoJournal:
    """Keeps nothing: history is filled in by COPY, and a run without order database has no rows."""

    def booked(self, shipment: Shipment) -> None:
        """Ignore."""

    def moved(self, shipment: Shipment, at_ms: int) -> None:
        """Ignore."""

    def assigned(self, shipment: Shipment, assignment: Assignment) -> None:
        """Ignore."""

    def released(self, shipment: Shipment, assignment: Assignment) -> None:
        """Ignore."""


class Dispatcher:
    """Takes a shipment's next step; assignments that it opens or closes wait in `notes`."""

    def __init__(self, network: Network, crew: Crew, clock: Clock, rng: Random, tag: str) -> None:
        self.notes: deque[Note] = deque(maxlen=MAX_NOTES)
        self.journal: Journal = NoJournal()
        self._network, self._crew, self._clock, self._rng, self._tag = network, crew, clock, rng, tag
        self._assigned = 0

    def take(self, shipment: Shipment, at_ms: int) -> tuple[str, str | None]:
        """Take the next step at that moment; return status and reason."""
        _, status, reason = shipment.steps[shipment.position]
        shipment.position += 1
        shipment.last_ms, shipment.status = at_ms, status
        if status == "assigned":
            self._open(shipment, self._network.sites[shipment.origin].city, at_ms)
        elif status == "out_for_delivery" and self._hands_over(shipment):
            self._close(shipment, at_ms)
            self._open(shipment, self._network.sites[shipment.destination].city, at_ms)
        elif shipment.ended and shipment.open_assignment:
            self._close(shipment, at_ms, note=status == "cancelled")
        self.journal.moved(shipment, at_ms)
        return status, reason

    def reassign(self, shipment: Shipment, at_ms: int) -> bool:
        """Give the shipment to another driver of the same city; False if nobody has it."""
        held = shipment.open_assignment
        if held is None or held.since_ms >= at_ms:
            return False
        self._close(shipment, at_ms)
        self._open(shipment, self._crew.drivers[held.driver].city, at_ms)
        return True

    def vehicle(self, assignment: Assignment) -> int:
        """The number of the vehicle that the assigned driver drives."""
        return self._crew.drivers[assignment.driver].vehicle

    def place(self, shipment: Shipment, status: str, position: int) -> Point | None:
        """Where the shipment is when it reaches the status; None for what happens at a desk."""
        if status in ("created", "assigned", "cancelled"):
            return None
        origin, destination = self._network.sites[shipment.origin], self._network.sites[shipment.destination]
        if status in ("picked_up", "returned"):
            return origin.point
        if status in ("delivered", "failed_attempt"):
            return destination.point
        if status == "out_for_delivery":
            return self._network.sites[self._network.hubs[destination.city]].point
        a, b, share = origin.point, destination.point, position / len(shipment.steps)
        if abs(a.lon - b.lon) > FAR_DEGREES:
            return between(a, b, share)
        return Point(a.lat + share * (b.lat - a.lat), a.lon + share * (b.lon - a.lon))

    def _hands_over(self, shipment: Shipment) -> bool:
        """Half the cities have couriers of their own for what comes by air, rail or sea."""
        city = self._network.sites[shipment.destination].city
        return shipment.mode in LOCAL_COURIER and city % 2 == 0 and len(shipment.assignments) == 1

    def _open(self, shipment: Shipment, city: int, at_ms: int) -> None:
        self._assigned += 1
        driver = self._crew.choose(self._rng, self._clock, city, at_ms)
        assignment = Assignment(
            f"{self._network.prefix}ASG-{self._tag}-{self._assigned:07d}", driver.number, at_ms
        )
        shipment.assignments.append(assignment)
        self.notes.append(Note(shipment.shipment_id, assignment, "assigned", at_ms))
        self.journal.assigned(shipment, assignment)

    def _close(self, shipment: Shipment, at_ms: int, *, note: bool = True) -> None:
        held = shipment.open_assignment
        if held is None:
            return
        held.until_ms = max(at_ms, held.since_ms)  # a hurried life may overtake its own assignment
        if note:
            self.notes.append(Note(shipment.shipment_id, held, "unassigned", at_ms))
        self.journal.released(shipment, held)
