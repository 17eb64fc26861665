"""The generated files as they are in the tree: up to date, and taken by the tools that they are for."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
import yaml

from domain.contracts import ENTITIES, FEEDS, Feed
from domain.contracts.generate import differences
from domain.contracts.model import (
    Binary,
    Boolean,
    Choice,
    Column,
    Date,
    Decimal,
    Float,
    Integer,
    Text,
    Timestamp,
)
from fleetflow.settings import PROJECT_ROOT

DATA = Path(__file__).parent / "data"
EVERYTHING = [*FEEDS.values(), *ENTITIES.values()]


def test_the_tree_is_as_the_contracts_say() -> None:
    assert differences(PROJECT_ROOT) == [], "run `make generate`"


def test_generate_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "domain.contracts.generate", "--check"]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("feed", EVERYTHING, ids=lambda feed: feed.name)
def test_contract_file_keeps_to_the_standard(feed: Feed) -> None:
    schema = json.loads((DATA / "odcs-v3.1.0.schema.json").read_text())
    document = yaml.safe_load((PROJECT_ROOT / f"docs/contracts/{feed.name}.odcs.yaml").read_text())
    validator = jsonschema.Draft201909Validator(schema)
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(document)] == []


def test_the_standard_would_refuse_a_wrong_contract() -> None:
    schema = json.loads((DATA / "odcs-v3.1.0.schema.json").read_text())
    document = yaml.safe_load((PROJECT_ROOT / "docs/contracts/gps_location.odcs.yaml").read_text())
    document["schema"][0]["properties"][0]["logicalType"] = "varchar"
    assert not jsonschema.Draft201909Validator(schema).is_valid(document)


@pytest.fixture(scope="module")
def gx() -> Any:
    """Great Expectations with an ephemeral context; its import takes seconds, so it is done once."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations as library

    context = library.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return library, context.data_sources.add_pandas("frames")


def judge(gx: Any, feed: Feed, frame: pd.DataFrame) -> dict[str, set[str]]:
    """Run the generated suite on a frame; return the columns (or `table`) that fail, by expectation."""
    library, frames = gx
    declared = json.loads((PROJECT_ROOT / f"quality/suites_generated/{feed.name}.json").read_text())
    batch = (
        frames.add_dataframe_asset(f"{feed.name}{id(frame)}")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": frame})
    )
    suite = library.ExpectationSuite(**declared)
    assert len(suite.expectations) == len(declared["expectations"])
    failed: dict[str, set[str]] = {}
    for result in batch.validate(suite).results:
        assert not result.exception_info.get("raised_exception"), result.exception_info
        if not result.success:
            config = result.expectation_config
            failed.setdefault(config.type, set()).add(config.kwargs.get("column", "table"))
    return failed


def value(column: Column, row: int) -> object:
    """Return a value that the contract allows; `row` makes keys differ."""
    low, high = column.between or (None, None)
    match column.type:
        case Text(max_length):
            return f"{column.name[: max_length - 2]}{row}"[-max_length:]
        case Choice(values):
            return values[row % len(values)]
        case Integer():
            return int(high if row and high else low or 0)
        case Float():
            return float(high if row and high else low or 0)
        case Decimal(_, scale):
            return Exact(row).scaleb(-scale)
        case Boolean():
            return bool(row)
        case Timestamp():
            return datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=row)
        case Date():
            return date(2026, 11, 20)
        case Binary(max_length):
            return bytes(row % max_length)


def frame_of(feed: Feed) -> pd.DataFrame:
    columns = {c.name: [value(c, row) for row in range(2)] for c in feed.mirrored}
    return pd.DataFrame(columns).assign(batch_id=1)


@pytest.mark.parametrize("feed", EVERYTHING, ids=lambda feed: feed.name)
def test_suite_passes_rows_that_keep_to_the_contract(gx: Any, feed: Feed) -> None:
    assert judge(gx, feed, frame_of(feed)) == {}


def test_suite_fails_each_breach_by_its_column(gx: Any) -> None:
    feed = FEEDS["shipment_event"]
    frame = frame_of(feed)
    frame.loc[0, "status"] = "teleported"
    frame.loc[0, "shipment_id"] = None
    frame.loc[0, "lat"] = None
    frame.loc[1, "lon"] = 180.5
    frame.loc[1, "event_id"] = "e" * 65
    assert judge(gx, feed, frame.drop(columns="vehicle_id")) == {
        "expect_table_columns_to_match_set": {"table"},
        "expect_column_values_to_not_be_null": {"shipment_id", "lat"},
        "expect_column_values_to_be_in_set": {"status"},
        "expect_column_values_to_be_between": {"lon"},
        "expect_column_value_lengths_to_be_between": {"event_id", "vehicle_id"},
    }
