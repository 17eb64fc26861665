"""Ten years of real deliveries as a partner's file: over SFTP to the SLA mart, against what pandas counts in it.

The steps before the delivery are there as devices had reported them; that a shipment was delivered, when, and when that
was recorded, only the partner's file says.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from fleetflow.local.stack import running
from fleetflow.settings import Settings
from fleetflow.transform import run_pipeline
from tests.e2e.commands import fleetflow, marts, rows, shared_data
from tests.e2e.scms_events import MODES, TENANT, events, fill_orders, read_lines

FILE = shared_data("scms_delivery_history/SCMS_Delivery_History_Dataset.csv")
NAME = "SCMS_Delivery_History_Dataset.csv"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("scms"), ("postgres", "aws", "sftp")) as found:
        yield found


@pytest.mark.skipif(
    FILE is None, reason="the SCMS delivery history is not beside the project (FLEETFLOW_SHARED)"
)
def test_the_partners_file_reaches_the_sla_mart(settings: Settings) -> None:
    assert FILE is not None
    lines, frame = read_lines(FILE), read(FILE)
    fill_orders(settings.orders_dsn.reveal(), lines)
    land_steps(settings, [json.loads(event) for event in events(lines)])
    fleetflow(settings, "cdc", "pull")

    shutil.copy(FILE, settings.home / "sftp" / "roots" / "scms" / "outbox" / NAME)
    [told] = map(json.loads, fleetflow(settings, "partner", "load", "scms", "--json").splitlines())
    assert (told["state"], told["lines"], told["accepted"], told["rejected"]) == ("loaded", 10_324, 10_324, 0)
    remarkable(settings, told, frame)

    fleetflow(settings, "transform")
    found = rows(
        settings,
        "select mode, sla_state, count(*) from marts.fct_shipment_sla where tenant_id = %s group by 1, 2",
        TENANT,
    )
    assert {(mode, state): count for mode, state, count in found} == verdicts(frame)
    assert rows(
        settings, "select count(*) from intermediate.int_shipment_status_history where not is_legal"
    ) == [(0,)]
    corrected(settings, told)


def land_steps(settings: Settings, steps: list[dict[str, Any]]) -> None:
    """Land every step but the delivery, as one batch from devices."""
    before = [step | {"origin": "device"} for step in steps if step["status"] != "delivered"]
    names = list(before[0])
    with psycopg.connect(settings.dsn("owner")) as conn:
        row = conn.execute(
            "insert into ops.batch"
            " (source, feed, events_read, accepted, rejected, worker, first_arrived_at, last_arrived_at)"
            " values ('stream', 'shipment_event', %(n)s, %(n)s, 0, 'test', now(), now()) returning batch_id, now()",
            {"n": len(before)},
        ).fetchone()
        assert row is not None
        columns = ", ".join([*names, "batch_id", "line", "arrived_at"])
        with conn.cursor().copy(f"copy landing.shipment_event ({columns}) from stdin".encode()) as copy:
            for line, step in enumerate(before):
                copy.write_row([*(step[name] for name in names), row[0], line, row[1]])


def read(path: Path) -> pd.DataFrame:
    """The file, with its three dates as days."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in ("scheduled delivery date", "delivered to client date", "delivery recorded date"):
        frame[name] = pd.to_datetime(frame[name], format="%d-%b-%y")
    return frame


def remarkable(settings: Settings, told: dict[str, Any], frame: pd.DataFrame) -> None:
    """The rows recorded late, and those recorded before they were delivered, are named as such."""
    lag = (frame["delivery recorded date"] - frame["delivered to client date"]).dt.days
    late, early = lag[lag > 14], lag[lag < 0]
    assert (len(late), late.max(), len(early)) == (621, 546, 3)
    seen = told["observations"]
    assert (seen["recorded_late"]["rows"], seen["recorded_late"]["most_days"]) == (len(late), late.max())
    assert seen["recorded_before_it_happened"]["rows"] == len(early)
    assert seen["recorded_before_it_happened"]["most_days"] == -early.min()
    shown = fleetflow(settings, "partner", "show", str(told["file_id"]))
    assert f"{len(late):,} rows recorded late (over 14 days after), by up to 546 days" in shown
    assert f"{len(early)} rows recorded before it happened" in shown


def verdicts(frame: pd.DataFrame) -> dict[tuple[str, str], int]:
    """On time and late by mode, with nothing but the file: delivered day <= scheduled day is on time."""
    on_time = frame["delivered to client date"] <= frame["scheduled delivery date"]
    counts = frame.groupby(
        [frame["shipment mode"].map(MODES), on_time.map({True: "on_time", False: "late"})]
    ).size()
    return {(str(mode), str(verdict)): int(count) for (mode, verdict), count in counts.items()}


def corrected(settings: Settings, told: dict[str, Any]) -> None:
    """The partner corrects one line of 10,324: one row lands, one shipment of the mart changes."""
    place = settings.home / "sftp" / "roots" / "scms" / "outbox" / NAME
    before = marts(settings)["fct_shipment_sla"]
    text = place.read_text(encoding="utf-8")
    first = text.splitlines()[1]
    day_late = first.replace(",2-Jun-06,2-Jun-06,2-Jun-06,", ",2-Jun-06,4-Jun-06,5-Jun-06,")
    assert day_late != first
    place.write_text(text.replace(first, day_late), encoding="utf-8")
    [again] = map(json.loads, fleetflow(settings, "partner", "load", "scms", "--json").splitlines())
    assert again["supersedes"] == told["file_id"]
    assert (again["accepted"], again["unchanged"], again["superseded"]) == (1, 10_323, 1)
    outcome = run_pipeline(settings)
    assert outcome is not None
    assert outcome.state == "done"
    changed = set(marts(settings)["fct_shipment_sla"]) ^ set(before)
    assert len(changed) == 2
    assert all("SCMS-1," in row for row in changed)
    assert rows(
        settings,
        "select sla_state, delivered_at::date::text from marts.fct_shipment_sla where shipment_id = 'SCMS-1'",
    ) == [("late", "2006-06-04")]
