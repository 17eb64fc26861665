"""How long the batches stay that the audit cites: as long as an entry cites them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

LIMIT = datetime(2031, 5, 6, tzinfo=UTC)
OLD, YOUNG = LIMIT - timedelta(days=1), LIMIT + timedelta(days=1)
ENTRY = (
    "insert into audit.shipment_status (tenant_id, shipment_id, entry, event_id, version, position, status, is_legal,"
    " occurred_at, recorded_at, origin, batch_id, believed_from, hash)"
    " values (%(tenant)s, 's', 1, 'e', 1, 1, 'created', true, %(at)s, %(at)s, 'device', %(batch)s, %(at)s, '')"
)
ORDER = (
    "insert into audit.shipment_order (tenant_id, shipment_id, entry, is_deleted, lsn, committed_at, batch_id,"
    " believed_from, hash) values (%(tenant)s, 's', 1, false, '0/1', %(at)s, %(batch)s, %(at)s, '')"
)


@pytest.fixture
def conn(warehouse: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that is rolled back, for the other tests share the warehouse."""
    with psycopg.connect(warehouse) as opened:
        yield opened
        opened.rollback()


def cite(conn: psycopg.Connection[Any], batch: int, tenant: str = "acme", landed: datetime = OLD) -> None:
    conn.execute(
        "insert into audit.source_batch (tenant_id, batch_id, source, feed, landed_at)"
        " values (%s, %s, 'stream', 'shipment_event', %s)",
        (tenant, batch, landed),
    )


def left(conn: psycopg.Connection[Any]) -> list[tuple[str, int]]:
    return conn.execute("select tenant_id, batch_id from audit.source_batch order by 1, 2").fetchall()


def expire(conn: psycopg.Connection[Any], chunk: int = 100) -> int:
    conn.execute("set local role fleet_transformer")
    ((gone,),) = conn.execute("select ops.expire_audit_sources(%s, %s)", (LIMIT, chunk)).fetchall()
    conn.execute("reset role")
    return int(gone)


def test_what_is_cited_or_young_stays(conn: psycopg.Connection[Any]) -> None:
    for batch in (1, 2, 3):
        cite(conn, batch)
    cite(conn, 1, "rival")
    cite(conn, 4, landed=YOUNG)
    conn.execute(ENTRY, {"tenant": "acme", "batch": 1, "at": OLD})
    conn.execute(ORDER, {"tenant": "acme", "batch": 2, "at": OLD})
    assert expire(conn) == 2
    assert left(conn) == [("acme", 1), ("acme", 2), ("acme", 4)]
    assert expire(conn) == 0


def test_it_goes_chunk_by_chunk(conn: psycopg.Connection[Any]) -> None:
    for batch in range(5):
        cite(conn, batch)
    assert [expire(conn, chunk=2) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize("role", ["fleet_loader", "fleet_ops", "fleet_analyst"])
def test_nobody_else_expires_them(conn: psycopg.Connection[Any], role: str) -> None:
    conn.execute(f"set local role {role}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute("select ops.expire_audit_sources(now(), 1)")
