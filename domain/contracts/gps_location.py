"""gps_location: one fix of one vehicle."""

from __future__ import annotations

from domain.contracts.model import Boolean, Column, Feed, Float, Text, Timestamp, envelope

GPS_LOCATION = Feed(
    name="gps_location",
    doc="One position fix of a vehicle, as its device reports it.",
    stream="gps",
    key=("event_id",),
    event_time="fixed_at",
    entity_key="vehicle_id",
    columns=envelope(
        Column("vehicle_id", Text(), "The vehicle that carries the device"),
        Column("driver_id", Text(), "Driver logged in, if any", nullable=True),
        Column("fixed_at", Timestamp(), "When the position was taken"),
        Column("lat", Float(), "Latitude, WGS 84", unit="deg", between=(-90, 90)),
        Column("lon", Float(), "Longitude, WGS 84", unit="deg", between=(-180, 180)),
        Column("speed_kmh", Float(), "Ground speed", unit="km/h", between=(0, 250)),
        Column(
            "heading_deg", Float(), "Course over ground, clockwise from north", unit="deg", between=(0, 360)
        ),
        Column(
            "altitude_m", Float(), "Height above sea level", nullable=True, unit="m", between=(-500, 9000)
        ),
        Column(
            "accuracy_m", Float(), "Radius of 68 % confidence", nullable=True, unit="m", between=(0, 100_000)
        ),
        Column(
            "odometer_km",
            Float(),
            "Distance since the vehicle was built",
            nullable=True,
            unit="km",
            between=(0, None),
        ),
        Column("fuel_level_pct", Float(), "Tank level", nullable=True, unit="%", between=(0, 100)),
        Column("ignition_on", Boolean(), "Ignition state", nullable=True),
    ),
)
