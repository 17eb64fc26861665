"""The simulator's order database on a real Postgres: filled, changed along, coherent with what was streamed."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "simulator"))

from simulator_runs import ROOT, ListSink, small_plan

from fleetflow import migrations
from fleetflow.local import postgres
from fleetflow.local.pgsql import choose_place
from fleetflow.local.process import pick_port, wait_until
from fleetflow.simulator import Streams, build_fleet, fill, is_filled, run_simulation
from fleetflow.simulator.changes import OrderChanges, OrdersError
from fleetflow.simulator.pacing import PlannedClock, WallClock

PASSWORD = "for-tests-only"
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    place = choose_place(tmp_path_factory.mktemp("simulator"))
    port = pick_port(None, None, "FLEETFLOW_PORT_POSTGRES")
    postgres.start(place, port, PASSWORD)
    try:
        yield port
    finally:
        postgres.stop(place)
        shutil.rmtree(place.base)


NAMES = itertools.count()


@pytest.fixture
def orders(server: int) -> Iterator[Connection]:
    name = f"orders_{next(NAMES)}"
    with psycopg.connect(
        postgres.dsn(server, postgres.ADMIN, PASSWORD, "postgres"), autocommit=True
    ) as admin:
        admin.execute(f"create database {name}".encode())
    dsn = postgres.dsn(server, postgres.ADMIN, PASSWORD, name)
    migrations.apply(dsn, ROOT / "sql" / "orders")
    with psycopg.connect(dsn, options="-c timezone=UTC") as conn:
        yield conn


def number(conn: Connection, query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    conn.rollback()
    assert row
    return int(row[0])


def test_the_fleet_is_copied_in_and_counts_add_up(orders: Connection) -> None:
    fleet = build_fleet(small_plan())
    assert not is_filled(orders, "acme")
    added = fill(orders, fleet)
    assert is_filled(orders, "acme")
    assert not is_filled(orders, "zenith")
    for table in ("sites", "drivers", "vehicles", "shipments", "driver_assignments"):
        assert number(orders, f"select count(*) from {table}") == getattr(added, table) > 0
    assert added.drivers == 60
    assert added.shipments == len(fleet.shipments)


def test_a_second_fleet_shares_sites_drivers_and_vehicles(orders: Connection) -> None:
    plan = small_plan()
    fill(orders, build_fleet(plan))
    added = fill(orders, build_fleet(replace(plan, start=plan.start.replace(hour=10), history_days=0)))
    assert (added.sites, added.drivers, added.vehicles) == (0, 0, 0)
    assert added.shipments > 0


def test_filling_twice_with_the_same_fleet_adds_nothing(orders: Connection) -> None:
    fleet = build_fleet(small_plan())
    fill(orders, fleet)
    with pytest.raises(psycopg.errors.UniqueViolation):
        fill(orders, fleet)
    assert number(orders, "select count(*) from shipments") == len(fleet.shipments)


@pytest.mark.parametrize("autocommit", [False, True])
def test_the_rows_follow_the_stream(orders: Connection, autocommit: bool) -> None:
    orders.autocommit = autocommit
    plan = small_plan(rate=400, seconds=4, order_changes_per_s=1_000.0)
    fleet = build_fleet(plan)
    before = len(fleet.shipments)
    fill(orders, fleet)
    gps, status = ListSink(), ListSink()
    truth = run_simulation(plan, orders, Streams(gps, status), None, fleet=fleet, clock=WallClock())
    assert truth.complete
    stored = {
        row[0]: row[1:]
        for row in orders.execute(
            "select shipment_id, status, (extract(epoch from promised_at) * 1000)::bigint,"
            " (extract(epoch from updated_at) * 1000)::bigint from shipments"
        )
    }
    moved = [s for s in fleet.shipments if s.last_ms > plan.start_ms]
    assert moved
    for shipment in fleet.shipments:
        assert stored[shipment.shipment_id][:2] == (shipment.status, shipment.promised_ms)
    assert len(stored) > before, "new shipments were booked while the stream ran"
    assignments = dict(orders.execute("select assignment_id, unassigned_at from driver_assignments"))
    for shipment in fleet.shipments:
        for assignment in shipment.assignments:
            assert (assignments[assignment.assignment_id] is None) is (not assignment.until_ms)
    assert (
        number(
            orders,
            "select count(*) from shipments where (status = 'cancelled') <> (cancelled_at is not null)",
        )
        == 0
    )


def test_changes_go_in_small_transactions_at_the_given_rate(orders: Connection) -> None:
    plan = small_plan(rate=400, seconds=2, order_changes_per_s=40.0)
    fleet = build_fleet(plan)
    fill(orders, fleet)
    changes = OrderChanges(orders, fleet, 40.0)
    for shipment in fleet.open_shipments:
        changes.moved(shipment, plan.start_ms)
    noted = changes.waiting
    with changes:
        wait_until(lambda: changes.written > 0, 60, 0.002)
        first = changes.written
        assert 0 < first < noted
    assert changes.waiting == 0
    assert changes.written >= noted


def test_a_failed_change_ends_the_run_with_its_cause(orders: Connection) -> None:
    plan = small_plan(rate=100, seconds=30, history_days=0, order_changes_per_s=1_000.0)
    fleet = build_fleet(plan)
    fill(orders, fleet)
    orders.execute("alter table shipments add constraint no_more check (status <> 'in_transit') not valid")
    orders.commit()
    sink = ListSink()
    with pytest.raises(OrdersError, match="no_more"):
        run_simulation(plan, orders, Streams(sink, sink), None, fleet=fleet, clock=WallClock())


def test_a_planned_clock_needs_no_time(orders: Connection) -> None:
    plan = small_plan(rate=50, seconds=60)
    truth = run_simulation(
        plan, orders, Streams(ListSink(), ListSink()), None, clock=PlannedClock(plan.start_ms)
    )
    assert truth.live_seconds > 59
