"""What the embedded cluster holds: databases, roles with their passwords, and the migrated schemas.

Everything here may be repeated. Passwords reach the server already hashed, so that no log ever holds one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import sql

from fleetflow.local import postgres
from fleetflow.migrations import apply
from fleetflow.settings import PROJECT_ROOT

DATABASES = {"warehouse": postgres.ADMIN, "orders": "orders_owner", "airflow": "airflow"}
WAREHOUSE_ROLES = (
    "fleet_owner",
    "fleet_loader",
    "fleet_transformer",
    "fleet_ops",
    "fleet_analyst",
    "fleet_live",
)
CDC_ROLE = "orders_cdc"
OWN_ROLES = {"orders_owner": "", "airflow": "", CDC_ROLE: "replication"}

Secret = Callable[[str], str]
"""Returns the password of a role, generated once."""


def uri(port: int, secret: Secret, role: str, database: str) -> str:
    """Return the address of a database for a role."""
    return postgres.dsn(port, role, secret(role), database)


def create(port: int, secret: Secret) -> None:
    """Create the databases and their owners where they are missing."""
    with psycopg.connect(uri(port, secret, postgres.ADMIN, "postgres"), autocommit=True) as conn:
        for role, attribute in OWN_ROLES.items():
            _create_role(conn, role, attribute)
            _let_in(conn, role, secret(role))
        for name, owner in DATABASES.items():
            if conn.execute("select from pg_database where datname = %s", (name,)).fetchone() is None:
                statement = sql.SQL("create database {} owner {}")
                conn.execute(statement.format(sql.Identifier(name), sql.Identifier(owner)))


def migrate(port: int, secret: Secret) -> list[str]:
    """Migrate warehouse and order database, open the roles, prepare the CDC; return the files that ran."""
    from ingestion.cdc.publication import prepare

    warehouse = uri(port, secret, postgres.ADMIN, "warehouse")
    orders = uri(port, secret, "orders_owner", "orders")
    ran = apply(warehouse, PROJECT_ROOT / "sql" / "migrations") + apply(
        orders, PROJECT_ROOT / "sql" / "orders"
    )
    with psycopg.connect(warehouse, autocommit=True) as conn:
        conn.execute("call ops.set_pseudonym_key(%s)", (secret("pseudonym"),))
        for role in WAREHOUSE_ROLES:
            _let_in(conn, role, secret(role))
    with psycopg.connect(orders) as owner:
        prepare(owner, CDC_ROLE)
    return ran


def _create_role(conn: psycopg.Connection[Any], role: str, attribute: str) -> None:
    if conn.execute("select from pg_roles where rolname = %s", (role,)).fetchone() is None:
        conn.execute(sql.SQL("create role {} {}").format(sql.Identifier(role), sql.SQL(attribute)))


def _let_in(conn: psycopg.Connection[Any], role: str, password: str) -> None:
    hashed = conn.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
    statement = sql.SQL("alter role {} login password {}")
    conn.execute(statement.format(sql.Identifier(role), sql.Literal(hashed.decode())))
