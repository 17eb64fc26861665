"""Every feed, defined once. Adding one is adding its module, a migration and a staging model."""

from __future__ import annotations

from domain.contracts.can_frame import CAN_FRAME
from domain.contracts.driver_activity import DRIVER_ACTIVITY
from domain.contracts.driver_assignment_event import DRIVER_ASSIGNMENT_EVENT
from domain.contracts.fuel_purchase import FUEL_PURCHASE
from domain.contracts.gps_location import GPS_LOCATION
from domain.contracts.model import Feed
from domain.contracts.orders import DRIVER_ASSIGNMENTS, DRIVERS, SHIPMENTS, SITES, VEHICLES
from domain.contracts.service_record import SERVICE_RECORD
from domain.contracts.shipment_event import SHIPMENT_EVENT

FEEDS: dict[str, Feed] = {
    f.name: f
    for f in (
        GPS_LOCATION,
        SHIPMENT_EVENT,
        DRIVER_ASSIGNMENT_EVENT,
        DRIVER_ACTIVITY,
        CAN_FRAME,
        FUEL_PURCHASE,
        SERVICE_RECORD,
    )
}
ENTITIES: dict[str, Feed] = {f.name: f for f in (SITES, DRIVERS, VEHICLES, SHIPMENTS, DRIVER_ASSIGNMENTS)}

__all__ = ["ENTITIES", "FEEDS", "Feed"]
