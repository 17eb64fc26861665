"""fuel_purchase: one transaction of a fuel card, as the card's issuer bills it."""

from __future__ import annotations

from domain.contracts.model import Choice, Column, Feed, Float, Integer, Text, Timestamp, envelope
from domain.contracts.partner import source_columns

FUELS = ("diesel", "petrol", "hvo", "cng", "lng", "adblue", "electric", "other")

FUEL_PURCHASE = Feed(
    name="fuel_purchase",
    doc="One purchase with a fuel card, from the issuer's file.",
    partner=True,
    key=("event_id",),
    event_time="purchased_at",
    entity_key="vehicle_id",
    together=(("lat", "lon"), ("amount_minor", "currency")),
    columns=envelope(
        *source_columns(),
        Column("transaction_id", Text(), "The issuer's number of the purchase"),
        Column("vehicle_id", Text(), "The vehicle that the card belongs to"),
        Column("driver_id", Text(), "Driver who bought, if the card says so", nullable=True),
        Column("purchased_at", Timestamp(), "When the fuel was bought"),
        Column("fuel", Choice(FUELS), "What was bought"),
        Column(
            "volume_l", Float(), "How much; kWh for electric", nullable=True, unit="l", between=(0, 5_000)
        ),
        Column(
            "amount_minor",
            Integer(64),
            "What it cost, in the currency's minor unit; negative for a refund",
            nullable=True,
        ),
        Column("currency", Text(3), "ISO 4217", nullable=True),
        Column("station_id", Text(), "The station", nullable=True),
        Column("country", Text(2), "ISO 3166-1 alpha-2", nullable=True),
        Column("lat", Float(), "Latitude, WGS 84", nullable=True, unit="deg", between=(-90, 90)),
        Column("lon", Float(), "Longitude, WGS 84", nullable=True, unit="deg", between=(-180, 180)),
        Column(
            "odometer_km",
            Float(),
            "Distance read off when buying",
            nullable=True,
            unit="km",
            between=(0, 5_000_000),
        ),
    ),
)
