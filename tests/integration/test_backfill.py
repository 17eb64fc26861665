"""Backfills from landing: whatever was damaged by hand, the marts are those of a build from scratch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from backfill_warehouse import DAY, MIDNIGHT, backfill, fill, land_with_bounds, standing
from transform_warehouse import marts, status, transform, warehouse

from fleetflow import transform as runs
from fleetflow.backfill import Request, parse_instant, plan_backfill
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from ingestion.backfill import ledger
from ingestion.backfill.model import BackfillError, BusyError, Span

SHIPMENTS = 250

# What a person, or a bug, can do to the tables of a day. Each is a defect that the marts would show.
DAMAGE = {
    "history of the day deleted": (
        "delete from intermediate.int_shipment_status_history where occurred_at >= %(from)s and occurred_at < %(to)s",
    ),
    "history of the day and lives deleted": (
        "delete from intermediate.int_shipment_status_history where occurred_at >= %(from)s and occurred_at < %(to)s",
        "delete from intermediate.int_shipment_life as l where exists (select from landing.shipment_event as e"
        " where e.shipment_id = l.shipment_id and e.occurred_at >= %(from)s and e.occurred_at < %(to)s)",
    ),
    "marts of the day wrong and gone": (
        "update marts.fct_shipment as f set status = 'returned', events = 99, delivered_at = null where exists"
        " (select from landing.shipment_event as e where e.shipment_id = f.shipment_id"
        " and e.occurred_at >= %(from)s and e.occurred_at < %(to)s)",
        "delete from marts.fct_delivery_exception where shipment_id in (select shipment_id from landing.shipment_event"
        " where occurred_at >= %(from)s and occurred_at < %(to)s)",
        "delete from marts.fct_shipment where shipment_id in (select shipment_id from landing.shipment_event"
        " where occurred_at >= %(from)s and occurred_at < %(to)s order by 1 limit 5)",
    ),
    "lives and positions wrong": (
        "update intermediate.int_shipment_life set events = events + 7, last_event_at = last_event_at - interval '9 days'"
        " where shipment_id in (select shipment_id from landing.shipment_event where occurred_at >= %(from)s"
        " and occurred_at < %(to)s)",
        "update intermediate.int_shipment_status_history set position = position + 3, is_legal = not is_legal"
        " where shipment_id in (select shipment_id from landing.shipment_event where occurred_at >= %(from)s"
        " and occurred_at < %(to)s)",
    ),
    "contents forged, events invented": (
        "update intermediate.int_shipment_status_history set status = 'exception',"
        " recorded_at = recorded_at - interval '1 hour' where event_id in (select event_id from landing.shipment_event"
        " where occurred_at >= %(from)s and occurred_at < %(to)s order by 1 limit 9)",
        "update intermediate.int_shipment_status_history set lat = 1, lon = 1 where event_id in (select event_id"
        " from landing.shipment_event where occurred_at >= %(from)s and occurred_at < %(to)s order by 1 desc limit 9)",
        "insert into intermediate.int_shipment_status_history select tenant_id, shipment_id, 'invented-' || event_id,"
        " position + 1, status, 'returned', true, occurred_at + interval '1 second', recorded_at, null, null, null,"
        " null, null, null, 'device' from intermediate.int_shipment_status_history"
        " where occurred_at >= %(from)s and occurred_at < %(to)s - interval '1 minute' order by event_id limit 4",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("backfill"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def scratch(stack: Settings) -> dict[str, Any]:
    """The marts of a warehouse that was built from all events once, and never touched."""
    with warehouse(stack) as settings:
        fill(settings, SHIPMENTS)
        return marts(settings)


@pytest.fixture(scope="module")
def settings(stack: Settings) -> Iterator[Settings]:
    with warehouse(stack) as fresh:
        fill(fresh, SHIPMENTS)
        yield fresh


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize("statements", DAMAGE.values(), ids=DAMAGE)
def test_after_it_the_marts_are_those_of_a_build_from_scratch(
    settings: Settings, owner: Connection, scratch: dict[str, Any], statements: tuple[str, ...]
) -> None:
    for statement in statements:
        assert owner.execute(statement.encode(), {"from": DAY.from_at, "to": DAY.to_at}).rowcount > 0
    damaged = marts(settings)
    assert damaged != scratch
    outcome = backfill(settings)
    assert (outcome.state, outcome.failures) == ("done", ())
    found = marts(settings)
    for name, table in scratch.items():
        assert found[name] == table, name
