"""Retention with a moved clock, over raw objects, landing, the lake and the marts; guarded, held, dry, killed."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, date, datetime, timedelta
from multiprocessing import get_context
from typing import Any

import pytest
from typer.testing import CliRunner

from fleetflow.cli import app
from fleetflow.commands.reconcile import reconcile_landing
from fleetflow.faults import UserError
from fleetflow.lake import open_lake
from fleetflow.retention import Action, Policy, add_hold, list_holds, release_hold, run_retention
from fleetflow.runtime import connect
from ingestion.lake.read import days
from tests.integration.reconcile_stack import ReconcileStack

GPS, STATUS = "gps_location", "shipment_event"
DATA = ("landing", "raw", "lake", "marts")
"""Areas that go beside each other; rejects, batches and notes go after them."""
LATER = datetime.now(UTC).date() + timedelta(days=1200)


@pytest.fixture(scope="module", autouse=True)
def spend(filled_stack: ReconcileStack) -> None:
    filled_stack.spent = True


@pytest.fixture
def stack(filled_stack: ReconcileStack) -> ReconcileStack:
    return filled_stack


def run(stack: ReconcileStack, as_of: date = LATER, **options: Any) -> list[Action]:
    return list(run_retention(stack.settings, as_of=as_of, **options))


def landed_on(stack: ReconcileStack) -> date:
    """The day on which the stack was filled, which may be the one after that on which the tests were collected."""
    ((day,),) = stack.sql("select (max(landed_at) at time zone 'UTC')::date from ops.batch")
    assert isinstance(day, date)
    return day


def state(stack: ReconcileStack) -> dict[str, Any]:
    """Everything that retention may touch, counted."""
    with connect(stack.settings.dsn("owner"), autocommit=True) as conn:
        tables = [
            name
            for (name,) in conn.execute(
                "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('landing', 'marts')"
                " or tablename in ('int_shipment_life', 'int_shipment_status_history', 'retention_action')"
                " order by 1"
            ).fetchall()
        ]
        counts = {t: conn.execute(f"select count(*) from {t}".encode()).fetchall()[0][0] for t in tables}
    lake = open_lake(stack.settings)
    rows = {feed: sum(day.rows for day in days(lake, feed)) for feed in (GPS, STATUS)}
    return {"objects": stack.objects(), "lake": rows, **counts}


def test_nothing_goes_while_nothing_is_reconciled(stack: ReconcileStack) -> None:
    before = state(stack)
    actions = run(stack)
    refused = {a.area: a for a in actions if a.action == "refused"}
    assert set(refused) == {*DATA, "rejects", "batches"}
    assert all("not reconciled" in action.reason for action in refused.values())
    after = state(stack)
    kept = {name for name in before if "20" not in name and name != "ops.retention_action"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    stored = stack.sql("select area, reason from ops.retention_action where action = 'refused'")
    assert {area for area, _ in stored} == {*DATA, "rejects", "batches"}


def test_what_is_not_transformed_and_not_in_the_lake_stays(stack: ReconcileStack) -> None:
    stack.check("day")
    stack.execute(
        "insert into ops.pending_batch (pipeline, batch_id) select 'shipments', batch_id from ops.batch"
        " where feed = 'shipment_event'",
        "create table ops.put_aside as select * from ops.lake_commit",
        "delete from ops.lake_commit",
    )
    try:
        reasons = {(a.area, a.subject.split("/")[1] if "/" in a.subject else a.subject): a.reason
                   for a in run(stack, dry_run=True) if a.action == "would refuse"}  # fmt: skip
    finally:
        stack.execute(
            "delete from ops.pending_batch",
            "insert into ops.lake_commit select * from ops.put_aside",
            "drop table ops.put_aside",
        )
    assert "not in the lake: 1 batches" in reasons["raw", GPS]
    assert "not transformed: 1 batches wait for shipments" in reasons["raw", STATUS]
    assert "not transformed" in reasons["marts", "marts.fct_shipment"]


def test_a_legal_hold_keeps_what_it_names_and_is_released(stack: ReconcileStack) -> None:
    stack.check("day")
    with connect(stack.settings.dsn("ops")) as conn:
        hold = add_hold(conn, "case 7", "tester", feed=GPS, from_at=datetime(2020, 1, 1, tzinfo=UTC))
        tenant = add_hold(conn, "case 8", "tester", tenant="acme", feed=STATUS)
        other = add_hold(conn, "elsewhere", "tester", tenant="nobody", feed="fuel_purchase")
    found = {(a.area, a.subject.split("/")[1] if a.area == "raw" else a.subject): (a.action, a.reason)
             for a in run(stack, dry_run=True)}  # fmt: skip
    assert found["raw", GPS] == ("would refuse", f"legal hold {hold}: case 7")
    assert found["raw", STATUS] == ("would refuse", f"legal hold {tenant}: case 8")
    assert found["marts", "marts.fct_shipment"] == ("would refuse", f"legal hold {tenant}: case 8")
    with connect(stack.settings.dsn("ops")) as conn:
        for number in (hold, tenant, other):
            release_hold(conn, number, "tester")
        assert list_holds(conn) == []
        assert len(list_holds(conn, released=True)) == 3


def test_a_dry_run_says_all_and_changes_nothing(stack: ReconcileStack) -> None:
    stack.check("day")
    before = state(stack)
    actions = run(stack, dry_run=True, areas=DATA)
    ledger = run(stack, dry_run=True, areas=["rejects", "batches"])
    assert state(stack) == before
    assert {a.action for a in actions} == {"would drop"}
    assert {a.area for a in actions} == set(DATA)
    day = f"{landed_on(stack):%Y%m%d}"
    said = {a.subject: (a.action, a.reason) for a in ledger}
    assert said[f"rejects.{GPS}_{day}"] == ("would drop", "past its days")
    assert said[f"batches.{GPS}_{day}"] == ("would refuse", "landing still has the day")
    assert f"rejects.{STATUS}_{day}" not in said, "none was refused"
    assert next(a.row_count for a in actions if a.area == "marts") == 20
    assert sum(a.row_count or 0 for a in actions if a.area == "raw") == 50 + 120


def test_what_is_young_is_not_touched(stack: ReconcileStack) -> None:
    stack.check("day")
    old, today = Policy(), landed_on(stack)
    for area in (*DATA, "rejects", "batches"):
        kept = getattr(old, area)
        assert run(stack, today + timedelta(days=kept - 1), areas=[area]) == []
        assert run(stack, today + timedelta(days=kept + 2), areas=[area], dry_run=True) != []


STEPS = ["landing day", "landing day done", "raw marked", "raw deleted", "lake told", "lake dropped", "marts chunk",
         "marts chunk done", "sources chunk", "sources chunk done", "rejects day", "rejects day done", "batches day",
         "batches day done"]  # fmt: skip


def test_killed_at_every_step_and_run_again_it_drops_all_and_counts_it_once(stack: ReconcileStack) -> None:
    stack.check("day")
    stack.execute("truncate ops.retention_action")
    for step in STEPS:

        def die(at: str, step: str = step) -> None:
            if at == step:
                os.kill(os.getpid(), signal.SIGKILL)

        process = get_context("fork").Process(target=lambda die=die: run(stack, step=die))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL, f"{step} was never reached"
    run(stack)
    left = state(stack)
    assert left["objects"] == []
    assert left["lake"] == {GPS: 0, STATUS: 0}
    assert (left["marts.fct_shipment"], left["intermediate.int_shipment_life"]) == (0, 0)
    assert left["intermediate.int_shipment_status_history"] == 0
    assert left[f"landing.{GPS}"] == left[f"landing.{STATUS}"] == 0
    dropped = dict(
        stack.sql(
            "select area, sum(row_count) from ops.retention_action where action = 'dropped' and area <> 'ledger'"
            " and row_count > 0 and subject not in"
            " ('marts.fct_on_time_daily', 'marts.fct_on_time_daily_history', 'ops.shard_cut', 'audit.source_batch')"
            " group by 1"
        )
    )
    assert dropped == {"landing": 170, "raw": 170, "lake": 170, "marts": 20, "rejects": 2, "batches": 2}
    assert stack.sql("select count(*) from audit.shipment_status") == [(0,)]
    assert stack.sql("select count(*) from audit.source_batch") == [(0,)]
    assert stack.sql("select feed, events_read, accepted, rejected from ops.batch_total order by 1") == [
        (GPS, 52, 50, 2),
        (STATUS, 120, 120, 0),
    ]
    assert stack.sql("select count(*) from ops.batch where source <> 'cdc'") == [(0,)]
    assert [a for a in run(stack) if a.action != "refused"] == []


def test_a_policy_that_drops_batches_before_what_they_account_for_is_refused() -> None:
    with pytest.raises(ValueError, match="raw objects \\(180\\)"):
        Policy(batches=100)


def test_what_retention_dropped_is_no_loss(stack: ReconcileStack) -> None:
    """Nothing is asked of windows that are gone, the lake's books agree, and the whole still adds up by its totals."""
    found = stack.check_all()
    assert [stack.words(a) for a in found if a.differences] == []
    whole = {r.feed: r for r in reconcile_landing(stack.settings)}
    assert {feed: whole[feed].faults for feed in (GPS, STATUS)} == {GPS: (), STATUS: ()}
    assert (whole[GPS].sent, whole[GPS].read, whole[GPS].dropped) == (52, 52, 50)


def test_the_commands_speak_json_and_words(stack: ReconcileStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, against the same warehouse; the default streams are empty, so all of them is landed."""
    monkeypatch.setenv("FLEETFLOW_HOME", str(stack.settings.home.parent))

    def call(*words: str, status: int = 0) -> str:
        done = CliRunner().invoke(app, words)
        assert (done.exit_code, done.exception) in ((status, None), (status, done.exception)), done.output
        return done.stdout

    number = json.loads(call("retention", "hold", "add", "--reason", "case 9", "--feed", GPS, "--json"))[
        "hold_id"
    ]
    assert f"{number}  every tenant, {GPS}, all time: case 9" in call("retention", "hold", "list")
    assert call("retention", "hold", "release", str(number)) == f"hold {number} is released\n"
    assert call("retention", "hold", "list") == "no hold\n"
    looked = json.loads(call("retention", "run", "--dry-run", "--as-of", LATER.isoformat(), "--json"))
    assert (looked["dry_run"], looked["as_of"]) == (True, LATER.isoformat())
    told = json.loads(call("reconcile", "hours", "--json"))
    assert told["holds"] is True
    assert {row["feed"] for row in json.loads(call("reconcile", "status", "--json"))["verified"]} >= {
        GPS,
        STATUS,
    }
    assert "verified through" in call("reconcile", "status")
    with pytest.raises(UserError, match="is after today: it would drop what must still be kept"):
        CliRunner().invoke(app, ["retention", "run", "--as-of", "2999-01-01"], catch_exceptions=False)
