"""Sorting: by entity and time, whatever the parts; the chosen rows only. Raw objects: faults in words."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from ingestion.lake.files import Chosen, sorted_by_entity
from ingestion.lake.objects import RawBatch, conform, days_in, fault_of, lake_schema, open_object, spans_of
from ingestion.lake.schema import lake_columns

GPS = FEEDS["gps_location"]
DAY_US = 86_400_000_000


def rows(ids: list[str], vehicles: list[str], times: list[int]) -> pa.Table:
    """Rows as they are worked on; what is not given is null."""
    schema = lake_schema(GPS, lake_columns(GPS))
    given = {
        "event_id": pa.array(ids),
        "vehicle_id": pa.array(vehicles).dictionary_encode(),
        "fixed_at": pa.array(times, pa.timestamp("us", "UTC")),
    }
    return conform(pa.table(given), schema)


@pytest.mark.parametrize("width", [16, None], ids=["ids of one length", "ids of any length"])
def test_rows_are_sorted_by_entity_then_time(width: int | None) -> None:
    dice = random.Random(4)
    made = [
        (
            "x" * (width or dice.randrange(1, 30)),
            f"v{dice.randrange(12)}",
            5 * DAY_US + dice.randrange(DAY_US),
        )
        for _ in range(300)
    ]
    made = [(f"{i:03d}" + event[3:], vehicle, at) for i, (event, vehicle, at) in enumerate(made)]
    parts, wanted = [], []
    for start in range(0, 300, 100):
        some = made[start : start + 100]
        table = rows(*(list(column) for column in zip(*some, strict=True)))  # type: ignore[arg-type]
        places = None if start == 100 else np.asarray(sorted(dice.sample(range(100), 60)))
        parts.append(Chosen(table, places))
        wanted += some if places is None else [some[place] for place in places]
    done = sorted_by_entity(GPS, parts)
    found = zip(
        done["event_id"].to_pylist(), done["vehicle_id"].to_pylist(), done["fixed_at"].cast("int64").to_pylist(),
        strict=True,
    )  # fmt: skip
    assert list(found) == sorted(wanted, key=lambda row: (row[1], row[2]))
    assert parts == []


def test_days_and_spans() -> None:
    times = np.asarray([5 * DAY_US, 6 * DAY_US - 1, 6 * DAY_US, -1])
    assert days_in(times // DAY_US) == [-1, 5, 6]
    spans = {day: (span.first, span.last) for day, span in spans_of(times).items()}
    assert spans == {-1: (-1, -1), 5: (5 * DAY_US, 6 * DAY_US - 1), 6: (6 * DAY_US, 6 * DAY_US)}
    assert days_in(np.asarray([0, 10**9])) == [0, 10**9]


def faulty(tmp_path: Path, table: pa.Table, said: int) -> str | None:
    path = tmp_path / "object.parquet"
    pq.write_table(table, path)
    with open_object(GPS, str(path)) as file:
        return fault_of(GPS, RawBatch(1, GPS.name, "raw/x.parquet", said), file)


def test_objects_are_held_against_ledger_and_contract(tmp_path: Path) -> None:
    empty = {field.name: pa.nulls(2, field.type) for field in arrow_schema(GPS)}
    whole = {
        field.name: pa.array(["x", "y"] if pa.types.is_string(field.type) else [1, 0]).cast(field.type)
        for field in arrow_schema(GPS)
        if not field.nullable
    }
    assert faulty(tmp_path, pa.table(whole), 2) is None, "what may be missing may be missing"
    assert faulty(tmp_path, pa.table(whole), 3) == "raw/x.parquet has 2 rows, the ledger says 3"
    without = {name: column for name, column in whole.items() if name != "fixed_at"}
    assert faulty(tmp_path, pa.table(without), 2) == "raw/x.parquet lacks the required column fixed_at"
    hollow = pa.table(whole | {"lat": empty["lat"]})
    assert faulty(tmp_path, hollow, 2) == "raw/x.parquet has rows without lat"
