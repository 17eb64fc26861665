"""`fleetflow backfill show` and `cancel` as a user runs them, on a real warehouse."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fleetflow.commands import backfill as commands
from fleetflow.faults import UserError
from ingestion.backfill import ledger
from ingestion.backfill.model import Chunk, Span
from ingestion.backfill.plan import Plan
from tests.integration.cdc_orders import Pair

SPAN = Span(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))


@pytest.fixture
def backfill_id(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> int:
    monkeypatch.setenv("FLEETFLOW_HOME", str(tmp_path))
    for name in ("LOADER", "OPS"):
        monkeypatch.setenv(f"FLEETFLOW_{name}_DSN", pair.warehouse_dsn)
    plan = Plan("shipment_event", SPAN, (Chunk(1, SPAN, "landing", 12),), 1, 0, 0)
    return ledger.record_plan(pair.warehouse, plan, "ada", 100).backfill_id


def run(*words: str) -> str:
    app = typer.Typer()
    commands.register(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["backfill", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_show_begins_with_the_whole(backfill_id: int) -> None:
    first, second = run("show", str(backfill_id)).splitlines()
    assert first.startswith(
        f"backfill {backfill_id}: shipment_event 2026-01-05 00:00:00 .. 2026-01-06 00:00:00 UTC, open; asked for by ada"
    )
    assert "landing waiting" in second
    run("cancel", str(backfill_id), "--reason", "wrong range")
    assert run("show", str(backfill_id)).splitlines()[0].endswith("; wrong range")


def test_what_cannot_be_cancelled_is_said(backfill_id: int) -> None:
    with pytest.raises(UserError, match="there is no backfill 99"):
        run("cancel", "99")
    run("cancel", str(backfill_id))
    with pytest.raises(
        UserError, match=f"backfill {backfill_id} is cancelled: only one that is open or failed"
    ):
        run("cancel", str(backfill_id))
