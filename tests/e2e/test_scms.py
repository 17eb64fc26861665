"""Ten years of real deliveries, through every command, against what plain pandas counts in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from fleetflow.local.stack import running
from fleetflow.settings import Settings
from tests.e2e.commands import fleetflow, marts, rows, shared_data
from tests.e2e.scms_events import MODES, TENANT, events, fill_orders, read_lines

FILE = shared_data("scms_delivery_history/SCMS_Delivery_History_Dataset.csv")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("scms"), ("postgres", "aws")) as found:
        yield found


@pytest.mark.skipif(
    FILE is None, reason="the SCMS delivery history is not beside the project (FLEETFLOW_SHARED)"
)
def test_sla_of_real_deliveries_is_what_pandas_counts(settings: Settings, tmp_path: Path) -> None:
    assert FILE is not None
    lines = read_lines(FILE)
    fill_orders(settings.orders_dsn.reveal(), lines)
    sent = tmp_path / "events.ndjson"
    sent.write_text("\n".join(events(lines)) + "\n")

    fleetflow(settings, "cdc", "pull")
    fleetflow(settings, "send", "shipment_event", str(sent))
    fleetflow(settings, "land", "--until-idle", "3")
    fleetflow(settings, "transform")
    fleetflow(settings, "reconcile")

    found = rows(
        settings,
        "select mode, sla_state, count(*) from marts.fct_shipment_sla where tenant_id = %s group by 1, 2",
        TENANT,
    )
    expected = pandas_counts(FILE)
    assert sum(expected.values()) == len(lines) == 10_324
    assert {(mode, state): count for mode, state, count in found} == expected
    assert rows(
        settings, "select count(*) from intermediate.int_shipment_status_history where not is_legal"
    ) == [(0,)]

    before = marts(settings)
    fleetflow(settings, "land", "--until-idle", "1")
    fleetflow(settings, "send", "shipment_event", str(sent))
    fleetflow(settings, "land", "--until-idle", "3")
    fleetflow(settings, "cdc", "pull")
    fleetflow(settings, "transform")
    fleetflow(settings, "reconcile")
    assert marts(settings) == before


def pandas_counts(path: Path) -> dict[tuple[str, str], int]:
    """Count on time and late by mode, with nothing but the file: delivered day <= scheduled day is on time."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    scheduled = pd.to_datetime(frame["scheduled delivery date"], format="%d-%b-%y")
    delivered = pd.to_datetime(frame["delivered to client date"], format="%d-%b-%y")
    state = (delivered <= scheduled).map({True: "on_time", False: "late"})
    counts = frame.groupby([frame["shipment mode"].map(MODES), state]).size()
    return {(str(mode), str(verdict)): int(count) for (mode, verdict), count in counts.items()}
