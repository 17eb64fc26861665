"""`fleetflow cdc` as a user runs it, on real databases."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner

from fleetflow.commands import cdc as commands
from fleetflow.faults import UserError, explain
from tests.integration.cdc_orders import SITES, Pair


@pytest.fixture
def place(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Pair:
    monkeypatch.setenv("FLEETFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("FLEETFLOW_LOADER_DSN", pair.warehouse_dsn)
    monkeypatch.setenv("FLEETFLOW_ORDERS_DSN", pair.orders_dsn)
    monkeypatch.setenv("FLEETFLOW_ORDERS_CDC_DSN", pair.cdc_dsn)
    pair.write(SITES.format(1, 3))
    return pair


def run(*words: str) -> str:
    app = typer.Typer()
    commands.register(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["cdc", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_pull_status_and_re_create(place: Pair) -> None:
    assert "no finished snapshot yet" in run("status")
    lines = run("pull").splitlines()
    assert lines[0].startswith("snapshot of fleetflow, epoch 1: 3 changes")
    assert lines[1].startswith("pull of fleetflow, epoch 1: 0 changes")
    place.write(SITES.format(4, 4), "alter table sites add column docks int", "update sites set docks = 1")
    (report,) = map(json.loads, run("pull", "--json").splitlines())
    assert (report["changes"], report["schema_changes"]) == ({"sites": 5}, ["sites: column docks was added"])
    status = json.loads(run("status", "--json"))
    assert (status["epoch"], status["slot_exists"], status["applied_lsn"]) == (1, True, report["to_lsn"])
    assert "epoch 1: applied to" in run("status")
    with psycopg.connect(place.admin_dsn, autocommit=True) as admin:
        admin.execute("select pg_drop_replication_slot('fleetflow')")
    assert "--re-create" in run("status")
    assert "epoch 2: 0 changes" in run("snapshot", "--re-create")
    place.assert_mirrored()


def test_a_fault_is_one_line(place: Pair) -> None:
    run("snapshot")
    with pytest.raises(UserError) as refusal:
        run("snapshot")
    line = explain(refusal.value)
    assert line is not None
    assert "was snapshotted at" in line
    assert "\n" not in line
    assert "for-tests-only" not in line
