"""The dbt project as a whole on a real Postgres: its own tests, its docs, its contracts and what it keeps private."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from domain.contracts import FEEDS
from fleetflow.commands.docs import build_page, page_server
from fleetflow.dbt_project import invoke, run_models, run_tests
from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from fleetflow.transform import TransformError, run_pipeline

PERSONAL = {"driver_id", "full_name", "phone", "licence_number", "plate", "vin"}
ARITHMETIC = {
    "int_shipment_touched",
    "int_shipment_event_claimed",
    "int_shipment_status_history",
    "fct_shipment",
    "fct_shipment_sla",
    "fct_delivery_exception",
    "fct_on_time_daily",
    "rpt_morning_sla",
    "int_trip_load",
    "fct_trip",
    "fct_vehicle_utilization_daily",
    "fct_driver_utilization_daily",
    "fct_position_quality_daily",
    "fct_carrier_scorecard",
    "fct_lane_performance",
    "fct_delay_cost",
    "fct_exception_cost",
    "fct_delivery_attempt",
    "fct_shipment_dwell",
    "fct_on_time_daily_history",
}
# Schemas that an analyst reads: nothing in them is without words.
READ_BY_ANALYSTS = ("marts", "reports", "audit")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse with one delivered, late shipment."""
    with running(tmp_path_factory.mktemp("dbt"), ("postgres",)) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            conn.execute(_ONE_SHIPMENT)
        run_models(settings, None)
        outcome = run_pipeline(settings)
        assert outcome is not None
        assert outcome.state == "done"
        yield settings


_ONE_SHIPMENT = """
insert into source.shipments (shipment_id, tenant_id, carrier_id, service_level, mode, origin_site_id,
    destination_site_id, created_at, promised_at, _lsn, _committed_at, batch_id)
values ('s1', 'acme', 'k1', 'express', 'road', 'x1', 'x2', now() - interval '3 days', now() - interval '1 day',
    '0/1', now(), 0);
insert into ops.batch (source, feed, events_read, accepted, rejected, worker, first_arrived_at, last_arrived_at)
values ('stream', 'shipment_event', 7, 7, 0, 'test', now(), now());
insert into landing.shipment_event (tenant_id, event_id, recorded_at, schema_version, shipment_id, status, occurred_at,
    driver_id, reason_code, origin, batch_id, line, arrived_at)
select 'acme', 'e' || n, now(), 1, 's1', status, now() - interval '2 days' + make_interval(hours => n::int * 6), 'd1',
    'traffic', 'device', (select max(batch_id) from ops.batch), n, now()
from unnest(array['created', 'assigned', 'picked_up', 'in_transit', 'exception', 'out_for_delivery', 'delivered'])
    with ordinality as u (status, n)
"""


@pytest.fixture(scope="module")
def documented(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dbt docs generate` writes."""
    target: Path = tmp_path_factory.mktemp("docs")
    invoke(stack, ["docs", "generate"], target=target)
    return target


@pytest.fixture(scope="module")
def manifest(documented: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((documented / "manifest.json").read_text())
    return found


def models(manifest: dict[str, Any], schema: str | None = None) -> list[dict[str, Any]]:
    return [
        node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and schema in (None, node["schema"])
    ]


def test_unit_and_data_tests_pass(stack: Settings) -> None:
    run_tests(stack)


def test_a_data_test_that_fails_is_named(stack: Settings) -> None:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute("update intermediate.int_shipment_life set events = events + 1")
        with pytest.raises(TransformError, match="assert_life_is_the_history_folded"):
            run_tests(stack, select="test_type:singular")
        conn.execute("update intermediate.int_shipment_life set events = events - 1")


def test_docs_know_every_relation(documented: Path, manifest: dict[str, Any]) -> None:
    catalog = json.loads((documented / "catalog.json").read_text())
    assert not catalog["errors"]
    assert {node["unique_id"] for node in models(manifest)} <= set(catalog["nodes"])


def test_the_page_of_the_docs_is_one_file_that_is_served_on_the_loopback(
    stack: Settings, tmp_path: Path
) -> None:
    page = build_page(stack, tmp_path / "docs")
    assert [path.name for path in page.parent.iterdir()] == ["index.html"]
    with page_server(page.parent, 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            assert server.server_address[0] == "127.0.0.1"
            with urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=30) as answer:
                text = answer.read().decode()
        finally:
            server.shutdown()
            thread.join()
    assert "fct_shipment_sla" in text
    assert "A vehicle, without plate and VIN" in text


def test_models_stay_in_their_four_schemas(manifest: dict[str, Any]) -> None:
    assert {node["schema"] for node in models(manifest)} == {"staging", "intermediate", "marts", "reports"}


@pytest.mark.parametrize("schema", ["marts", "reports"])
def test_marts_have_an_enforced_contract_and_describe_every_column(
    manifest: dict[str, Any], schema: str
) -> None:
    found = models(manifest, schema)
    assert found
    for node in found:
        assert node["contract"]["enforced"], node["name"]
        assert node["description"], node["name"]
        bare = [column["name"] for column in node["columns"].values() if not column["description"]]
        assert not bare, f"{node['name']}: {bare} have no description"


def test_every_column_that_an_analyst_sees_is_described(stack: Settings, manifest: dict[str, Any]) -> None:
    """By the database, so that what no model makes (tables of migrations, seeds) is held to it too."""
    words = {
        (node["schema"], node.get("alias") or node["name"], name): column["description"]
        for node in [*manifest["nodes"].values(), *manifest["sources"].values()]
        if "schema" in node
        for name, column in node.get("columns", {}).items()
    }
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        seen = conn.execute(
            "select n.nspname, c.relname, a.attname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace"
            " join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where n.nspname = any(%s) and c.relkind in ('r', 'v', 'm', 'p')",
            (list(READ_BY_ANALYSTS),),
        ).fetchall()
    assert {schema for schema, _, _ in seen} == set(READ_BY_ANALYSTS)
    assert [place for place in seen if not words.get(place)] == []


def test_every_model_is_described(manifest: dict[str, Any]) -> None:
    assert not [node["name"] for node in models(manifest) if not node["description"]]


def test_models_with_arithmetic_have_unit_tests(manifest: dict[str, Any]) -> None:
    assert {test["model"] for test in manifest["unit_tests"].values()} >= ARITHMETIC


def test_the_report_is_an_exposure_of_marts(manifest: dict[str, Any]) -> None:
    [exposure] = manifest["exposures"].values()
    assert "model.fleetflow.rpt_morning_sla" in exposure["depends_on"]["nodes"]


def test_what_streams_has_a_freshness_limit(manifest: dict[str, Any]) -> None:
    limits = {
        s["name"]: s["freshness"] for s in manifest["sources"].values() if s["source_name"] == "landing"
    }
    assert set(limits) == set(FEEDS)
    limited = {name for name, limit in limits.items() if limit and limit["error_after"]["count"]}
    assert limited == {
        "gps_location", "shipment_event", "driver_assignment_event", "driver_activity", "can_frame",
    }  # fmt: skip


def test_no_personal_column_reaches_marts_or_reports(stack: Settings) -> None:
    with connect(stack.dsn("ops"), autocommit=True) as conn:
        columns = conn.execute(
            "select column_name from information_schema.columns where table_schema in ('marts', 'reports', 'audit')"
        ).fetchall()
    assert columns
    assert not {name for (name,) in columns} & PERSONAL


def test_every_table_with_a_tenant_has_row_security(stack: Settings) -> None:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        open_tables = conn.execute(
            "select c.oid::regclass::text from pg_class as c"
            " join pg_attribute as a on a.attrelid = c.oid and a.attname = 'tenant_id'"
            " where c.relkind = 'r' and not c.relrowsecurity and c.relnamespace in"
            " ('marts'::regnamespace, 'reports'::regnamespace, 'intermediate'::regnamespace, 'audit'::regnamespace)"
        ).fetchall()
        definers = conn.execute(
            "select c.oid::regclass::text from pg_class as c where c.relkind = 'v'"
            " and c.relnamespace in ('marts'::regnamespace, 'reports'::regnamespace)"
            " and not coalesce(c.reloptions, '{}') @> '{security_invoker=true}'"
        ).fetchall()
    assert open_tables == []
    assert definers == []


def test_the_late_shipment_is_explained_by_its_reason(stack: Settings) -> None:
    with connect(stack.dsn("ops"), autocommit=True) as conn:
        row = conn.execute(
            "select sla_state, breach_reason, is_on_time from marts.fct_shipment_sla"
        ).fetchone()
    assert row == ("late", "traffic", False)
