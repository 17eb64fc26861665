"""The status stream: shipment events and driver assignments, live, with the faults that the plan asks for.

Shipments wait in a queue ordered by when their next step is planned; each slot takes the first one and does
the step now. So the order of a shipment's life is that of the plan, while its pace follows the wanted rate:
at high rates a day's work passes in minutes. New shipments are booked as the planned time goes by. One thing
is not hurried: a shipment that is meant to be late waits until its promise has really passed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from random import Random

from domain.lifecycle import DRIVER_WANTED
from fleetflow.simulator.dispatch import Dispatcher
from fleetflow.simulator.network import DAY_MS, HOUR_MS
from fleetflow.simulator.plan import ASSIGNMENT, SHIPMENT, Faults
from fleetflow.simulator.shipments import Bookings, Shipment
from fleetflow.simulator.spoil import Spoiler
from fleetflow.simulator.wire import PLAIN, Event, Mark, Wire

MISSING_DRIVER = Mark(flaw="missing_driver")
ILLEGAL = Mark(flaw="illegal")
OUT_OF_ORDER = Mark(flaw="out_of_order")
LATE = Mark(flaw="late")
# A shipment is open for two and a half days on average: so many are booked a day for each open one.
OPEN_DAYS = 2.5
LATE_AFTER_MS = 2 * HOUR_MS
WANTED = frozenset(DRIVER_WANTED)


def illegal_after(status: str) -> str:
    """A status that may never follow this one, and wants no driver (so that it adds no second flaw)."""
    return "returned" if status == "created" else "created"


class Scribe:
    """Writes the line of a shipment's step, with the flaw that chance and the plan's shares give it."""

    def __init__(self, dispatcher: Dispatcher, wire: Wire, rng: Random, faults: Faults) -> None:
        self.spoiler = Spoiler()
        self._dispatcher, self._wire, self._rng, self._faults = dispatcher, wire, rng, faults

    def step(
        self, shipment: Shipment, status: str, reason: str | None, occurred_ms: int, recorded_ms: int
    ) -> Event:
        """The step as an event; with the plan's share the driver is missing though the status wants one."""
        lacks = status in WANTED and self._rng.random() < self._faults.missing_driver
        line = self._line(shipment, status, reason, occurred_ms, recorded_ms, lacks)
        shipment.sequence += 1
        return SHIPMENT, shipment.shipment_id, line, MISSING_DRIVER if lacks else PLAIN

    def illegal(self, shipment: Shipment, state: str, occurred_ms: int, recorded_ms: int) -> Event:
        """A status that cannot follow `state`; the shipment itself stays as it is."""
        line = self._line(shipment, illegal_after(state), None, occurred_ms, recorded_ms, False)
        shipment.sequence += 1
        return SHIPMENT, shipment.shipment_id, line, ILLEGAL

    def spoilt_step(self, shipment: Shipment, status: str, occurred_ms: int, recorded_ms: int) -> Event:
        """An unusable line that looks like a step of the shipment."""
        line = self._line(shipment, status, None, occurred_ms, recorded_ms, False)
        feed, rule, spoilt = self.spoiler.spoil(SHIPMENT, line)
        return feed, shipment.shipment_id, spoilt, Mark(rule=rule)

    def _line(
        self,
        shipment: Shipment,
        status: str,
        reason: str | None,
        occurred_ms: int,
        recorded_ms: int,
        lacks: bool,
    ) -> bytes:
        driver = vehicle = None
        if status not in ("created", "cancelled"):
            held = shipment.holder(occurred_ms)
            if held is not None:
                driver, vehicle = None if lacks else held.driver, self._dispatcher.vehicle(held)
        place = self._dispatcher.place(shipment, status, shipment.position)
        return self._wire.shipment(shipment, status, reason, place, occurred_ms, recorded_ms, driver, vehicle)


class StatusStream:
    """Live events of the open shipments; the same calls give the same events."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        bookings: Bookings,
        scribe: Scribe,
        wire: Wire,
        rng: Random,
        faults: Faults,
        open_shipments: Iterable[Shipment],
        begin_ms: int,
        assignment_share: float,
    ) -> None:
        """Take over the open shipments; `assignment_share` is the part of assignments among the slots."""
        self._dispatcher, self._bookings, self._scribe, self._wire = dispatcher, bookings, scribe, wire
        self._rng, self._share, self._turn = rng, assignment_share, 0.0
        self._illegal_below = faults.invalid + faults.illegal
        self._order_below = self._illegal_below + faults.out_of_order
        self._late_below = self._order_below + faults.late
        self._faults = faults
        # Planned time, tie breaker, shipment, milliseconds by which its plan was written too early or late.
        self._queue = [(s.steps[s.position][0], n, s, 0) for n, s in enumerate(open_shipments)]
        heapq.heapify(self._queue)
        self._held: list[tuple[int, int, Shipment, int]] = []
        self._count = len(self._queue)
        self._planned_ms = begin_ms
        self._booking_every_ms = OPEN_DAYS * DAY_MS / max(1, self._count)
        self._next_booking_ms: float = begin_ms + self._booking_every_ms
        self._ahead: list[Event] = []

    def fill(self, slots: int, now_ms: int, recorded_ms: int) -> list[Event]:
        """The next `slots` events; `now_ms` is the simulated moment, `recorded_ms` that of sending."""
        events, self._ahead = self._ahead, []
        while len(events) < slots:
            self._turn += self._share
            if self._turn >= 1.0:
                self._turn -= 1.0
                event = self._assignment(now_ms, recorded_ms)
                if event is not None:
                    events.append(event)
                    continue
            # Also for want of an assignment: without a step there would never be one.
            self._shipment(now_ms, recorded_ms, events)
        self._ahead = events[slots:]
        del events[slots:]
        return events

    def _shipment(self, now_ms: int, recorded_ms: int, events: list[Event]) -> None:
        draw = self._rng.random()
        if draw < self._illegal_below and self._spoil(draw, now_ms, recorded_ms, events):
            return
        shipment, shift = self._next(now_ms)
        occurred_ms = max(shipment.last_ms + 1, now_ms - int(self._rng.random() * 1_500))
        if self._illegal_below <= draw < self._late_below and shipment.position:
            if draw < self._order_below:
                if self._swap(shipment, occurred_ms, recorded_ms, events):
                    self._put_back(shipment, shift)
                    return
            elif now_ms - shipment.last_ms > LATE_AFTER_MS and not self._must_wait(shipment):
                occurred_ms = shipment.last_ms + int(
                    (0.1 + 0.5 * self._rng.random()) * (now_ms - shipment.last_ms)
                )
                feed, key, line, mark = self._do(shipment, occurred_ms, occurred_ms + 1_500)
                events.append(
                    (feed, key, line, LATE if mark is PLAIN else Mark(flaw="late+" + (mark.flaw or "")))
                )
                self._put_back(shipment, shift)
                return
        events.append(self._do(shipment, occurred_ms, recorded_ms))
        self._put_back(shipment, shift)

    def _do(self, shipment: Shipment, occurred_ms: int, recorded_ms: int) -> Event:
        status, reason = self._dispatcher.take(shipment, occurred_ms)
        if status == "exception" and self._rng.random() < 0.25 and not shipment.late:
            shipment.promised_ms += DAY_MS
            self._dispatcher.journal.moved(shipment, occurred_ms)
        return self._scribe.step(shipment, status, reason, occurred_ms, recorded_ms)

    def _swap(self, shipment: Shipment, occurred_ms: int, recorded_ms: int, events: list[Event]) -> bool:
        """Two steps at once, the second one sent first."""
        if (
            shipment.position + 1 >= len(shipment.steps)
            or shipment.steps[shipment.position + 1][1] == "delivered"
        ):
            return False
        first = self._do(shipment, occurred_ms, recorded_ms)
        second = self._do(shipment, occurred_ms + 1 + int(self._rng.random() * 20_000), recorded_ms)
        both = "out_of_order" + (f"+{second[3].flaw}" if second[3].flaw else "")
        events.append((*second[:3], Mark(flaw=both)))
        events.append(first)
        return True

    def _spoil(self, draw: float, now_ms: int, recorded_ms: int, events: list[Event]) -> bool:
        """An invalid line or an illegal step of any open shipment; neither moves it."""
        if not self._queue:
            return False
        shipment = self._queue[int(self._rng.random() * len(self._queue))][2]
        if draw < self._faults.invalid:
            status = shipment.status or "created"
            events.append(self._scribe.spoilt_step(shipment, status, max(now_ms - 500, 1), recorded_ms))
            return True
        if not shipment.position:
            return False
        occurred_ms = max(shipment.last_ms + 1, now_ms - int(self._rng.random() * 1_500))
        events.append(self._scribe.illegal(shipment, shipment.status, occurred_ms, recorded_ms))
        shipment.last_ms = occurred_ms
        return True

    def _assignment(self, now_ms: int, recorded_ms: int) -> Event | None:
        """The oldest note; without one, somebody's shipment goes to a colleague. None if nobody has any."""
        notes = self._dispatcher.notes
        for _ in range(0 if notes else 20):
            if not self._queue:
                return None
            if self._dispatcher.reassign(self._queue[int(self._rng.random() * len(self._queue))][2], now_ms):
                break
        if not notes:
            return None
        note = notes.popleft()
        vehicle = self._dispatcher.vehicle(note.assignment)
        line = self._wire.assignment(
            note.shipment_id, note.assignment, vehicle, note.action, note.effective_ms, recorded_ms
        )
        if self._faults.invalid and self._rng.random() < self._faults.invalid:
            notes.appendleft(note)
            feed, rule, line = self._scribe.spoiler.spoil(ASSIGNMENT, line)
            return feed, note.shipment_id, line, Mark(rule=rule)
        return ASSIGNMENT, note.shipment_id, line, PLAIN

    def _next(self, now_ms: int) -> tuple[Shipment, int]:
        """The shipment whose turn it is, out of the queue."""
        while self._held and self._held[0][0] <= now_ms:
            heapq.heappush(self._queue, heapq.heappop(self._held))
        while True:
            if not self._queue or self._next_booking_ms <= self._queue[0][0]:
                shipment = self._bookings.created_at(now_ms)
                shift = int(self._next_booking_ms) - now_ms
                self._planned_ms = int(self._next_booking_ms)
                self._next_booking_ms += self._booking_every_ms
                self._dispatcher.journal.booked(shipment)
                return shipment, shift
            planned, n, shipment, shift = heapq.heappop(self._queue)
            if self._must_wait(shipment) and now_ms <= shipment.promised_ms:
                again = shipment.promised_ms + 60_000 + int(self._rng.random() * 2 * HOUR_MS)
                heapq.heappush(self._held, (again, n, shipment, shift))
                continue
            self._planned_ms = planned
            return shipment, shift

    def _must_wait(self, shipment: Shipment) -> bool:
        return shipment.late and shipment.steps[shipment.position][1] == "delivered"

    def _put_back(self, shipment: Shipment, shift: int) -> None:
        if not shipment.ended:
            self._count += 1
            heapq.heappush(
                self._queue, (shipment.steps[shipment.position][0] + shift, self._count, shipment, shift)
            )
