"""Turns the SCMS delivery history into an order database and shipment events.

Source: USAID SCMS Delivery History (public domain), one line a shipment. Scheduled and delivered dates are complete
and of one layout (2-Jun-06). What the file does not have is made up as little as possible: the steps before the
delivery, one driver, one vehicle, one origin; a mode of N/A is filed under `courier`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

TENANT = "scms"
MODES = {
    "Air": "air",
    "Air Charter": "air",
    "Truck": "road",
    "Ocean": "ocean",
    "N/A": "courier",
    "": "courier",
}
STEPS = ("created", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered")


def read_lines(path: Path) -> list[dict[str, str]]:
    """Read the file as it is."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def day(text: str) -> datetime:
    return datetime.strptime(text, "%d-%b-%y").replace(tzinfo=UTC)


def fill_orders(dsn: str, lines: list[dict[str, str]]) -> None:
    """Fill the order database: a site per country, a shipment per line, promised to the end of the scheduled day."""
    countries = {country: f"SITE-{n:02}" for n, country in enumerate(sorted({x["country"] for x in lines}))}
    with psycopg.connect(dsn) as conn, conn.cursor() as cursor:
        sites = [
            ("SITE-HQ", "origin", "hub"),
            *((site, name, "customer") for name, site in countries.items()),
        ]
        cursor.executemany(
            "insert into sites (site_id, tenant_id, name, kind, region, country, city, lat, lon, timezone)"
            " values (%s, %s, %s, %s, %s, 'ZZ', 'unknown', 0, 0, 'UTC')",
            [(site, TENANT, name, kind, name[:64]) for site, name, kind in sites],
        )
        cursor.execute(
            "insert into drivers values ('DRV-1', %s, 'n', 'n', 'n', 'C', 'SITE-HQ', 'active', '2005-01-01')",
            (TENANT,),
        )
        with cursor.copy(
            "copy shipments (shipment_id, tenant_id, order_ref, customer_id, carrier_id, service_level, mode,"
            " origin_site_id, destination_site_id, pieces, weight_kg, declared_value_minor, currency, status,"
            " created_at, promised_at) from stdin"
        ) as copy:
            for line in lines:
                copy.write_row(_shipment(line, countries))


def _shipment(line: dict[str, str], countries: dict[str, str]) -> tuple[Any, ...]:
    promised = day(line["scheduled delivery date"]) + timedelta(hours=23, minutes=59, seconds=59)
    return (
        f"SCMS-{line['id']}", TENANT, line["id"], line["project code"], line["vendor"][:64].strip(), "standard",
        MODES[line["shipment mode"]], "SITE-HQ", countries[line["country"]], int(line["line item quantity"]), 1, 0,
        "USD", "delivered", _created(line), promised,
    )  # fmt: skip


def _created(line: dict[str, str]) -> datetime:
    return min(day(line["scheduled delivery date"]), day(line["delivered to client date"])) - timedelta(
        days=30
    )


def events(lines: list[dict[str, str]]) -> Iterator[str]:
    """Give each shipment's steps as NDJSON; the delivery at noon of its day, recorded when the file says so."""
    for line in lines:
        delivered = day(line["delivered to client date"]) + timedelta(hours=12)
        recorded = max(delivered, day(line["delivery recorded date"]))
        created = _created(line)
        for number, status in enumerate(STEPS):
            at = created + (delivered - created) * number / (len(STEPS) - 1)
            event = {
                "tenant_id": TENANT, "event_id": f"{line['id']}-{number}", "schema_version": 1, "status": status,
                "recorded_at": recorded.isoformat(), "shipment_id": f"SCMS-{line['id']}", "sequence": number,
                "occurred_at": at.isoformat(), "driver_id": "DRV-1", "origin": "partner",
            }  # fmt: skip
            yield json.dumps(event)
