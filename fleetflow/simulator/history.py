"""The past of the fleet: shipments with the part of their lives before the start, and those events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from fleetflow.simulator.dispatch import Dispatcher
from fleetflow.simulator.network import DAY_MS
from fleetflow.simulator.plan import ASSIGNMENT, Faults, SimulationPlan
from fleetflow.simulator.shipments import Bookings, Shipment
from fleetflow.simulator.status import Scribe
from fleetflow.simulator.wire import PLAIN, Event, Mark, Wire

# Shipments whose events are sorted together; bounds the memory of a long history.
GROUP = 20_000
# Where open shipments are due, in days from the start's day; drawn with these weights.
DUE_DAYS = (0, 1, 2, 3, 4)
DUE_WEIGHTS = (30, 34, 20, 10, 6)
MAX_DRAWS_PER_OPEN = 40


def book_past(bookings: Bookings, rng: Random, plan: SimulationPlan) -> list[Shipment]:
    """Book what was due on each past day, then what is open at the start, until there is enough."""
    today = plan.start_ms // DAY_MS
    days = range(today - plan.history_days, today)
    shipments = [bookings.due_on(day) for day in days for _ in range(plan.history_shipments)]
    still_open = sum(s.steps[-1][0] >= plan.start_ms for s in shipments)
    for _ in range(plan.shipments * MAX_DRAWS_PER_OPEN):
        if still_open >= plan.shipments:
            break
        shipment = bookings.due_on(today + rng.choices(DUE_DAYS, DUE_WEIGHTS)[0])
        if shipment.created_ms >= plan.start_ms:
            continue
        is_open = shipment.steps[-1][0] >= plan.start_ms
        # What was already delivered today belongs to the history, if one is wanted.
        if is_open or plan.history_days:
            shipments.append(shipment)
            still_open += is_open
    shipments.sort(key=lambda shipment: (shipment.created_ms, shipment.shipment_id))
    return shipments


def live_past(dispatcher: Dispatcher, shipments: Iterable[Shipment], start_ms: int) -> None:
    """Take every step that lies before the start, at its planned time."""
    for shipment in shipments:
        while not shipment.ended and shipment.steps[shipment.position][0] < start_ms:
            dispatcher.take(shipment, shipment.steps[shipment.position][0])


class Archive:
    """Writes the events of the past; `recorded_at` is shortly after each happened."""

    def __init__(
        self, dispatcher: Dispatcher, scribe: Scribe, wire: Wire, rng: Random, faults: Faults
    ) -> None:
        self._dispatcher, self._scribe, self._wire, self._rng, self._faults = (
            dispatcher,
            scribe,
            wire,
            rng,
            faults,
        )

    def events(self, shipments: list[Shipment], start_ms: int) -> Iterator[list[Event]]:
        """The events in the order of sending, in groups of shipments booked about the same time."""
        for first in range(0, len(shipments), GROUP):
            dated: list[tuple[int, int, Event]] = []
            for shipment in shipments[first : first + GROUP]:
                self._tell(shipment, start_ms, dated)
            dated.sort(key=lambda entry: entry[:2])
            yield [entry[2] for entry in dated]

    def _tell(self, shipment: Shipment, start_ms: int, dated: list[tuple[int, int, Event]]) -> None:
        draw, reached = self._rng.random, shipment.position
        try:
            for position in range(1, reached + 1):
                occurred_ms, status, reason = shipment.steps[position - 1]
                shipment.position = position
                sent_ms = recorded_ms = min(occurred_ms + 300 + int(draw() * 4_000), start_ms)
                event = self._scribe.step(shipment, status, reason, occurred_ms, recorded_ms)
                following = shipment.steps[position][0] if position < reached else 0
                if following and draw() < self._faults.out_of_order:
                    sent_ms = following + 6_000
                    event = (
                        *event[:3],
                        Mark(flaw="out_of_order" + (f"+{event[3].flaw}" if event[3].flaw else "")),
                    )
                self._note(dated, sent_ms, event)
                if following and draw() < self._faults.illegal:
                    odd_ms = (occurred_ms + following) // 2
                    self._note(dated, odd_ms, self._scribe.illegal(shipment, status, odd_ms, odd_ms + 900))
                if draw() < self._faults.invalid:
                    spoilt = self._scribe.spoilt_step(shipment, status, occurred_ms, recorded_ms)
                    self._note(dated, sent_ms, spoilt)
        finally:
            shipment.position = reached
        self._assignments(shipment, dated)

    def _assignments(self, shipment: Shipment, dated: list[tuple[int, int, Event]]) -> None:
        for assignment in shipment.assignments:
            vehicle = self._dispatcher.vehicle(assignment)
            moments = [("assigned", assignment.since_ms)]
            if assignment.until_ms and (
                assignment is not shipment.assignments[-1] or shipment.status == "cancelled"
            ):
                moments.append(("unassigned", assignment.until_ms))
            for action, at_ms in moments:
                recorded_ms = at_ms + 200 + int(self._rng.random() * 2_000)
                line = self._wire.assignment(
                    shipment.shipment_id, assignment, vehicle, action, at_ms, recorded_ms
                )
                self._note(dated, recorded_ms, (ASSIGNMENT, shipment.shipment_id, line, PLAIN))

    def _note(self, dated: list[tuple[int, int, Event]], sent_ms: int, event: Event) -> None:
        dated.append((sent_ms, len(dated), event))
        if self._rng.random() < self._faults.duplicates:
            again = (*event[:3], event[3]._replace(repeat=True))
            dated.append((sent_ms + int(self._rng.random() * 90_000), len(dated), again))
