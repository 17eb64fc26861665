"""An analyst sees the marts of one tenant, and nothing where no tenant is set; never what lies behind the marts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import psycopg
import pytest
from transform_warehouse import assignment, land, mirror, order, status, transform, warehouse

from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings

VISIBLE = """
    select n.nspname || '.' || c.relname
    from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('marts', 'reports', 'intermediate', 'staging', 'landing', 'source', 'ops', 'vault', 'live')
    and c.relkind in ('r', 'v', 'm', 'p') and has_schema_privilege('fleet_analyst', n.oid, 'usage')
    and has_table_privilege('fleet_analyst', c.oid, 'select')
    order by 1
"""

# What is the same for every tenant: words and targets, no rows of anybody.
SEEDS = {
    "marts.service_task",
    "marts.delay_rate",
    "marts.edi_reason",
    "marts.exception_reason",
    "marts.sla_risk_window",
    "marts.sla_target",
}


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse in which two tenants have a shipment each, one of them with a missed delivery."""
    with running(tmp_path_factory.mktemp("analyst"), ("postgres",)) as stack, warehouse(stack) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            for tenant in ("acme", "rival"):
                events = [
                    status(f"{tenant}-1", n, name, n - 100.0, tenant_id=tenant, driver_id="d1")
                    for n, name in enumerate(("created", "assigned", "picked_up", "exception"))
                ]
                land(conn, "shipment_event", events)
                mirror(conn, "shipments", [order(f"{tenant}-1", random.Random(1)) | {"tenant_id": tenant}])
                land(
                    conn,
                    "driver_assignment_event",
                    [assignment(f"{tenant}-1", 1, "assigned", -90, tenant_id=tenant)],
                )
        transform(settings)
        yield settings


def visible(conn: psycopg.Connection[tuple[str]]) -> list[str]:
    return [row[0] for row in conn.execute(VISIBLE).fetchall()]


def tenants(conn: psycopg.Connection[tuple[str]], table: str) -> set[str]:
    return {row[0] for row in conn.execute(f"select distinct tenant_id from {table}".encode()).fetchall()}


def test_each_table_shows_one_tenant_or_none(marts: Settings) -> None:
    with psycopg.connect(marts.dsn("analyst"), autocommit=True) as conn:
        everything = visible(conn)
        tables = [table for table in everything if table not in SEEDS]
        assert set(everything) - set(tables) == SEEDS
        assert {"marts.fct_shipment", "marts.fct_shipment_sla", "reports.rpt_morning_sla"} <= set(tables)
        assert {table.split(".")[0] for table in tables} <= {"audit", "marts", "reports"}
        for table in tables:
            assert tenants(conn, table) == set(), f"{table} shows rows though no tenant is set"
        conn.execute("set fleetflow.tenant = 'acme'")
        seen = {table: tenants(conn, table) for table in tables}
        assert all(found <= {"acme"} for found in seen.values()), seen
        facts = ("fct_shipment", "fct_shipment_sla", "fct_delivery_exception", "fct_on_time_daily")
        assert {name: seen[f"marts.{name}"] for name in facts} == {name: {"acme"} for name in facts}


@pytest.mark.parametrize(
    "statement",
    [
        "select * from landing.shipment_event",
        "select * from source.drivers",
        "select * from intermediate.int_shipment_status_history",
        "select * from vault.pseudonym_key",
        "select ops.pseudonym('acme', 'd1')",
        "copy landing.shipment_event to stdout",
        "update audit.shipment_status set status = 'delivered'",
        "delete from audit.shipment_order",
        "select * from intermediate.int_shipment_order_head",
        "select ops.expire_shipment_audit(array['acme'], array['acme-1'])",
        "insert into marts.fct_shipment (tenant_id, shipment_id) values ('acme', 'x')",
        "set role fleet_transformer",
        "alter table marts.fct_shipment disable row level security",
        "create table marts.mine (a int)",
        "create table public.mine (a int)",
    ],
)
def test_what_an_analyst_may_not(marts: Settings, statement: str) -> None:
    with psycopg.connect(marts.dsn("analyst")) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(statement.encode())


def test_no_personal_data_in_the_marts(marts: Settings) -> None:
    """A driver is a pseudonym: its identifier stands in no text column of the marts."""
    with psycopg.connect(marts.dsn("owner"), autocommit=True) as conn:
        names = conn.execute(
            "select table_schema || '.' || table_name, column_name from information_schema.columns"
            " where table_schema in ('marts', 'reports')"
        ).fetchall()
        forbidden = {"full_name", "phone", "licence_number", "plate", "vin", "driver_id"}
        assert not [name for name in names if name[1] in forbidden]
        keys = conn.execute(
            "select driver_key from marts.fct_shipment where driver_key is not null"
        ).fetchall()
    assert keys
    assert all(len(key) == 24 and key != "d1" for (key,) in keys)
