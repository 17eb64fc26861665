"""The nightly look at the order database: against its mirror, and the mirror against the marts."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import IsolationLevel

from fleetflow.reconciliation import Step, alone, ignore
from fleetflow.reconciliation_repair import Repairs
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from quality.reconcile import (
    Attempt,
    Cause,
    CouldNotCount,
    Counted,
    Difference,
    judge,
    newest,
    record,
    stand_at,
)
from quality.reconcile import orders as tables
from quality.reconcile.windows import floor

log = logging.getLogger("fleetflow.reconciliation")

PULL_WAIT_S = 120.0


def reconcile_orders(
    settings: Settings,
    *,
    pull: bool = True,
    repair: bool = True,
    now: datetime | None = None,
    wait_s: float = 0.0,
    step: Step = ignore,
) -> Attempt:
    """Count the order database, wait until the mirror has applied all of it, compare, queue what is stale, record.

    Kept under the day before `now`. All of it is looked at each time, so what holds now holds for every day before,
    also for nights on which nobody looked. Without `pull` the mirror must be brought up to date by somebody else
    within two minutes; what it has not applied by then is not counted. `step` is called after each step, for tests
    that end the process there.

    Raises:
        UserError: another reconciliation is running.
        psycopg.Error: the order database or the warehouse cannot be read.
    """
    end = floor(now or datetime.now(UTC), "day")
    window = tables.orders_window(end - timedelta(days=1), end)
    with alone(settings, wait_s) as loader, Repairs(settings, step) as repairs:
        earlier = newest(loader, window)
        counted = _count(settings, window_of=Counted(window, datetime.now(UTC)), pull=pull)
        step("counted")
        attempt = judge(counted, earlier)
        planned = repairs.plan(counted.differences) if repair else ()
        if planned:
            done = repairs.make(planned)
            step("queued")
            attempt = judge(counted, earlier, done)
        number = record(loader, attempt)
        step("recorded")
        if attempt.verdict.holds:
            with loader.transaction():
                stand_at(loader, window)
        step("advanced")
    return replace(attempt, number=number)


def _count(settings: Settings, window_of: Counted, *, pull: bool) -> Counted:
    counted = window_of
    try:
        with connect(settings.orders_dsn.reveal()) as orders:
            lsn = tables.read_lsn(orders)
            orders.rollback()
            orders.isolation_level = IsolationLevel.REPEATABLE_READ
            first = {entity: tables.count_orders(orders, entity, lsn) for entity in tables.ENTITY_KEYS}
            # What was committed between the first look at the log and the snapshot is counted: the mirror must have it.
            counted_to = tables.read_lsn(orders)
            if not _mirror_reaches(settings, counted_to, pull=pull):
                words = f"the mirror has not applied the order database up to {counted_to}"
                counted.differences.append(Difference("order database", Cause.NOT_COUNTED, words))
                return counted
            with connect(settings.dsn("ops")) as warehouse:
                warehouse.isolation_level = IsolationLevel.REPEATABLE_READ
                _compare(orders, warehouse, counted, first)
    except CouldNotCount as fault:
        counted.differences.append(Difference("order database", Cause.NOT_COUNTED, str(fault)))
    except psycopg.Error as fault:
        words = f"could not count the order database: {str(fault).splitlines()[0]}"
        counted.differences.append(Difference("order database", Cause.NOT_COUNTED, words))
    return counted


def _compare(
    orders: psycopg.Connection[tuple[object, ...]],
    warehouse: psycopg.Connection[tuple[object, ...]],
    counted: Counted,
    first: dict[str, tables.OrdersCount],
) -> None:
    for entity, count in first.items():
        changed = tables.changed_since(warehouse, entity, count.lsn)
        if changed:
            count = tables.count_orders(orders, entity, count.lsn, changed)
        tables.compare_mirror(warehouse, counted, count, changed)
    tables.compare_marts(warehouse, counted)


def _mirror_reaches(settings: Settings, lsn: str, *, pull: bool) -> bool:
    from ingestion import cdc

    deadline = time.monotonic() + PULL_WAIT_S
    while True:
        if pull:
            try:
                with connect(settings.dsn("loader")) as warehouse:
                    cdc.sync(settings.orders_cdc_dsn.reveal(), warehouse)
            except (cdc.AlreadyRunningError, cdc.SlotTakenError) as busy:
                log.info("the pull is another's: %s", busy)
        with connect(settings.dsn("ops")) as conn:
            row = conn.execute(
                "select bool_or(applied_lsn >= %s::pg_lsn) from ops.cdc_source", (lsn,)
            ).fetchone()
        if row and row[0]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(1.0)
