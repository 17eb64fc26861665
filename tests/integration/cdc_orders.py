"""A real order database and a real warehouse for the CDC tests: one cluster, two databases a test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from fleetflow import migrations
from fleetflow.local import postgres
from fleetflow.local.pgsql import choose_place
from fleetflow.local.process import pick_port
from ingestion import cdc

Connection = psycopg.Connection[tuple[Any, ...]]

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = ROOT / "sql" / "migrations"
PASSWORD = "for-tests-only"
LOGINS = {"orders_owner": "", "orders_cdc": "replication"}

SITES = (
    "insert into sites select 'S' || i, 'acme', 'Site ' || i, 'depot', 'north', 'DE', 'Kiel', 54.3, 10.1,"
    " 'Europe/Berlin' from generate_series({}, {}) i"
)
DRIVERS = (
    "insert into drivers select 'D' || i, 'acme', 'Jane Doe ' || i, '+49' || i, 'LIC' || i, 'C', 'S1', 'active',"
    " date '2020-01-01' + i from generate_series({}, {}) i"
)
SHIPMENTS = (
    "insert into shipments select 'SH-' || i, 'acme', 'O-' || i, 'C-' || i % 1000, 'CARR' || i % 20, 'express',"
    " 'road', 'S1', 'S1', 1 + i % 5, 10.5 + i % 100, i, 'EUR', 'created', now(), now() + interval '2 days', null,"
    " now() from generate_series({}, {}) i"
)


@dataclass
class Pair:
    """An order database with its publication, and an empty warehouse; connections are closed with it."""

    orders_dsn: str
    cdc_dsn: str
    warehouse_dsn: str
    admin_dsn: str
    opened: list[Connection] = field(default_factory=list)

    def open(self, dsn: str, *, autocommit: bool = True) -> Connection:
        self.opened.append(psycopg.connect(dsn, autocommit=autocommit, options="-c timezone=UTC"))
        return self.opened[-1]

    @property
    def orders(self) -> Connection:
        return self.open(self.orders_dsn)

    @property
    def source(self) -> Connection:
        return self.open(self.cdc_dsn)

    @property
    def warehouse(self) -> Connection:
        return self.open(self.warehouse_dsn)

    def snapshot(self, **options: Any) -> cdc.PullReport:
        with psycopg.connect(self.warehouse_dsn) as warehouse:
            return cdc.snapshot(self.cdc_dsn, warehouse, **options)

    def pull(self, **options: Any) -> cdc.PullReport:
        with (
            psycopg.connect(self.cdc_dsn, autocommit=True) as source,
            psycopg.connect(self.warehouse_dsn) as warehouse,
        ):
            return cdc.pull(source, warehouse, **options)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Query the warehouse."""
        with psycopg.connect(self.warehouse_dsn, options="-c timezone=UTC") as warehouse:
            return warehouse.execute(statement.encode(), values or None).fetchall()

    def order_rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Query the order database."""
        with psycopg.connect(
            self.orders_dsn, options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres"
        ) as orders:
            return orders.execute(statement.encode(), values or None).fetchall()

    def write(self, *statements: str) -> None:
        """Change the order database: one transaction."""
        with psycopg.connect(self.orders_dsn) as orders:
            for statement in statements:
                orders.execute(statement.encode())

    def published(self, entity: str) -> list[str]:
        found = self.order_rows(
            "select attnames::text[] from pg_publication_tables where tablename = %s", entity
        )
        return list(found[0][0])

    def assert_mirrored(self) -> None:
        """The mirror equals the source, and the history replays to the mirror."""
        for entity in cdc.TABLES:
            columns = ", ".join('"' + name.replace('"', '""') + '"' for name in self.published(entity))
            source = self.order_rows(f"select {columns} from {entity} order by 1")
            assert self.rows(f"select {columns} from source.{entity} where not _deleted order by 1") == source
            assert self.replayed(entity, columns) == source

    def replayed(self, entity: str, columns: str) -> list[tuple[Any, ...]]:
        """Interpret the history in plain Python: the reference that current has to agree with."""
        versions = self.rows(
            f"select _op, {columns} from source.{entity}_history order by batch_id, _lsn, _seq"
        )
        alive: dict[Any, tuple[Any, ...]] = {}
        for operation, *row in versions:
            if operation == "t":
                alive.clear()
            elif operation == "d":
                del alive[row[0]]
            else:
                alive[row[0]] = tuple(row)
        return [alive[key] for key in sorted(alive)]


@dataclass
class Cluster:
    """An embedded Postgres with one template of each database."""

    port: int
    names: Iterator[int] = field(default_factory=itertools.count)

    def dsn(self, role: str, database: str) -> str:
        return postgres.dsn(self.port, role, PASSWORD, database)

    def admin(self, database: str = "postgres") -> Connection:
        return psycopg.connect(self.dsn(postgres.ADMIN, database), autocommit=True)

    def make_templates(self) -> None:
        with self.admin() as admin:
            admin.execute("alter system set fsync = off")  # the machine does not lose its power in a test
            admin.execute("select pg_reload_conf()")
            for role, option in LOGINS.items():
                admin.execute(
                    sql.SQL("create role {} login password {} " + option).format(
                        sql.Identifier(role), PASSWORD
                    )
                )
            admin.execute("create database orders_template owner orders_owner")
            admin.execute("create database warehouse_template")
        with self.admin("orders_template") as admin:
            admin.execute("alter schema public owner to orders_owner")
        migrations.apply(self.dsn("orders_owner", "orders_template"), ROOT / "sql" / "orders")
        migrations.apply(self.dsn(postgres.ADMIN, "warehouse_template"), MIGRATIONS)
        with self.admin() as admin:
            admin.execute(sql.SQL("alter role fleet_loader login password {}").format(PASSWORD))

    def make_pair(self) -> Pair:
        number = next(self.names)
        with self.admin() as admin:
            for kind, owner in (("orders", "orders_owner"), ("warehouse", postgres.ADMIN)):
                admin.execute(
                    sql.SQL("create database {} template {} owner {}").format(
                        *map(sql.Identifier, (f"{kind}_{number}", f"{kind}_template", owner))
                    )
                )
        pair = Pair(
            self.dsn("orders_owner", f"orders_{number}"), self.dsn("orders_cdc", f"orders_{number}"),
            self.dsn("fleet_loader", f"warehouse_{number}"), self.dsn(postgres.ADMIN, f"orders_{number}"),
        )  # fmt: skip
        with psycopg.connect(pair.orders_dsn) as orders:
            cdc.prepare(orders, "orders_cdc")
        return pair

    def drop_pair(self, pair: Pair) -> None:
        for connection in pair.opened:
            connection.close()
        with self.admin(psycopg.conninfo.conninfo_to_dict(pair.orders_dsn)["dbname"]) as admin:
            admin.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
                " where database = current_database()"
            )
        with self.admin() as admin:
            for dsn in (pair.orders_dsn, pair.warehouse_dsn):
                name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]
                admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(str(name))))


@contextmanager
def running_cluster(home: Path) -> Iterator[Cluster]:
    """Start a cluster with its template databases, and end it."""
    place = choose_place(home)
    port = pick_port(None, None, "FLEETFLOW_PORT_POSTGRES")
    postgres.start(place, port, PASSWORD)
    try:
        cluster = Cluster(port)
        cluster.make_templates()
        yield cluster
    finally:
        postgres.stop(place)
        shutil.rmtree(place.base)
