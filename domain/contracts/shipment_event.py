"""shipment_event: one step of one shipment's life, as somebody reports it."""

from __future__ import annotations

from domain.contracts.model import Choice, Column, Feed, Float, Integer, Text, Timestamp, envelope
from domain.lifecycle import STATUSES

SHIPMENT_EVENT = Feed(
    name="shipment_event",
    doc="A shipment has reached a status: reported by a device, a partner carrier or the order system.",
    stream="status",
    key=("event_id",),
    event_time="occurred_at",
    entity_key="shipment_id",
    together=(("lat", "lon"),),
    columns=envelope(
        Column("shipment_id", Text(), "The shipment"),
        Column("status", Choice(STATUSES), "The status reached"),
        Column("occurred_at", Timestamp(), "When it was reached"),
        Column("driver_id", Text(), "Driver who reports; wanted from pick-up on", nullable=True),
        Column("vehicle_id", Text(), "Vehicle that carries the shipment", nullable=True),
        Column("lat", Float(), "Latitude, WGS 84", nullable=True, unit="deg", between=(-90, 90)),
        Column("lon", Float(), "Longitude, WGS 84", nullable=True, unit="deg", between=(-180, 180)),
        Column("reason_code", Text(), "Why, for failed_attempt and exception", nullable=True),
        Column(
            "sequence",
            Integer(64),
            "The sender's counter per shipment",
            nullable=True,
            between=(0, 2**63 - 1),
        ),
        Column("origin", Choice(("device", "partner", "order_system")), "Who reports"),
    ),
)
