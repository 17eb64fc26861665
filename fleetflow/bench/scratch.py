"""A scratch warehouse in the cluster of the settings, dropped when the benchmark ends."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from fleetflow.migrations import apply
from fleetflow.settings import PROJECT_ROOT


def with_database(dsn: str, database: str) -> str:
    """Return the same address with another database."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


@contextmanager
def scratch_warehouse(owner_dsn: str) -> Iterator[str]:
    """Yield the name of a migrated database that goes away afterwards."""
    name = f"bench_{secrets.token_hex(4)}"
    with psycopg.connect(owner_dsn, autocommit=True) as conn:
        conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    try:
        apply(with_database(owner_dsn, name), PROJECT_ROOT / "sql" / "migrations")
        yield name
    finally:
        with psycopg.connect(owner_dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
