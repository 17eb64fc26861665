"""The lake's table of signals on a real stack: a day is what its frames say, whole, and again when they change."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import telemetry_frames as can
from lake_stack import compact_all, lake_of_its_own, land, sql
from telemetry_frames import HOUR
from transform_warehouse import land as land_rows
from transform_warehouse import mirror

from fleetflow.lake import open_lake
from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.run import run_vehicles
from fleetflow.vehicles.telemetry.signals import write_signals
from ingestion.lake.query import run_query

MIDNIGHT = HOUR.replace(hour=0) + timedelta(days=1)
QUERY = (
    "select vehicle_id, captured_at, name, value, text, unit, source, decoder from signal"
    " order by vehicle_id, captured_at, name, source, value"
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("signals")
    with (
        running(home, ("postgres", "aws"), env={"FLEETFLOW_KINESIS_LIMITS": "0"}) as stack,
        lake_of_its_own(stack) as fresh,
    ):
        with connect(fresh.dsn("owner"), autocommit=True) as conn:
            mirror(conn, "vehicles", [can.truck(f"t{n}") for n in range(2)])
        yield fresh


def stored(settings: Settings, query: str = QUERY) -> list[tuple[Any, ...]]:
    with run_query(open_lake(settings, "ops"), query) as rows:
        return [tuple(row.values()) for batch in rows for row in batch.to_pylist()]


def test_days_are_written_whole_and_again_only_when_their_frames_change(settings: Settings) -> None:
    frames = can.a_day_of(["t0", "t1"])
    random.Random(1).shuffle(frames)
    late = [row for row in frames if row["captured_at"] >= MIDNIGHT + timedelta(hours=1)]
    early = [row for row in frames if row["captured_at"] < MIDNIGHT + timedelta(hours=1)]
    land(settings, "can_frame", early)
    compact_all(settings)
    first = {one.day: one.signals for one in write_signals(settings)}
    assert set(first) == {MIDNIGHT.date(), MIDNIGHT.date() - timedelta(days=1)}
    assert len(stored(settings)) == sum(first.values())
    assert list(write_signals(settings)) == []

    land(settings, "can_frame", [*late, *early[:50]])
    compact_all(settings)
    assert [one.day for one in write_signals(settings)] == [MIDNIGHT.date()]
    whole = stored(settings)
    # The broadcast that begins before midnight is read where it ends, in the day after.
    counts = [row for row in whole if row[2] == "active_trouble_codes" and row[3] == 2 and row[0] == "t0"]
    assert [row[1] for row in counts] == [
        MIDNIGHT + timedelta(hours=hour, milliseconds=50) for hour in (-1, 0, 1)
    ]
    # A day written again is the same rows; so is the warehouse's count of them.
    assert sorted(one.day for one in write_signals(settings, again=True)) == sorted(first)
    assert stored(settings) == whole
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        land_rows(conn, "can_frame", frames)
        assert run_vehicles(settings) is not None
    counted = sql(
        settings, "select sum(signals + not_available + faulty_values)::int from intermediate.int_frame_count"
    )
    assert counted == [(len(whole),)]
    minutes = sql(settings, "select sum(samples)::int from intermediate.int_signal_minute")
    assert minutes == [(sum(row[3] is not None for row in whole),)]


def test_hours_that_landing_has_dropped_come_from_the_lake(settings: Settings) -> None:
    """A late frame of an old hour: the others of that hour are in the lake only."""
    before = sql(settings, "select t.* from intermediate.int_frame_count as t order by t::text")
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        conn.execute("truncate landing.can_frame, intermediate.int_frame_batch")
    late = can.engine_speed("t0", MIDNIGHT + timedelta(minutes=30, milliseconds=3), 1_234)
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        land_rows(conn, "can_frame", [late])
    assert run_vehicles(settings) is not None
    after = sql(settings, "select t.* from intermediate.int_frame_count as t order by t::text")
    changed = [(old[:4], new[:4]) for old, new in zip(before, after, strict=True) if old != new]
    key = ("acme", "t0", MIDNIGHT)
    assert [(old[:3], new[3] - old[3]) for old, new in changed] == [(key, 1)]
    assert vehicles.STEPS[0].name == "telemetry"
