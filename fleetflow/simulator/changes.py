"""Lets the order database's rows follow the stream: bookings, statuses, promises, assignments, vehicles.

The stream's thread only notes what changed (in memory, the latest state per row); a thread of ours writes it
in small transactions at a bounded rate, and everything that is left at the end. A failed write ends the run:
it is raised by the next note or by leaving the context.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import Any

import psycopg
from psycopg import sql

from fleetflow.runtime import Connection
from fleetflow.simulator.fleet import Fleet
from fleetflow.simulator.orders import ASSIGNMENTS, SHIPMENTS, Row, assignment_row, moment, shipment_row
from fleetflow.simulator.plan import seeded
from fleetflow.simulator.shipments import Assignment, Shipment

TURN_S = 0.5
ROWS_PER_TRANSACTION = 200
FINAL_ROWS = 5_000
# One change to the fleet itself (a vehicle, now and then a driver) every so many turns.
FLEET_EVERY_TURNS = 8

MOVE_SHIPMENTS = """
update shipments s set status = v.status, promised_at = v.promised_at, cancelled_at = v.cancelled_at,
    updated_at = v.updated_at
from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    as v (shipment_id, status, promised_at, cancelled_at, updated_at)
where s.shipment_id = v.shipment_id
"""
CLOSE_ASSIGNMENTS = """
update driver_assignments a set unassigned_at = v.until, updated_at = v.until
from unnest(%s::text[], %s::timestamptz[]) as v (assignment_id, until)
where a.assignment_id = v.assignment_id
"""


class OrdersError(RuntimeError):
    """The order database did not take a change; the cause is chained."""


class OrderChanges:
    """The journal of a run; a context manager that writes until it is left."""

    def __init__(self, conn: Connection, fleet: Fleet, rows_per_s: float) -> None:
        self.written = 0
        self._conn, self._fleet = conn, fleet
        self._budget = max(1, round(rows_per_s * TURN_S))
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._failure: psycopg.Error | None = None
        self._rng = seeded(fleet.plan.fingerprint(), "orders")
        self._booked: dict[str, Row] = {}
        self._moved: dict[str, tuple[str, datetime, datetime | None, datetime]] = {}
        self._opened: dict[str, tuple[str, Row]] = {}
        self._closed: dict[str, tuple[str, datetime]] = {}
        self._thread = threading.Thread(target=self._write, name="order-changes", daemon=True)

    def booked(self, shipment: Shipment) -> None:
        """Note a new shipment."""
        self._raise_failure()
        with self._lock:
            self._booked[shipment.shipment_id] = shipment_row(self._fleet.network, shipment)

    def moved(self, shipment: Shipment, at_ms: int) -> None:
        """Note a shipment's status and promise."""
        self._raise_failure()
        with self._lock:
            if shipment.shipment_id in self._booked:
                self._booked[shipment.shipment_id] = shipment_row(self._fleet.network, shipment)
                return
            at = moment(at_ms)
            cancelled = at if shipment.status == "cancelled" else None
            self._moved[shipment.shipment_id] = (shipment.status, moment(shipment.promised_ms), cancelled, at)

    def assigned(self, shipment: Shipment, assignment: Assignment) -> None:
        """Note an assignment."""
        with self._lock:
            row = assignment_row(self._fleet, shipment.shipment_id, assignment)
            self._opened[assignment.assignment_id] = (shipment.shipment_id, row)

    def released(self, shipment: Shipment, assignment: Assignment) -> None:
        """Note the end of an assignment."""
        with self._lock:
            shipment_id = shipment.shipment_id
            if assignment.assignment_id in self._opened:
                self._opened[assignment.assignment_id] = (
                    shipment_id, assignment_row(self._fleet, shipment_id, assignment)
                )  # fmt: skip
            else:
                self._closed[assignment.assignment_id] = (shipment_id, moment(assignment.until_ms))

    @property
    def waiting(self) -> int:
        """Rows noted and not yet written."""
        return len(self._booked) + len(self._moved) + len(self._opened) + len(self._closed)

    def __enter__(self) -> OrderChanges:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, and stop; raises OrdersError if a write failed."""
        self._done.set()
        self._thread.join()
        if error is None:
            self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise OrdersError(f"the order database did not take a change: {self._failure}") from self._failure

    def _write(self) -> None:
        try:
            turn = 0
            while not self._done.wait(TURN_S):
                turn += 1
                self._write_some(self._budget)
                if turn % FLEET_EVERY_TURNS == 0:
                    self._change_fleet(turn)
            while self.waiting:
                self._write_some(FINAL_ROWS, FINAL_ROWS)
        except psycopg.Error as failure:
            self._failure = failure

    def _write_some(self, budget: int, size: int = ROWS_PER_TRANSACTION) -> None:
        """Write up to `budget` rows; what a row refers to goes before it."""
        while budget > 0 and self.waiting:
            batch = self._take(min(budget, size))
            with self._conn.transaction():
                rows = sum(write(self._conn, rows) for write, rows in batch)
            if not self._conn.autocommit:
                self._conn.commit()
            self.written += rows
            budget -= min(budget, size)

    def _take(self, size: int) -> list[tuple[Callable[[Connection, list[Any]], int], list[Any]]]:
        part = max(1, size // 4)
        with self._lock:
            booked = _pop(self._booked, list(islice(self._booked, part)))
            closed = _pop(self._closed, list(islice(self._closed, part)))
            # An assignment waits for its shipment's row, and for the end of the one before it.
            blocked = {*self._booked, *(shipment for shipment, _ in self._closed.values())}
            ready = (key for key, (shipment, _) in self._opened.items() if shipment not in blocked)
            opened = _pop(self._opened, list(islice(ready, part)))
            left = max(1, size - len(booked) - len(closed) - len(opened))
            moved = _pop(self._moved, list(islice(self._moved, left)))
        return [
            (_insert_shipments, [row for _, row in booked]),
            (_close_assignments, [(key, until) for key, (_, until) in closed]),
            (_insert_assignments, [row for _, (_, row) in opened]),
            (_move_shipments, [(key, *state) for key, state in moved]),
        ]

    def _change_fleet(self, turn: int) -> None:
        """A vehicle whose drivers are off goes to the workshop or comes back; sometimes a driver leaves."""
        now = datetime.now(UTC)
        vehicle = self._fleet.crew.vehicles[self._rng.randrange(len(self._fleet.crew.vehicles))]
        at_ms = int(now.timestamp() * 1000)
        if any(self._fleet.crew.drivers[n].on_shift(self._fleet.clock, at_ms) for n in vehicle.drivers):
            return
        with self._conn.transaction():
            self.written += self._conn.execute(
                "update vehicles set status = case status when 'active' then 'workshop' else 'active' end,"
                " updated_at = %s where vehicle_id = %s",
                (now, vehicle.vehicle_id),
            ).rowcount
            if vehicle.drivers and turn % (4 * FLEET_EVERY_TURNS) == 0:
                driver = self._fleet.crew.drivers[vehicle.drivers[-1]]
                self.written += self._conn.execute(
                    "update drivers set status = 'inactive', updated_at = %s where driver_id = %s",
                    (now, driver.driver_id),
                ).rowcount
        if not self._conn.autocommit:
            self._conn.commit()


def _pop(table: dict[str, Any], keys: Iterable[str]) -> list[tuple[str, Any]]:
    return [(key, table.pop(key)) for key in keys]


def _insert(conn: Connection, table: str, columns: tuple[str, ...], rows: list[Row]) -> int:
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() * len(columns)),
    )
    if rows:
        with conn.cursor() as cursor:
            cursor.executemany(statement, rows)
    return len(rows)


def _insert_shipments(conn: Connection, rows: list[Row]) -> int:
    return _insert(conn, "shipments", SHIPMENTS, rows)


def _insert_assignments(conn: Connection, rows: list[Row]) -> int:
    return _insert(conn, "driver_assignments", ASSIGNMENTS, rows)


def _move_shipments(conn: Connection, rows: list[Any]) -> int:
    if rows:
        conn.execute(MOVE_SHIPMENTS, [list(column) for column in zip(*rows, strict=True)])
    return len(rows)


def _close_assignments(conn: Connection, rows: list[Any]) -> int:
    if rows:
        conn.execute(CLOSE_ASSIGNMENTS, [list(column) for column in zip(*rows, strict=True)])
    return len(rows)
