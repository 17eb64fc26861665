"""signal: one decoded signal of one CAN frame, as the lake keeps it; derived, so that it lands nowhere."""

from __future__ import annotations

from domain.contracts.model import Column, Feed, Float, Integer, Text, Timestamp

SIGNAL = Feed(
    name="signal",
    doc="One decoded signal of one CAN frame or message of several frames.",
    key=("tenant_id", "vehicle_id", "captured_at", "name", "source"),
    event_time="captured_at",
    entity_key="vehicle_id",
    columns=(
        Column("tenant_id", Text(), "The carrier whose data this is"),
        Column("vehicle_id", Text(), "The vehicle"),
        Column("captured_at", Timestamp(), "When the gateway saw the frame, or the last one of the message"),
        Column("name", Text(), "The signal: a canonical name, or Message.Signal of the database"),
        Column(
            "value",
            Float(),
            "The value in its unit; null: the vehicle says that there is none",
            nullable=True,
        ),
        Column(
            "text", Text(), "The value in words, or why there is none: not available, error", nullable=True
        ),
        Column("unit", Text(), "The unit of the value", nullable=True),
        Column("source", Text(), "Where it was read: spn 190, pid 0C, dbc Message.Signal"),
        Column("source_address", Integer(16), "The ECU that sent it, on J1939 and OBD-II", nullable=True),
        Column("decoder", Text(), "Name and version of the decoder, as the manifest has them"),
    ),
)
"""One table of the lake beside those of the feeds. Its days are written whole, by `fleetflow telemetry signals`."""
