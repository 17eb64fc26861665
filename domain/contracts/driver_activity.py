"""driver_activity: what a driver does, as a tachograph card, the driver or the platform records it."""

from __future__ import annotations

from domain.contracts.model import Choice, Column, Feed, Integer, Text, Timestamp, envelope

DRIVER_ACTIVITY = Feed(
    name="driver_activity",
    doc="A driver does one thing from one instant to another.",
    stream="telemetry",
    key=("event_id",),
    event_time="started_at",
    entity_key="driver_id",
    columns=envelope(
        Column("driver_id", Text(), "The driver"),
        Column("vehicle_id", Text(), "The vehicle whose tachograph recorded it, if any", nullable=True),
        Column(
            "activity",
            Choice(("driving", "other_work", "availability", "rest", "unknown")),
            "What the driver does, in the words of Regulation (EU) 165/2014, article 34",
        ),
        Column("started_at", Timestamp(), "From when"),
        Column("ended_at", Timestamp(), "Until when; empty while it goes on", nullable=True),
        Column(
            "slot", Integer(16), "Card slot: 1 the driver's, 2 the co-driver's", nullable=True, between=(1, 2)
        ),
        Column(
            "crew", Choice(("single", "crew")), "Whether a second driver's card is inserted", nullable=True
        ),
        Column(
            "origin",
            Choice(("tachograph", "manual", "inferred")),
            "How it is known; what is inferred from positions never proves a rest",
        ),
    ),
)
