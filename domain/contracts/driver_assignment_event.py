"""driver_assignment_event: a driver gets, or gives back, a shipment."""

from __future__ import annotations

from domain.contracts.model import Choice, Column, Feed, Integer, Text, Timestamp, envelope

DRIVER_ASSIGNMENT_EVENT = Feed(
    name="driver_assignment_event",
    doc="A driver was assigned to a shipment, or unassigned from it.",
    stream="status",
    key=("event_id",),
    event_time="effective_at",
    entity_key="shipment_id",
    columns=envelope(
        Column("assignment_id", Text(), "The assignment; the same for assigned and unassigned"),
        Column("shipment_id", Text(), "The shipment"),
        Column("driver_id", Text(), "The driver"),
        Column("vehicle_id", Text(), "The vehicle, if already known", nullable=True),
        Column("action", Choice(("assigned", "unassigned")), "What happened"),
        Column("effective_at", Timestamp(), "From when it holds"),
        Column("sequence", Integer(64), "The sender's counter per assignment", between=(0, 2**63 - 1)),
    ),
)
