"""The real delivery history, read by its declaration, against what plain pandas counts in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyarrow import feather

from ingestion.partners.declare.declaration import read_declarations
from ingestion.partners.rows.parse import FileFacts, Parsed, parse_file
from tests.e2e.commands import shared_data

FILE = shared_data("scms_delivery_history/SCMS_Delivery_History_Dataset.csv")
pytestmark = pytest.mark.skipif(
    FILE is None, reason="the SCMS delivery history is not beside the project (FLEETFLOW_SHARED)"
)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    assert FILE is not None
    scratch = tmp_path_factory.mktemp("scms")
    facts = FileFacts(FILE.name, "5c" * 32, datetime(2026, 1, 1, tzinfo=UTC))
    return parse_file(FILE, read_declarations()["scms"], facts, [], scratch)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    assert FILE is not None
    found = pd.read_csv(FILE, dtype=str, keep_default_na=False)
    for name in ("delivered to client date", "delivery recorded date", "scheduled delivery date"):
        found[name] = pd.to_datetime(found[name], format="%d-%b-%y", utc=True)
    return found


def test_every_line_is_accounted_for(parsed: Parsed, frame: pd.DataFrame) -> None:
    assert parsed.lines == parsed.accepted == len(frame) == 10_324
    assert parsed.rejected == 0
    rows = feather.read_table(parsed.rows_path).to_pandas()
    assert rows["event_id"].nunique() == rows["line_hash"].nunique() == 10_324
    assert rows["shipment_id"].tolist() == ("SCMS-" + frame["id"]).tolist()
    noon = pd.Timedelta(hours=12)
    assert (rows["occurred_at"] == (frame["delivered to client date"] + noon)).all()
    assert (rows["recorded_at"] == (frame["delivery recorded date"] + noon)).all()
    assert set(rows["status"]) == {"delivered"}
    assert set(rows["tenant_id"]) == {"scms"}


def test_late_recorded_rows_and_those_recorded_before_are_what_pandas_counts(
    parsed: Parsed, frame: pd.DataFrame
) -> None:
    lag = (frame["delivery recorded date"] - frame["delivered to client date"]).dt.days
    assert parsed.recorded_before == int((lag < 0).sum()) > 0
    assert parsed.recorded_late == int((lag > 14).sum()) > 0
    assert lag.max() == 546
    assert parsed.min_event_time == frame["delivered to client date"].min() + pd.Timedelta(hours=12)
    assert parsed.max_event_time == frame["delivered to client date"].max() + pd.Timedelta(hours=12)


def test_layouts_sentinels_and_cross_references_are_read_as_pandas_reads_them(
    parsed: Parsed, frame: pd.DataFrame
) -> None:
    extras = [
        json.loads(text) for text in feather.read_table(parsed.rows_path, columns=["extras"])[0].to_pylist()
    ]
    weights = pd.to_numeric(frame["weight (kilograms)"], errors="coerce")
    assert sum("weight_kg" in one for one in extras) == int(weights.notna().sum()) == 6_372
    assert sum(one.get("weight_kg", 0) for one in extras) == weights.sum()
    freight = pd.to_numeric(frame["freight cost (usd)"], errors="coerce")
    assert sum(one.get("freight_cost_usd", 0) for one in extras) == pytest.approx(freight.sum())
    sent = pd.to_datetime(frame["po sent to vendor date"], format="%m/%d/%Y", errors="coerce")
    assert sum("po_sent_on" in one for one in extras) == int(sent.notna().sum()) == 4_592
    assert [one.get("po_sent_on") for one in extras if "po_sent_on" in one] == [
        day.strftime("%Y-%m-%d") for day in sent.dropna()
    ]
    assert not [name for one in extras for name in one if name.endswith("(as sent)")]


def test_where_the_real_file_is_cut_does_not_matter(parsed: Parsed, tmp_path: Path) -> None:
    assert FILE is not None
    facts = FileFacts(FILE.name, "5d" * 32, datetime(2026, 1, 1, tzinfo=UTC))
    cut = parse_file(FILE, read_declarations()["scms"], facts, [], tmp_path, block_bytes=77_777)
    assert feather.read_table(cut.rows_path).equals(feather.read_table(parsed.rows_path))
    assert cut.schema.fingerprint == parsed.schema.fingerprint
