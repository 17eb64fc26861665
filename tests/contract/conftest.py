"""A migrated warehouse in a Postgres of our own, to hold against the contracts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from fleetflow.local import postgres
from fleetflow.local.pgsql import choose_place
from fleetflow.local.process import pick_port
from fleetflow.migrations import apply
from fleetflow.settings import PROJECT_ROOT

PASSWORD = "only-on-loopback"


@contextmanager
def running(home: Path) -> Iterator[int]:
    """Run a Postgres of our own; yield its port."""
    place = choose_place(home)
    port = pick_port(None, None, "FLEETFLOW_POSTGRES_PORT")
    postgres.start(place, port, PASSWORD)
    try:
        yield port
    finally:
        postgres.stop(place)
        shutil.rmtree(place.base)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Postgres that ends with the session."""
    with running(tmp_path_factory.mktemp("contract")) as port:
        yield port


def create_database(port: int, name: str) -> str:
    """Create an empty database; return its owner's address."""
    with psycopg.connect(postgres.dsn(port, postgres.ADMIN, PASSWORD, "postgres"), autocommit=True) as conn:
        conn.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))
    return postgres.dsn(port, postgres.ADMIN, PASSWORD, name)


@pytest.fixture(scope="session")
def warehouse(cluster: int) -> str:
    """The owner's address of a migrated warehouse."""
    dsn = create_database(cluster, "contract_warehouse")
    apply(dsn, PROJECT_ROOT / "sql" / "migrations")
    return dsn


@pytest.fixture(scope="session")
def orders(cluster: int) -> str:
    """The owner's address of a migrated order database."""
    dsn = create_database(cluster, "contract_orders")
    apply(dsn, PROJECT_ROOT / "sql" / "orders")
    return dsn


@pytest.fixture
def empty_database(cluster: int, request: pytest.FixtureRequest) -> str:
    """The owner's address of an empty database of the test's own."""
    return create_database(cluster, Path(request.node.name).name[:40].lower())
