"""Events as they go over the wire: one JSON object a line, `feed` first, times in epoch milliseconds.

Written as f-strings: at 50,000 events/s json.dumps of dicts would take the core that the producer needs.
Every text that is spliced in is an id of ours (no quote, no backslash, ASCII), which `Wire` relies on.
"""

from __future__ import annotations

from typing import NamedTuple

from fleetflow.simulator.geo import Point
from fleetflow.simulator.network import Network
from fleetflow.simulator.shipments import Assignment, Shipment

_ODD = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class Mark(NamedTuple):
    """What a line is beside a plain valid event: spoilt, a repeat, or with an injected flaw."""

    rule: str | None = None
    repeat: bool = False
    flaw: str | None = None


PLAIN = Mark()

Event = tuple[str, str, bytes, Mark]
"""Feed that the line counts under, partition key, line, mark."""


class EventIds:
    """Event ids of 28 hex digits: 12 of the run, 16 that count (times an odd constant: no two alike)."""

    __slots__ = ("_count", "_prefix", "_salt")

    def __init__(self, fingerprint: str) -> None:
        self._prefix, self._salt, self._count = fingerprint[:12], int(fingerprint[12:28], 16), 0

    def next(self) -> str:
        """The next id of the run."""
        self._count += 1
        return f"{self._prefix}{(self._count * _ODD + self._salt) & _MASK:016x}"


class Wire:
    """Writes the lines of the two status feeds."""

    def __init__(
        self, network: Network, ids: EventIds, vehicle_ids: list[str], driver_ids: list[str]
    ) -> None:
        self.ids = ids
        self._tenant = network.tenant
        self._vehicles, self._drivers = vehicle_ids, driver_ids

    def shipment(
        self, shipment: Shipment, status: str, reason: str | None, at: Point | None, occurred_ms: int,
        recorded_ms: int, driver: int | None, vehicle: int | None,
    ) -> bytes:  # fmt: skip
        """One step; `driver` and `vehicle` are numbers, None leaves the field null."""
        who = "null" if driver is None else f'"{self._drivers[driver]}"'
        what = "" if vehicle is None else f'"vehicle_id":"{self._vehicles[vehicle]}",'
        why = "" if reason is None else f'"reason_code":"{reason}",'
        where = "" if at is None else f'"lat":{at[0]:.5f},"lon":{at[1]:.5f},'
        desk = status in ("created", "cancelled")
        origin = "order_system" if desk else "partner" if shipment.carrier.partner else "device"
        return (
            f'{{"feed":"shipment_event","tenant_id":"{self._tenant}","event_id":"{self.ids.next()}",'
            f'"recorded_at":{recorded_ms},"schema_version":1,"shipment_id":"{shipment.shipment_id}",'
            f'"status":"{status}","occurred_at":{occurred_ms},"driver_id":{who},{what}{where}{why}'
            f'"sequence":{shipment.sequence},'
            f'"origin":"{origin}"}}'
        ).encode()

    def assignment(
        self,
        shipment_id: str,
        assignment: Assignment,
        vehicle: int,
        action: str,
        effective_ms: int,
        recorded_ms: int,
    ) -> bytes:
        """A driver gets, or gives back, a shipment."""
        return (
            f'{{"feed":"driver_assignment_event","tenant_id":"{self._tenant}","event_id":"{self.ids.next()}",'
            f'"recorded_at":{recorded_ms},"schema_version":1,"assignment_id":"{assignment.assignment_id}",'
            f'"shipment_id":"{shipment_id}","driver_id":"{self._drivers[assignment.driver]}",'
            f'"vehicle_id":"{self._vehicles[vehicle]}","action":"{action}","effective_at":{effective_ms},'
            f'"sequence":{0 if action == "assigned" else 1}}}'
        ).encode()
