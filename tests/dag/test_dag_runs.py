"""Every DAG run for real: the embedded stack, events in landing, `dag.test()`, then a look at the warehouse."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from fleetflow import orchestration
from fleetflow.runtime import client, connect
from fleetflow.settings import Settings

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

pytestmark = [
    pytest.mark.usefixtures("airflow_database", "stack"),
    pytest.mark.filterwarnings(
        "ignore"
    ),  # Airflow's, dbt's and Great Expectations' own, while tasks run in here
]

LIFE = ("created", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered")
SHIPMENTS = 200


@pytest.fixture
def warehouse(stack: Settings) -> Iterator[psycopg.Connection[Any]]:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        yield conn


def land(
    conn: psycopg.Connection[Any], prefix: str, *, driver: str | None = "D1", shipments: int = SHIPMENTS
) -> int:
    """Land one batch in which shipments live their whole life; return its id."""
    rows = shipments * len(LIFE)
    row = conn.execute(
        "insert into ops.batch (source, feed, stream, shard, first_sequence, last_sequence, records, events_read,"
        " accepted, rejected, first_arrived_at, last_arrived_at, worker)"
        " values ('stream', 'shipment_event', 'test', '0', %s, %s, 1, %s, %s, 0, now() - interval '1 minute', now(),"
        " 'test') returning batch_id",
        (prefix, prefix, rows, rows),
    ).fetchone()
    assert row is not None
    conn.execute(
        "insert into landing.shipment_event"
        " select 'acme', %(prefix)s || s || ':' || n, at, 1, %(prefix)s || s, status, at, %(driver)s, 'V1', 50, 8,"
        " null, n, 'device', %(batch)s, s * 10 + n, now() - interval '5 seconds'"
        " from generate_series(1, %(shipments)s) as s,"
        " unnest(%(life)s::text[]) with ordinality as l (status, n),"
        " lateral (select now() - interval '10 seconds' + n * interval '1 second' as at)",
        {"prefix": prefix, "driver": driver, "batch": row[0], "shipments": shipments, "life": list(LIFE)},
    )
    return int(row[0])


def run(bag: DagBag, dag_id: str, **conf: Any) -> tuple[str, dict[str, str]]:
    """Run a DAG once; return its state and that of each task."""
    dag: Any = bag.dags[dag_id]
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
    deadline, dag.deadline = dag.deadline, None  # dag.test() of Airflow 3.3 cannot store a deadline twice
    try:
        done = dag.test(logical_date=datetime.now(UTC), run_conf=conf or None)
    finally:
        dag.deadline = deadline
    return str(done.state), {task.task_id: str(task.state) for task in done.get_task_instances()}


def one(conn: psycopg.Connection[Any], query: str, *values: object) -> Any:
    row = conn.execute(query, values).fetchone()
    return None if row is None else row[0] if len(row) == 1 else row


def test_partitions_are_kept(bag: DagBag, warehouse: psycopg.Connection[Any]) -> None:
    assert run(bag, "maintain__partitions__daily")[0] == "success"
    ahead = (datetime.now(UTC) + timedelta(days=3)).strftime("shipment_event_%Y%m%d")
    assert one(warehouse, "select to_regclass('landing.' || %s)", ahead) is not None


def test_the_order_database_is_mirrored(
    bag: DagBag, stack: Settings, warehouse: psycopg.Connection[Any]
) -> None:
    with connect(stack.orders_dsn.reveal(), autocommit=True) as orders:
        orders.execute(
            "insert into sites (site_id, tenant_id, name, kind, region, country, city, lat, lon, timezone,"
            " created_at, updated_at) values ('S1', 'acme', 'Depot', 'depot', 'north', 'DE', 'Kiel', 54.3, 10.1,"
            " 'Europe/Berlin', now(), now())"
        )
    assert run(bag, "load__orders__cdc")[0] == "success"
    assert one(warehouse, "select region from source.sites where site_id = 'S1'") == "north"


def test_what_landed_reaches_the_marts(bag: DagBag, warehouse: psycopg.Connection[Any]) -> None:
    batch = land(warehouse, "good-")
    state, tasks = run(bag, "transform__shipments__microbatch")
    assert (state, set(tasks.values())) == ("success", {"success"})
    assert one(warehouse, "select count(*) from marts.fct_shipment where status = 'delivered'") == SHIPMENTS
    assert one(warehouse, "select count(*) from ops.transformed_batch where batch_id = %s", batch) == 1
    assert one(
        warehouse,
        "select bool_and(passed) from ops.check_result where suite = 'gate' and check_name = 'missing_driver_ids'",
    )


def test_history_comes_back_through_the_dag_and_is_verified_by_it(
    bag: DagBag, warehouse: psycopg.Connection[Any]
) -> None:
    """On a day of its own, so that what other tests land does not matter."""
    warehouse.execute(
        "update landing.shipment_event set occurred_at = occurred_at - interval '3 days',"
        " recorded_at = recorded_at - interval '3 days' where batch_id = %s",
        (land(warehouse, "back-"),),
    )
    assert run(bag, "transform__shipments__microbatch")[0] == "success"
    warehouse.execute("delete from intermediate.int_shipment_status_history where shipment_id like 'back-%'")
    day = (datetime.now(UTC) - timedelta(days=3)).date()
    asked = {"feed": "shipment_event", "from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()}
    assert run(bag, "load__history__backfill", **asked, dry_run=True)[0] == "success"
    assert one(warehouse, "select count(*) from ops.backfill") == 0
    assert run(bag, "load__history__backfill", **asked, dry_run=False, transform_here=True)[0] == "success"
    assert one(warehouse, "select state from ops.backfill") == "done"
    found = "select count(*) from intermediate.int_shipment_status_history where shipment_id like 'back-%%'"
    assert one(warehouse, found) == SHIPMENTS * len(LIFE)
    assert verify(day.isoformat()) == SHIPMENTS * len(LIFE)
    warehouse.execute("update intermediate.int_shipment_life set events = 99 where shipment_id like 'back-%'")
    with pytest.raises(
        RuntimeError, match=r"rows of intermediate\.int_shipment_life are not what the history comes to"
    ):
        verify(day.isoformat())
    warehouse.execute("update intermediate.int_shipment_life set events = 6 where shipment_id like 'back-%'")


def verify(day: str) -> int:
    """What a scheduled run does, for a chosen day."""
    from fleetflow.tasks.backfill import verify_day

    return int(verify_day(day)["verified"]["shipment_event"])


def test_nothing_pending_skips_the_rest(bag: DagBag, warehouse: psycopg.Connection[Any]) -> None:
    before = one(warehouse, "select count(*) from ops.transform_run")
    _, tasks = run(bag, "transform__shipments__microbatch")
    assert tasks == dict.fromkeys(("claim", "gate", "build", "mark"), "skipped")
    assert one(warehouse, "select count(*) from ops.transform_run") == before


def test_a_failed_gate_holds_the_run_and_alerts(bag: DagBag, warehouse: psycopg.Connection[Any]) -> None:
    land(warehouse, "bad-", driver=None)
    state, tasks = run(bag, "transform__shipments__microbatch")
    assert state == "failed"
    assert tasks == {
        "claim": "success",
        "gate": "failed",
        "build": "upstream_failed",
        "mark": "upstream_failed",
    }
    assert one(warehouse, "select count(*) from marts.fct_shipment where shipment_id like 'bad-%%'") == 0
    held = one(warehouse, "select state, error from ops.transform_run order by started_at desc limit 1")
    assert held[0] == "held"
    assert "missing_driver_ids" in held[1]
    alert = one(warehouse, "select name, subject, delivered from ops.alert order by alert_id desc limit 1")
    assert alert == ("dag_failed", "transform__shipments__microbatch.gate", True)


def test_open_errors_keep_the_report_back_unless_decided(
    bag: DagBag, stack: Settings, warehouse: psycopg.Connection[Any]
) -> None:
    _, tasks = run(bag, "report__sla__morning")
    assert tasks == {"require_checks": "failed", "publish": "upstream_failed"}
    promise(warehouse)
    state, _ = run(bag, "report__sla__morning", publish_with_open_errors=True)
    assert state == "success"
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    page = client(stack, "s3").get_object(
        Bucket=stack.report_bucket, Key=f"{yesterday}/acme/morning_sla.html"
    )
    assert b"<html" in page["Body"].read()


def promise(conn: psycopg.Connection[Any]) -> None:
    """Let a tenant have a day in the marts."""
    conn.execute(
        "insert into marts.fct_on_time_daily (tenant_id, promised_date, region, carrier_id, service_level, mode,"
        " due, delivered, on_time, late, returned, open, minutes_late_total, on_time_share)"
        " values ('acme', current_date - 1, 'north', 'C1', 'express', 'road', 1, 1, 1, 0, 0, 0, 0, 1)"
    )


def test_a_failed_build_gives_the_batches_free(
    bag: DagBag, warehouse: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transformer loses its right to the mart: dbt fails for real, and the batch waits for the next run."""
    batch = land(warehouse, "later-")
    warehouse.execute("alter table marts.fct_shipment owner to current_user")
    try:
        state, tasks = run(bag, "transform__shipments__microbatch")
    finally:
        warehouse.execute("alter table marts.fct_shipment owner to fleet_transformer")
    assert (state, tasks["build"], tasks["mark"]) == ("failed", "failed", "upstream_failed")
    assert one(warehouse, "select run_id from ops.pending_batch where batch_id = %s", batch) is None
    assert one(warehouse, "select state from ops.transform_run order by started_at desc limit 1") == "failed"
    assert run(bag, "transform__shipments__microbatch")[0] == "success"
    assert (
        one(warehouse, "select count(*) from marts.fct_shipment where shipment_id like 'later-%%'")
        == SHIPMENTS
    )


def test_the_nightly_check_writes_docs(
    bag: DagBag, stack: Settings, warehouse: psycopg.Connection[Any]
) -> None:
    forged = (
        "update audit.shipment_status set status = %s where shipment_id = 'good-1' and entry = 2 returning 1"
    )
    was = one(
        warehouse, "select status from audit.shipment_status where shipment_id = 'good-1' and entry = 2"
    )
    one(warehouse, forged, "returned")
    try:
        _, tasks = run(bag, "check__marts__nightly")
    finally:
        one(warehouse, forged, was)
    assert tasks["verify_audit"] == "failed"
    detail = one(
        warehouse, "select detail from ops.alert where subject = 'check__marts__nightly.verify_audit'"
    )
    assert "status acme/good-1 entry 2: changed" in detail
    index = stack.home / "data_docs" / "nightly" / "index.html"
    assert "fct_shipment" in index.read_text(encoding="utf-8")
    unmeasured = one(
        warehouse,
        "select count(*) filter (where detail like 'not measured%%'), count(*) from ops.check_result"
        " where suite = 'nightly'",
    )
    assert unmeasured[0] == 0
    assert unmeasured[1] > 100


def test_a_missed_deadline_alerts(stack: Settings, warehouse: psycopg.Connection[Any]) -> None:
    asyncio.run(orchestration.alert_deadline("report__sla__morning", "06:00 UTC", context={}))
    alert = one(warehouse, "select subject, runbook, delivered from ops.alert where name = 'deadline_missed'")
    assert alert == ("report__sla__morning", "docs/runbooks/report__sla__morning.md", True)


def test_feeds_and_orders_are_reconciled(bag: DagBag, warehouse: psycopg.Connection[Any]) -> None:
    """The hour is not over, so nothing of a feed is due; the order database is held against the marts at any time."""
    assert run(bag, "check__feeds__hourly")[0] == "success"
    _, tasks = run(bag, "check__feeds__nightly")
    assert tasks == {"check_days": "success", "check_orders": "success"}
    kept = one(warehouse, "select verdict, counts ->> 'sites_mirrored' from ops.reconciliation"
                          " where feed = 'order_database'")  # fmt: skip
    assert kept == ("passed", "1")


def test_a_window_that_differs_fails_the_run(bag: DagBag, warehouse: psycopg.Connection[Any]) -> None:
    """The batches of this module have no object: an hour ago they could not pass."""
    warehouse.execute("update ops.batch set first_arrived_at = first_arrived_at - interval '2 hours'"
                      " where feed = 'shipment_event'")  # fmt: skip
    assert run(bag, "check__feeds__hourly") == ("failed", {"check_hours": "failed"})
    detail = one(warehouse, "select detail from ops.alert where subject = 'check__feeds__hourly.check_hours'")
    assert "are held by the gate of shipments" in detail


def test_retention_runs_area_by_area(bag: DagBag) -> None:
    state, _ = run(bag, "maintain__retention__daily")
    assert state == "success"
