"""The entities of the order database, as CDC mirrors them. Columns marked as personal data are never copied."""

from __future__ import annotations

from domain.contracts.model import Choice, Column, Date, Decimal, Feed, Float, Integer, Text, Timestamp
from domain.lifecycle import STATUSES

_TENANT = Column("tenant_id", Text(), "The carrier whose data this is")
_UPDATED = Column("updated_at", Timestamp(), "When the order system last changed the row")

SITES = Feed(
    name="sites",
    doc="A place where shipments start, stop or end.",
    key=("site_id",),
    event_time="updated_at",
    entity_key="site_id",
    columns=(
        Column("site_id", Text(), "The site"),
        _TENANT,
        Column("name", Text(200), "Name"),
        Column("kind", Choice(("hub", "depot", "customer")), "What it is"),
        Column("region", Text(), "Operating region"),
        Column("country", Text(2), "ISO 3166-1 alpha-2"),
        Column("city", Text(100), "City"),
        Column("lat", Float(), "Latitude, WGS 84", unit="deg", between=(-90, 90)),
        Column("lon", Float(), "Longitude, WGS 84", unit="deg", between=(-180, 180)),
        Column("timezone", Text(), "IANA zone of the site's local day"),
        Column("created_at", Timestamp(), "When the site was opened"),
        _UPDATED,
    ),
)

DRIVERS = Feed(
    name="drivers",
    doc="A driver. Name, phone and licence number stay in the order database.",
    key=("driver_id",),
    event_time="updated_at",
    entity_key="driver_id",
    columns=(
        Column("driver_id", Text(), "The driver; marts hold a keyed pseudonym of it"),
        _TENANT,
        Column("full_name", Text(200), "Name", pii=True),
        Column("phone", Text(), "Phone", pii=True),
        Column("licence_number", Text(), "Licence number", pii=True),
        Column("licence_class", Choice(("B", "C1", "C", "CE")), "Licence class"),
        Column("home_site_id", Text(), "Where the driver starts"),
        Column("status", Choice(("active", "inactive")), "Employment status"),
        Column("hired_on", Date(), "First day"),
        _UPDATED,
    ),
)

VEHICLES = Feed(
    name="vehicles",
    doc="A vehicle. Plate and VIN stay in the order database.",
    key=("vehicle_id",),
    event_time="updated_at",
    entity_key="vehicle_id",
    columns=(
        Column("vehicle_id", Text(), "The vehicle"),
        _TENANT,
        Column("plate", Text(), "Licence plate", pii=True),
        Column("vin", Text(17), "Vehicle identification number", pii=True),
        Column("make", Text(), "Make"),
        Column("model", Text(), "Model"),
        Column("model_year", Integer(32), "Model year", unit="year", between=(1990, 2100)),
        Column("vehicle_class", Choice(("van", "truck", "tractor")), "Class"),
        Column("capacity_kg", Integer(32), "Payload", unit="kg", between=(1, None)),
        Column("tank_l", Integer(32), "Tank volume", unit="l", between=(1, None)),
        Column("home_site_id", Text(), "Where the vehicle stands"),
        Column("status", Choice(("active", "workshop", "retired")), "Status"),
        Column("in_service_from", Date(), "First day in service"),
        _UPDATED,
    ),
)

SHIPMENTS = Feed(
    name="shipments",
    doc="A shipment as it was ordered and promised.",
    key=("shipment_id",),
    event_time="updated_at",
    entity_key="shipment_id",
    columns=(
        Column("shipment_id", Text(), "The shipment"),
        _TENANT,
        Column("order_ref", Text(), "The customer's order"),
        Column("customer_id", Text(), "The customer"),
        Column("carrier_id", Text(), "The carrier that moves it"),
        Column("service_level", Choice(("express", "standard", "economy")), "Service level sold"),
        Column("mode", Choice(("road", "air", "ocean", "rail", "courier")), "Mode of transport"),
        Column("origin_site_id", Text(), "From"),
        Column("destination_site_id", Text(), "To"),
        Column("pieces", Integer(32), "Pieces", unit="pieces", between=(1, None)),
        Column("weight_kg", Decimal(10, 2), "Weight", unit="kg", between=(0, None)),
        Column(
            "declared_value_minor",
            Integer(64),
            "Declared value in minor units of the currency",
            unit="minor units",
            between=(0, None),
        ),
        Column("currency", Text(3), "ISO 4217"),
        Column("status", Choice(STATUSES), "Status as the order system knows it"),
        Column("created_at", Timestamp(), "When it was ordered"),
        Column("promised_at", Timestamp(), "Latest delivery promised"),
        Column("cancelled_at", Timestamp(), "When it was cancelled, if it was", nullable=True),
        _UPDATED,
    ),
)

DRIVER_ASSIGNMENTS = Feed(
    name="driver_assignments",
    doc="Which driver has which shipment, as the order system knows it.",
    key=("assignment_id",),
    event_time="updated_at",
    entity_key="shipment_id",
    columns=(
        Column("assignment_id", Text(), "The assignment"),
        _TENANT,
        Column("shipment_id", Text(), "The shipment"),
        Column("driver_id", Text(), "The driver"),
        Column("vehicle_id", Text(), "The vehicle, if known", nullable=True),
        Column("assigned_at", Timestamp(), "From when"),
        Column("unassigned_at", Timestamp(), "Until when, if it ended", nullable=True),
        _UPDATED,
    ),
)
