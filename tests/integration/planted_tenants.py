"""A warehouse in which two tenants stand in every table that has a tenant, whatever tables there are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from transform_warehouse import warehouse

from fleetflow.dbt_project import run_models
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

TENANTS = ("acme", "rival")
# What the tests themselves set: planted rows there would open doors.
_CONTROLS = {"ops.analyst_tenant", "ops.analyst_scope", "ops.vehicle_grant"}
_TABLES = """
    select n.nspname, c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p') and not c.relispartition and n.nspname not in ('pg_catalog', 'information_schema')
        and exists (select from pg_attribute as a where a.attrelid = c.oid and a.attname = 'tenant_id')
    order by 1, 2
"""
_COLUMNS = """
    select a.attname, t.typcategory::text, format_type(a.atttypid, a.atttypmod)
    from pg_attribute as a join pg_type as t on t.oid = a.atttypid
    where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
        and a.attgenerated = '' and a.attidentity = ''
    order by a.attnum
"""


@contextmanager
def planted_warehouse(home: Path) -> Iterator[Settings]:
    """Yield a built warehouse of no events, with one row of each tenant in every table with tenant_id."""
    with running(home, ("postgres",)) as stack, warehouse(stack) as settings:
        run_models(settings, None)
        with connect(settings.dsn("transformer"), autocommit=True) as conn:
            conn.execute("create table live.vehicle_status (tenant_id text, vehicle_id text, status text)")
            conn.execute("select ops.publish('live.vehicle_status')")
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            plant(conn)
        yield settings


def plant(conn: Connection) -> None:
    """Put a row of each tenant into every table; every text of it names the tenant. Checks do not count here."""
    conn.execute("set session_replication_role = replica")
    for schema, table in conn.execute(_TABLES.encode()).fetchall():
        if f"{schema}.{table}" not in _CONTROLS:
            _drop_checks(conn, f"{schema}.{table}")
            for tenant in TENANTS:
                _plant_row(conn, schema, table, tenant)
    conn.execute("reset session_replication_role")
    conn.execute("analyze")


def _drop_checks(conn: Connection, table: str) -> None:
    checks = conn.execute(
        "select conname from pg_constraint where conrelid = %s::regclass and contype in ('c', 'f')", (table,)
    ).fetchall()
    for (name,) in checks:
        conn.execute(
            sql.SQL("alter table {} drop constraint {}").format(
                sql.Identifier(*table.split(".")), sql.Identifier(name)
            )
        )


def _plant_row(conn: Connection, schema: str, table: str, tenant: str) -> None:
    columns = conn.execute(_COLUMNS, (f"{schema}.{table}",)).fetchall()
    values = [(name, _value(name, category, kind, tenant)) for name, category, kind in columns]
    conn.execute(
        sql.SQL("insert into {} ({}) values ({}) on conflict do nothing").format(
            sql.Identifier(schema, table),
            sql.SQL(", ").join(sql.Identifier(name) for name, _ in values),
            sql.SQL(", ").join(value for _, value in values),
        )
    )


def _value(name: str, category: str, kind: str, tenant: str) -> sql.Composable:
    if name == "tenant_id":
        return sql.Literal(tenant)
    if kind.startswith("character(") or kind == '"char"':
        return sql.Literal("x")
    match category:
        case "S":
            return sql.Literal(f"{tenant}-secret")
        case "N":
            return sql.SQL("7")
        case "B":
            return sql.SQL("true")
        case "D":
            return sql.Literal("2026-03-10 06:00+00")
        case "T":
            return sql.SQL("interval '7 minutes'")
        case "A":
            return sql.Literal("{}")
    known = {
        "json": sql.Literal(f'{{"who": "{tenant}-secret"}}'),
        "jsonb": sql.Literal(f'{{"who": "{tenant}-secret"}}'),
        "bytea": sql.Literal(f"{tenant}-secret".encode()),
        "uuid": sql.SQL("gen_random_uuid()"),
        "pg_lsn": sql.Literal("0/7"),
        "inet": sql.Literal("10.0.0.7"),
    }
    if kind not in known:
        raise LookupError(f"column {name} is of type {kind}: say here what to plant in it")
    return known[kind]


@contextmanager
def login(settings: Settings, group: str, *, tenant: str | None = None) -> Iterator[tuple[str, str]]:
    """Make a login of a group, bound to a tenant if one is given; yield its name and its address."""
    name, password = f"{group}_{secrets.token_hex(3)}", secrets.token_hex(8)
    address = psycopg.conninfo.make_conninfo(settings.dsn("owner"), user=name, password=password)
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        owner.execute(
            sql.SQL("create role {} login password {} in role {}").format(
                sql.Identifier(name), sql.Literal(password), sql.Identifier(group)
            )
        )
        if tenant is not None:
            owner.execute(
                "insert into ops.analyst_tenant (login, tenant_id, reason) values (%s, %s, 'test')",
                (name, tenant),
            )
        yield name, address
        owner.execute("delete from ops.analyst_tenant where login = %s", (name,))
        owner.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
        owner.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))
