"""What the transform's tests share: a warehouse, a population of shipments, landing by plain SQL, marts as rows."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from domain.lifecycle import STATUSES
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Secret, Settings
from fleetflow.transform import Outcome, run_pipeline

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
CHAIN = ("created", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered")
REASONS = ("traffic", "weather", "gremlins", None)
Row = Mapping[str, Any]

# The audit follows the order of recording; docs/adr/0027.
OF_ARRIVAL = {"audit_entries", "audit_hash"}
MARTS = {
    "intermediate.int_shipment_status_history": "tenant_id, shipment_id, event_id",
    "intermediate.int_shipment_life": "tenant_id, shipment_id",
    "intermediate.int_shipment_assignment": "tenant_id, shipment_id, event_id",
    "marts.dim_site": "tenant_id, site_id",
    "marts.dim_vehicle": "tenant_id, vehicle_id",
    "marts.dim_driver": "tenant_id, driver_key",
    "marts.fct_shipment": "tenant_id, shipment_id",
    "marts.fct_shipment_sla": "tenant_id, shipment_id",
    "marts.fct_delivery_exception": "tenant_id, shipment_id, event_id",
    "marts.fct_on_time_daily": "tenant_id, promised_date, region, carrier_id, service_level, mode",
    "reports.rpt_morning_sla": "tenant_id, dimension, member",
}


@contextmanager
def warehouse(stack: Settings) -> Iterator[Settings]:
    """Yield settings of a fresh, migrated database beside the stack's own."""
    with scratch_warehouse(stack.dsn("owner")) as name:
        fresh = {r: Secret(with_database(d.reveal(), name)) for r, d in stack.warehouse.items()}
        settings = replace(stack, warehouse=fresh)
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            conn.execute("call ops.set_pseudonym_key('test')")
            conn.execute(
                sql.SQL("alter database {} set fleetflow.as_of = '2026-03-10 12:00+00'").format(
                    sql.Identifier(name)
                )
            )
        yield settings


def status(shipment: str, number: int, status: str, minutes: float, **changes: Any) -> dict[str, Any]:
    """A shipment event, minutes before or after NOW."""
    at = NOW + timedelta(minutes=minutes)
    event = {
        "tenant_id": "acme", "event_id": f"{shipment}-{number}", "recorded_at": at, "schema_version": 1,
        "shipment_id": shipment, "status": status, "occurred_at": at, "sequence": number, "origin": "device",
    }  # fmt: skip
    return event | changes


def assignment(shipment: str, number: int, action: str, minutes: float, **changes: Any) -> dict[str, Any]:
    """A driver assignment event, minutes before or after NOW."""
    at = NOW + timedelta(minutes=minutes)
    event = {
        "tenant_id": "acme", "event_id": f"{shipment}-a{number}", "recorded_at": at, "schema_version": 1,
        "assignment_id": f"{shipment}-m", "shipment_id": shipment, "driver_id": f"d{number}", "action": action,
        "effective_at": at, "sequence": number,
    }  # fmt: skip
    return event | changes


def land(conn: Connection, feed: str, rows: Sequence[Row]) -> int:
    """Land one batch; return its id."""
    batch = add_batch(conn, feed, len(rows))
    # The ledger bounds when a batch's rows arrived, and readers hold themselves to it.
    found = conn.execute("select last_arrived_at from ops.batch where batch_id = %s", (batch,)).fetchone()
    assert found is not None
    arrived = {"batch_id": batch, "arrived_at": found[0]}
    insert(conn, f"landing.{feed}", [{**row, **arrived, "line": line} for line, row in enumerate(rows)])
    return batch


def mirror(conn: Connection, entity: str, rows: Sequence[Row]) -> int:
    """Apply one CDC batch to the mirror and its history; return its id."""
    batch = add_batch(conn, entity, len(rows), source="cdc")
    key = {"sites": "site_id", "drivers": "driver_id", "vehicles": "vehicle_id", "shipments": "shipment_id"}[
        entity
    ]
    for seq, row in enumerate(rows):
        lsn = f"0/{batch:X}"
        meta = {"_lsn": lsn, "_committed_at": NOW, "batch_id": batch}
        delete = sql.SQL("delete from source.{} where {} = %s")
        conn.execute(delete.format(sql.Identifier(entity), sql.Identifier(key)), (row[key],))
        insert(conn, f"source.{entity}", [{**row, **meta}])
        image = {name: value for name, value in row.items() if name != "_deleted"}
        insert(conn, f"source.{entity}_history", [{**image, **meta, "_op": "u", "_seq": seq}])
    return batch


def add_batch(conn: Connection, feed: str, rows: int, source: str = "stream") -> int:
    """Write a batch into the ledger; return its id."""
    row = conn.execute(
        "insert into ops.batch"
        " (source, feed, events_read, accepted, rejected, worker, first_arrived_at, last_arrived_at)"
        " values (%(source)s, %(feed)s, %(rows)s, %(rows)s, 0, 'test', now(), now()) returning batch_id",
        {"source": source, "feed": feed, "rows": rows},
    ).fetchone()
    assert row is not None
    return int(row[0])


def insert(conn: Connection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows, each with the columns that it names."""
    for names in {tuple(row) for row in rows}:
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join(map(sql.Placeholder, names)),
        )
        with conn.cursor() as cursor:
            cursor.executemany(statement, [row for row in rows if tuple(row) == names])


def transform(settings: Settings, **options: Any) -> list[Outcome]:
    """Run the pipeline until nothing is pending."""
    outcomes: list[Outcome] = []
    while outcome := run_pipeline(settings, **options):
        outcomes.append(outcome)
        options.pop("full_refresh", None)
    return outcomes


def marts(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every mart, in the order of its key, but for where the audit's chains end."""
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        return {name: _without_arrival(conn, name, key) for name, key in MARTS.items()}


def _without_arrival(conn: Connection, name: str, key: str) -> list[tuple[Any, ...]]:
    columns = [
        column
        for (column,) in conn.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 order by attnum",
            (name,),
        )
        if column not in OF_ARRIVAL
    ]
    return conn.execute(f"select {', '.join(columns)} from {name} order by {key}".encode()).fetchall()


def population(shipments: int, seed: int = 7) -> dict[str, list[dict[str, Any]]]:
    """Sites, drivers, vehicles, shipments with orders, and events: mostly in order, some illegal, some of no order."""
    dice = random.Random(seed)
    found: dict[str, list[dict[str, Any]]] = {
        "sites": [site(i) for i in range(6)], "drivers": [driver(i) for i in range(5)],
        "vehicles": [vehicle(i) for i in range(5)], "shipments": [], "shipment_event": [],
        "driver_assignment_event": [],
    }  # fmt: skip
    for i in range(shipments):
        name = f"s{i:04}"
        if dice.random() < 0.95:
            found["shipments"].append(order(name, dice))
        found["shipment_event"] += _life(name, dice)
        if dice.random() < 0.3:
            found["driver_assignment_event"].append(assignment(name, 1, "assigned", dice.uniform(-3000, 0)))
        if dice.random() < 0.1:
            found["driver_assignment_event"].append(assignment(name, 2, "unassigned", dice.uniform(-3000, 0)))
    return found


def _life(name: str, dice: random.Random) -> list[dict[str, Any]]:
    minutes, events = dice.uniform(-4000, -1500), []
    for number, step in enumerate(CHAIN[: dice.randint(0, 6)]):
        minutes += dice.choice([0, dice.uniform(5, 600)])
        chosen = dice.choice(STATUSES) if dice.random() < 0.1 else step
        reason = dice.choice(REASONS) if chosen in ("exception", "failed_attempt") else None
        named = dice.random() < 0.8
        events.append(
            status(name, number, chosen, minutes, reason_code=reason,
                   driver_id=f"d{dice.randint(0, 6)}" if named else None,
                   vehicle_id=f"v{dice.randint(0, 4)}" if named else None)
        )  # fmt: skip
    return events


def site(number: int, **changes: Any) -> dict[str, Any]:
    """A site as the order system has it."""
    region = ("north", "south", "east")[number % 3]
    return {"site_id": f"x{number}", "tenant_id": "acme", "name": f"Site {number}", "kind": "hub", "region": region,
            "country": "DE", "city": "C", "lat": 50.0, "lon": 9.0, "timezone": "UTC"} | changes  # fmt: skip


def driver(number: int) -> dict[str, Any]:
    """A driver as the mirror has one."""
    return {"driver_id": f"d{number}", "tenant_id": "acme", "licence_class": "C", "home_site_id": "x1",
            "status": "active", "hired_on": NOW.date()}  # fmt: skip


def vehicle(number: int) -> dict[str, Any]:
    """A vehicle as the mirror has one."""
    return {"vehicle_id": f"v{number}", "tenant_id": "acme", "make": "M", "model": "N", "model_year": 2020,
            "vehicle_class": "van", "capacity_kg": 900, "tank_l": 70, "home_site_id": "x1",
            "status": "active"}  # fmt: skip


def order(name: str, dice: random.Random, **changes: Any) -> dict[str, Any]:
    """A shipment as the order system has it."""
    created = NOW - timedelta(minutes=dice.uniform(2000, 5000))
    return {
        "shipment_id": name, "tenant_id": "acme", "customer_id": f"c{dice.randint(0, 3)}",
        "carrier_id": f"k{dice.randint(0, 2)}", "service_level": dice.choice(("express", "standard", "economy")),
        "mode": dice.choice(("road", "air")), "origin_site_id": f"x{dice.randint(0, 5)}",
        "destination_site_id": f"x{dice.randint(0, 6)}", "pieces": 1, "status": "created", "created_at": created,
        "promised_at": created + timedelta(minutes=dice.uniform(500, 3000)),
        "cancelled_at": NOW if dice.random() < 0.05 else None,
    } | changes  # fmt: skip
