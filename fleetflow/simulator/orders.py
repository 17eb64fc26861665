"""Fills the order database by COPY: sites, drivers, vehicles, shipments, assignments as of the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from psycopg import sql

from fleetflow.runtime import Connection
from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.crew import driver_row, vehicle_row
from fleetflow.simulator.fleet import Fleet
from fleetflow.simulator.network import Network, Site
from fleetflow.simulator.shipments import Assignment, Shipment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = tuple[object, ...]

SITES = (
    "site_id",
    "tenant_id",
    "name",
    "kind",
    "region",
    "country",
    "city",
    "lat",
    "lon",
    "timezone",
    "created_at",
    "updated_at",
)
DRIVERS = (
    "driver_id",
    "tenant_id",
    "full_name",
    "phone",
    "licence_number",
    "licence_class",
    "home_site_id",
    "status",
    "hired_on",
    "updated_at",
)
VEHICLES = (
    "vehicle_id",
    "tenant_id",
    "plate",
    "vin",
    "make",
    "model",
    "model_year",
    "vehicle_class",
    "capacity_kg",
    "tank_l",
    "home_site_id",
    "status",
    "in_service_from",
    "updated_at",
)
SHIPMENTS = (
    "shipment_id",
    "tenant_id",
    "order_ref",
    "customer_id",
    "carrier_id",
    "service_level",
    "mode",
    "origin_site_id",
    "destination_site_id",
    "pieces",
    "weight_kg",
    "declared_value_minor",
    "currency",
    "status",
    "created_at",
    "promised_at",
    "cancelled_at",
    "updated_at",
)
ASSIGNMENTS = (
    "assignment_id",
    "tenant_id",
    "shipment_id",
    "driver_id",
    "vehicle_id",
    "assigned_at",
    "unassigned_at",
    "updated_at",
)


@dataclass(frozen=True, slots=True)
class Filled:
    """Rows that `fill` added, per table."""

    sites: int
    drivers: int
    vehicles: int
    shipments: int
    driver_assignments: int


def moment(at_ms: int) -> datetime:
    """Epoch milliseconds as a datetime in UTC."""
    return EPOCH + timedelta(milliseconds=at_ms)


def is_filled(conn: Connection, tenant: str) -> bool:
    """Whether the tenant has any shipment."""
    row = conn.execute("select exists (select from shipments where tenant_id = %s)", (tenant,)).fetchone()
    conn.rollback()
    return bool(row and row[0])


def fill(conn: Connection, fleet: Fleet) -> Filled:
    """Copy the fleet into the order database, in one transaction.

    Sites, drivers and vehicles that are there already stay as they are, so that a second run may share them.

    Raises:
        psycopg.errors.UniqueViolation: the run's shipments are there already; nothing was added.
    """
    start = fleet.plan.start
    with conn.transaction():
        added = Filled(
            sites=_copy_new(
                conn, "sites", SITES, (site_row(fleet.network, s, start) for s in fleet.network.sites)
            ),
            drivers=_copy_new(conn, "drivers", DRIVERS, _drivers(fleet, start)),
            vehicles=_copy_new(conn, "vehicles", VEHICLES, _vehicles(fleet, start)),
            shipments=_copy(
                conn, "shipments", SHIPMENTS, (shipment_row(fleet.network, s) for s in fleet.shipments)
            ),
            driver_assignments=_copy(conn, "driver_assignments", ASSIGNMENTS, _assignments(fleet)),
        )
    if not conn.autocommit:
        conn.commit()
    return added


def site_row(network: Network, site: Site, start: datetime) -> Row:
    """The site's row."""
    city = CITIES[site.city]
    return (
        site.site_id,
        network.tenant,
        site.name,
        site.kind,
        city.region,
        city.country,
        city.name,
        site.point.lat,
        site.point.lon,
        city.timezone,
        datetime(2020, 1, 1, tzinfo=UTC),
        min(start, datetime.now(UTC)),
    )


def shipment_row(network: Network, shipment: Shipment) -> Row:
    """The shipment's row as it stands."""
    cancelled = moment(shipment.last_ms) if shipment.status == "cancelled" else None
    return (
        shipment.shipment_id,
        network.tenant,
        shipment.order_ref,
        shipment.customer_id,
        shipment.carrier.carrier_id,
        shipment.level.name,
        shipment.mode,
        network.sites[shipment.origin].site_id,
        network.sites[shipment.destination].site_id,
        shipment.pieces,
        Decimal(f"{shipment.weight_kg:.2f}"),
        shipment.value_minor,
        shipment.currency,
        shipment.status or "created",
        moment(shipment.created_ms),
        moment(shipment.promised_ms),
        cancelled,
        moment(max(shipment.last_ms, shipment.created_ms)),
    )


def assignment_row(fleet: Fleet, shipment_id: str, assignment: Assignment) -> Row:
    """The assignment's row as it stands."""
    driver = fleet.crew.drivers[assignment.driver]
    until = moment(assignment.until_ms) if assignment.until_ms else None
    return (
        assignment.assignment_id,
        fleet.network.tenant,
        shipment_id,
        driver.driver_id,
        fleet.crew.vehicles[driver.vehicle].vehicle_id,
        moment(assignment.since_ms),
        until,
        until or moment(assignment.since_ms),
    )


def _drivers(fleet: Fleet, start: datetime) -> Iterator[Row]:
    return ((*driver_row(fleet.network, fleet.crew, d, fleet.plan.seed), start) for d in fleet.crew.drivers)


def _vehicles(fleet: Fleet, start: datetime) -> Iterator[Row]:
    began = service_begins(fleet)
    return (
        (*vehicle_row(fleet.network, v, fleet.plan.seed, began.get(v.vehicle_id)), start)
        for v in fleet.crew.vehicles
    )


def service_begins(fleet: Fleet) -> dict[str, date]:
    """First day in service by vehicle; empty, which is any day, where no vehicle lives a whole life.

    Those that do are older than their services. The others, whose services nobody writes, are too new to need one.
    """
    if not fleet.lives.vehicles:
        return {}
    today = fleet.plan.start.date()
    began = {v.vehicle_id: today - timedelta(days=14 + v.number % 240) for v in fleet.crew.vehicles}
    for one in fleet.lives.vehicles:
        first = datetime.fromtimestamp(min(visit.done_s for visit in one.visits), UTC).date()
        began[one.vehicle.vehicle_id] = first - timedelta(days=90 + one.vehicle.number % 700)
    return began


def _assignments(fleet: Fleet) -> Iterator[Row]:
    return (assignment_row(fleet, s.shipment_id, a) for s in fleet.shipments for a in s.assignments)


def _copy(conn: Connection, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> int:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), names)
    with conn.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount


def _copy_new(conn: Connection, table: str, columns: tuple[str, ...], rows: Iterable[Row]) -> int:
    draft, names = f"new_{table}", sql.SQL(", ").join(map(sql.Identifier, columns))
    conn.execute(
        sql.SQL("create temporary table {} (like {} including defaults) on commit drop").format(
            sql.Identifier(draft), sql.Identifier(table)
        )
    )
    _copy(conn, draft, columns, rows)
    return conn.execute(
        sql.SQL("insert into {} ({}) select {} from {} on conflict do nothing").format(
            sql.Identifier(table), names, names, sql.Identifier(draft)
        )
    ).rowcount
