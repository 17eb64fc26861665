"""The ledger's steps on a real Postgres: who may claim, what a failed, dead or held run leaves, what is marked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from transform_warehouse import (
    NOW,
    add_batch,
    assignment,
    land,
    marts,
    mirror,
    order,
    site,
    status,
    transform,
    warehouse,
)
from typer.testing import CliRunner

from fleetflow import transform as ledger
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("ledger"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def settings(stack: Settings) -> Iterator[Settings]:
    with warehouse(stack) as fresh:
        yield fresh


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    """The warehouse with an empty ledger."""
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        conn.execute("truncate ops.batch, ops.transform_run cascade")
        yield conn


def pending(conn: Connection) -> list[tuple[int, UUID | None]]:
    return conn.execute(
        "select batch_id, run_id from ops.pending_batch where pipeline = 'shipments' order by 1"
    ).fetchall()


def state(conn: Connection, run: ledger.Run) -> Any:
    return conn.execute(
        "select state, error from ops.transform_run where run_id = %s", (run.run_id,)
    ).fetchone()


def claimed(conn: Connection) -> ledger.Run:
    run = ledger.claim(conn)
    assert run is not None
    return run


def test_nothing_pending_is_no_run(owner: Connection) -> None:
    assert ledger.claim(owner) is None
    add_batch(owner, "gps_location", 5)
    assert ledger.claim(owner) is None


def test_a_claim_takes_the_oldest_up_to_the_limit_and_at_least_one(owner: Connection) -> None:
    batches = [add_batch(owner, "shipment_event", rows) for rows in (700, 200, 200, 900)]
    run = ledger.claim(owner, row_limit=1000)
    assert run is not None
    assert (run.batches, run.events) == (2, 900)
    assert pending(owner) == list(zip(batches, [run.run_id, run.run_id, None, None], strict=True))
    ledger.mark(owner, run)
    one = ledger.claim(owner, row_limit=10)
    assert one is not None
    assert one.batches == 1


def test_a_claim_takes_live_batches_whole_and_a_bounded_part_of_a_backfill(owner: Connection) -> None:
    again = [add_batch(owner, "shipment_event", 400, source="backfill") for _ in range(3)]
    live = [add_batch(owner, "shipment_event", 300) for _ in range(2)]
    run = ledger.claim(owner, row_limit=1000, backfill_rows=900)
    assert run is not None
    assert (run.batches, run.events) == (4, 1400)
    assert [batch for batch, holder in pending(owner) if holder is None] == again[2:]
    ledger.mark(owner, run)
    more = [*live, *(add_batch(owner, "shipment_event", 300) for _ in range(4))][2:]
    run = ledger.claim(owner, row_limit=1000, backfill_rows=900)
    assert run is not None
    assert run.batches == 3, "live batches had to stay behind, so the backfill waits"
    assert [batch for batch, holder in pending(owner) if holder is None] == [again[2], more[3]]
    ledger.mark(owner, run)
    run = ledger.claim(owner, row_limit=1000, backfill_rows=100)
    assert run is not None
    assert run.events == 700, "one batch of the backfill always goes along"


def test_a_backfill_is_not_sent_to_the_lake_again(owner: Connection) -> None:
    add_batch(owner, "shipment_event", 5, source="backfill")
    assert owner.execute("select pipeline, priority from ops.pending_batch").fetchall() == [("shipments", 1)]


def test_only_one_run_holds_a_pipeline(owner: Connection) -> None:
    add_batch(owner, "shipment_event", 1)
    run = claimed(owner)
    add_batch(owner, "shipment_event", 1)
    with pytest.raises(ledger.PipelineBusyError):
        ledger.claim(owner)
    ledger.mark(owner, run)
    assert claimed(owner).batches == 1


def test_a_silent_run_loses_its_claim(owner: Connection) -> None:
    add_batch(owner, "shipment_event", 1)
    dead = claimed(owner)
    owner.execute("update ops.transform_run set heartbeat_at = clock_timestamp() - interval '61 seconds'")
    heir = claimed(owner)
    assert state(owner, dead)[0] == "failed"
    assert pending(owner)[0][1] == heir.run_id
    for step in (ledger.mark, ledger.beat):
        with pytest.raises(ledger.RunLostError):
            step(owner, dead)
    ledger.fail(owner, dead, "too late to matter")
    assert pending(owner)[0][1] == heir.run_id


def test_a_heartbeat_keeps_the_claim(owner: Connection, settings: Settings) -> None:
    add_batch(owner, "shipment_event", 1)
    run = claimed(owner)
    owner.execute("update ops.transform_run set heartbeat_at = clock_timestamp() - interval '61 seconds'")
    with ledger.heartbeat(settings, run):
        for _ in range(200):
            if owner.execute(
                "select from ops.transform_run where heartbeat_at > now() - interval '60 s'"
            ).rowcount:
                break
            owner.execute("select pg_sleep(0.02)")
        add_batch(owner, "shipment_event", 1)
        with pytest.raises(ledger.PipelineBusyError):
            ledger.claim(owner)


def test_a_failed_run_leaves_its_batches_claimable(owner: Connection) -> None:
    batch = add_batch(owner, "shipment_event", 1)
    run = claimed(owner)
    ledger.fail(owner, run, "no disk")
    assert state(owner, run) == ("failed", "no disk")
    assert pending(owner) == [(batch, None)]


def test_a_held_run_waits_for_its_release(owner: Connection) -> None:
    bad = add_batch(owner, "shipment_event", 1)
    run = claimed(owner)
    ledger.hold(owner, run, "half of it is illegal")
    assert state(owner, run) == ("held", "half of it is illegal")
    assert ledger.claim(owner) is None
    good = add_batch(owner, "shipment_event", 1)
    other = claimed(owner)
    assert pending(owner) == [(bad, run.run_id), (good, other.run_id)]
    ledger.mark(owner, other)
    assert ledger.release(owner) == 1
    assert claimed(owner).batches == 1


def test_marking_moves_the_batches_and_measures_freshness(owner: Connection) -> None:
    now = datetime.now(UTC)
    owner.execute("truncate landing.shipment_event")
    fresh = [status("s", i, "created", 0, recorded_at=now - timedelta(seconds=20)) for i in range(99)]
    slow = status("s", 99, "created", 0, recorded_at=now - timedelta(seconds=40))
    backfill = [status("s", 100 + i, "created", 0, recorded_at=now - timedelta(days=3)) for i in range(50)]
    batch = land(owner, "shipment_event", [*fresh, slow, *backfill])
    run = claimed(owner)
    freshness = ledger.mark(owner, run)
    assert freshness.p50_s == pytest.approx(21, abs=3)
    assert freshness.p99_s == pytest.approx(21, abs=3)
    assert pending(owner) == []
    assert owner.execute("select batch_id, run_id from ops.transformed_batch").fetchall() == [
        (batch, run.run_id)
    ]
    assert state(owner, run)[0] == "done"


def test_a_failing_model_is_named_and_its_batches_stay(owner: Connection, settings: Settings) -> None:
    land(owner, "shipment_event", [status("s1", 1, "created", 0)])
    transform(settings)
    owner.execute("alter table intermediate.int_shipment_life rename to hidden")
    batch = land(owner, "shipment_event", [status("s1", 2, "assigned", 1)])
    try:
        with pytest.raises(ledger.TransformError, match="int_shipment_touched"):
            ledger.run_pipeline(settings)
    finally:
        owner.execute("alter table intermediate.hidden rename to int_shipment_life")
    assert pending(owner) == [(batch, None)]
    assert transform(settings)[0].state == "done"


def test_a_run_that_dies_after_building_is_done_again_without_a_trace(
    owner: Connection, settings: Settings
) -> None:
    land(owner, "shipment_event", [status("s2", 1, "created", 0), status("s2", 2, "assigned", 5)])
    run = claimed(owner)
    ledger.build(settings, run)
    built = marts(settings)
    ledger.fail(owner, run, "killed before it was marked")
    transform(settings)
    assert marts(settings) == built


def test_the_gate_decides_between_claim_and_build(owner: Connection, settings: Settings) -> None:
    land(owner, "shipment_event", [status("gated", 1, "created", 0)])
    held = ledger.run_pipeline(settings, lambda run: f"{run.events} bad rows")
    assert held is not None
    assert (held.state, held.reason) == ("held", "1 bad rows")
    count = "select from intermediate.int_shipment_life where shipment_id = 'gated'"
    assert owner.execute(count).rowcount == 0
    ledger.release(owner)
    assert transform(settings, gate=lambda run: None)[0].state == "done"
    assert owner.execute(count).rowcount == 1


def test_changed_orders_and_sites_move_shipments_between_days_and_regions(
    owner: Connection, settings: Settings
) -> None:
    import random

    def counted() -> list[Any]:
        return owner.execute(
            "select promised_date::text, region, due, on_time from marts.fct_on_time_daily"
            " where carrier_id = 'mover' order by 1, 2"
        ).fetchall()

    moved = order("moved", random.Random(1), carrier_id="mover", destination_site_id="far", cancelled_at=None)
    mirror(owner, "shipments", [moved | {"promised_at": NOW}])
    transform(settings)
    assert counted() == [("2026-03-10", "unknown", 1, 0)]
    mirror(owner, "sites", [site(1, site_id="far", region="north")])
    transform(settings)
    assert counted() == [("2026-03-10", "north", 1, 0)]
    mirror(owner, "shipments", [moved | {"promised_at": NOW + timedelta(days=2)}])
    mirror(owner, "sites", [site(1, site_id="far", region="south")])
    transform(settings)
    assert counted() == [("2026-03-12", "south", 1, 0)]
    mirror(owner, "shipments", [moved | {"promised_at": NOW, "_deleted": True}])
    transform(settings)
    assert counted() == []


def test_an_assignment_alone_names_the_driver(owner: Connection, settings: Settings) -> None:
    land(owner, "driver_assignment_event", [assignment("lone", 1, "assigned", 0, vehicle_id="v1")])
    transform(settings)
    key = "select driver_key, vehicle_id from marts.fct_shipment where shipment_id = 'lone'"
    pseudonym = owner.execute("select ops.pseudonym('acme', 'd1')").fetchone()
    assert pseudonym is not None
    assert owner.execute(key).fetchall() == [(pseudonym[0], "v1")]
    land(owner, "driver_assignment_event", [assignment("lone", 2, "unassigned", 5)])
    transform(settings)
    assert owner.execute(key).fetchall() == [(None, None)]


def test_analysts_see_their_tenant_only_and_nothing_without_one(
    owner: Connection, settings: Settings
) -> None:
    theirs = status("theirs", 1, "created", 0, tenant_id="other")
    land(owner, "shipment_event", [status("mine", 1, "created", 0), theirs])
    transform(settings)
    rows = "select distinct tenant_id from marts.fct_shipment"
    with connect(settings.dsn("analyst"), autocommit=True) as analyst:
        assert analyst.execute(rows).fetchall() == []
        analyst.execute("set fleetflow.tenant = 'other'")
        assert analyst.execute(rows).fetchall() == [("other",)]
        for view in ("marts.fct_shipment_sla", "reports.rpt_morning_sla"):
            assert analyst.execute(f"select from {view} where tenant_id <> 'other'").rowcount == 0


def test_the_command_transforms_once_and_then_finds_nothing(
    owner: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleetflow.commands import transform as command

    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: settings)
    land(owner, "shipment_event", [status("cli", 1, "created", 0)])
    import typer

    app = typer.Typer()
    command.register(app)
    first = CliRunner().invoke(app, ["--no-gate", "--json"])
    assert first.exit_code == 0, first.output
    [facts] = json.loads(first.stdout)
    assert (facts["state"], facts["batches"], facts["events"]) == ("done", 1, 1)
    before = marts(settings)
    again = CliRunner().invoke(app, ["--no-gate"])
    assert again.exit_code == 0
    assert "nothing is pending" in again.stdout
    assert marts(settings) == before
