"""service_record: one visit of a vehicle to a workshop, as the workshop bills it."""

from __future__ import annotations

from domain.contracts.model import Choice, Column, Feed, Float, Integer, Text, Timestamp, envelope
from domain.contracts.partner import source_columns

SERVICES = ("inspection", "maintenance", "repair", "tyres", "brakes", "oil", "recall", "damage", "other")

SERVICE_RECORD = Feed(
    name="service_record",
    doc="One piece of work that a workshop did on a vehicle.",
    partner=True,
    key=("event_id",),
    event_time="completed_at",
    entity_key="vehicle_id",
    together=(("cost_minor", "currency"),),
    columns=envelope(
        *source_columns(),
        Column("record_id", Text(), "The workshop's number of the job"),
        Column("vehicle_id", Text(), "The vehicle"),
        Column("service", Choice(SERVICES), "What kind of work"),
        Column("started_at", Timestamp(), "When the vehicle came in", nullable=True),
        Column("completed_at", Timestamp(), "When it could leave"),
        Column(
            "odometer_km",
            Float(),
            "Distance read off at the workshop",
            nullable=True,
            unit="km",
            between=(0, 5_000_000),
        ),
        Column(
            "engine_hours", Float(), "Engine hours read off", nullable=True, unit="h", between=(0, 500_000)
        ),
        Column("cost_minor", Integer(64), "What it cost, in the currency's minor unit", nullable=True),
        Column("currency", Text(3), "ISO 4217", nullable=True),
        Column("workshop_id", Text(), "The workshop", nullable=True),
        Column("note", Text(2_000), "What the workshop wrote", nullable=True),
    ),
)
