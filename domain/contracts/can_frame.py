"""can_frame: one frame of a vehicle's CAN bus, as it was captured; decoding is a later step."""

from __future__ import annotations

from domain.contracts.model import Binary, Boolean, Column, Feed, Integer, Text, Timestamp, envelope

CAN_FRAME = Feed(
    name="can_frame",
    doc="One frame of a vehicle's CAN bus, undecoded.",
    stream="telemetry",
    key=("event_id",),
    event_time="captured_at",
    entity_key="vehicle_id",
    columns=envelope(
        Column("vehicle_id", Text(), "The vehicle"),
        Column("captured_at", Timestamp(), "When the gateway saw the frame"),
        Column("channel", Text(16), "The bus, in the gateway's words: can0, powertrain"),
        Column(
            "arbitration_id",
            Integer(32),
            "Identifier: 11 bits, or 29 where is_extended (ISO 11898-1)",
            between=(0, 2**29 - 1),
        ),
        Column("is_extended", Boolean(), "Whether the identifier has 29 bits"),
        Column("payload", Binary(64), "The data field: at most 8 bytes of classic CAN, 64 of CAN FD"),
    ),
)
