"""The telemetry step on a real Postgres: minutes, reports and counts are those of the frames, however they arrived."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import telemetry_frames as can
from telemetry_frames import HOUR, Row
from transform_warehouse import land, mirror, warehouse

from fleetflow import transform
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.telemetry import windows
from fleetflow.vehicles.telemetry.step import decode_telemetry

TABLES = ("int_signal_minute", "int_dtc_report", "int_frame_count", "int_frame_unknown")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("telemetry"), ("postgres",)) as stack, warehouse(stack) as fresh:
        yield fresh


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    """The warehouse with three trucks and nothing landed."""
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        conn.execute("truncate ops.batch, ops.transform_run, landing.can_frame, source.vehicles cascade")
        conn.execute("truncate intermediate.int_frame_batch, intermediate.int_redecode_hour")
        conn.execute(f"truncate {', '.join(f'intermediate.{table}' for table in TABLES)}".encode())
        mirror(conn, "vehicles", [can.truck(f"t{n}") for n in range(3)])
        yield conn


def step(settings: Settings) -> dict[str, int]:
    """Do the step for what is pending, and mark it."""
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, vehicles.PIPELINE, even_if_empty=True)
        assert run is not None
        counts = dict(decode_telemetry(vehicles.Work(settings, conn, run.run_id)))
        transform.mark(conn, run)
    return counts


def tables(conn: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: conn.execute(f"select t.* from intermediate.{table} as t order by t::text".encode()).fetchall()
        for table in TABLES
    }


def test_a_minute_is_its_samples_in_order(settings: Settings, owner: Connection) -> None:
    at = [HOUR + timedelta(seconds=s) for s in (5, 20, 50, 61)]
    speeds = [(at[1], 1_000), (at[0], 800), (at[2], 900), (at[3], 700)]
    land(owner, "can_frame", [can.engine_speed("t0", when, rpm) for when, rpm in speeds])
    step(settings)
    rows = owner.execute(
        "select minute, name, samples, min_value, max_value, mean_value, first_value, last_value, last_at, unit"
        " from intermediate.int_signal_minute order by 1, 2"
    ).fetchall()
    assert rows == [
        (HOUR, "engine_speed", 3, 800, 1_000, 900, 800, 900, at[2], "rpm"),
        (HOUR + timedelta(minutes=1), "engine_speed", 1, 700, 700, 700, 700, 700, at[3], "rpm"),
    ]


def test_a_broadcast_over_the_hour_and_over_batches_is_one_report(
    settings: Settings, owner: Connection
) -> None:
    frames = can.broadcast_codes(
        "t0", HOUR - timedelta(milliseconds=150), [can.code(110, 0, 3), can.code(100, 1, 9)]
    )
    assert frames[1]["captured_at"] < HOUR < frames[2]["captured_at"]
    for one in (frames[2], frames[0], frames[1]):
        land(owner, "can_frame", [one])
        step(settings)
    rows = owner.execute(
        "select vehicle_id, ecu, listing, reported_at, reports, lamps, codes from intermediate.int_dtc_report"
    ).fetchall()
    codes = [{"spn": 100, "fmi": 1, "count": 9}, {"spn": 110, "fmi": 0, "count": 3}]
    assert rows == [("t0", 0, "dm1", frames[2]["captured_at"], 1, ["amber_warning_lamp"], codes)]
    counts = owner.execute(
        "select hour, frames, transport from intermediate.int_frame_count order by 1"
    ).fetchall()
    assert counts == [(HOUR - timedelta(hours=1), 2, 2), (HOUR, 1, 1)]


def test_what_cannot_be_read_is_counted_by_name_and_kept_once(settings: Settings, owner: Connection) -> None:
    at = [HOUR + timedelta(seconds=s) for s in range(6)]
    land(owner, "can_frame", [
        can.frame("t0", at[1], can.UNKNOWN, b"\x02"), can.frame("t0", at[0], can.UNKNOWN, b"\x01"),
        can.frame("t0", at[2], can.EEC1, b"\x01\x02"),
        can.engine_speed("t0", at[3], 800, recorded_at=at[3] - timedelta(seconds=61)),
        can.engine_speed("t0", at[4], 800, recorded_at=at[4] - timedelta(seconds=5)),
        can.engine_speed("t0", can.truck("t0")["in_service_from"] and datetime(2001, 1, 1, tzinfo=HOUR.tzinfo), 800),
        can.engine_speed("stranger", at[5], 800),
    ])  # fmt: skip
    step(settings)
    counts = owner.execute(
        "select vehicle_id, extract(year from hour)::int, frames, decoded, unknown_id, wrong_length, clock_ahead,"
        " clock_off, before_service, no_decoder from intermediate.int_frame_count order by 1, 2"
    ).fetchall()
    assert counts == [
        ("stranger", 2026, 1, 0, 0, 0, 0, 0, 0, 1),
        ("t0", 2001, 1, 0, 0, 0, 0, 0, 1, 0),
        ("t0", 2026, 5, 1, 2, 1, 1, 2, 0, 0),
    ]
    unknown = owner.execute(
        "select arbitration_id, outcome, frames, first_at, first_payload from intermediate.int_frame_unknown order by 2"
    ).fetchall()
    assert unknown == [
        (can.UNKNOWN, "unknown_id", 2, at[0], b"\x01"),
        (can.EEC1, "wrong_length", 1, at[2], b"\x01\x02"),
    ]
    samples = owner.execute("select sum(samples) from intermediate.int_signal_minute").fetchone()
    assert samples == (1,)


@pytest.fixture(scope="module")
def day() -> list[Row]:
    return can.a_day_of(["t0", "t1", "t2"])


def cut(rows: Sequence[Row], pieces: int, seed: int) -> list[list[Row]]:
    """The rows in any order, one in ten twice, in so many batches."""
    dice = random.Random(seed)
    every = [*rows, *(row for row in rows if dice.random() < 0.1)]
    dice.shuffle(every)
    return [every[n::pieces] for n in range(pieces)]


def at_midnight(rows: Sequence[Row]) -> list[list[Row]]:
    """The day after first, then the day."""
    midnight = HOUR.replace(hour=0) + timedelta(days=1)
    return [
        [r for r in rows if r["captured_at"] >= midnight],
        [r for r in rows if r["captured_at"] < midnight],
    ]


WAYS = ["shuffled, repeated and cut", "split at midnight", "played twice", "decoded in small chunks"]


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_those_of_the_frames_in_whatever_way_they_come(
    settings: Settings, owner: Connection, day: list[Row], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(owner, "can_frame", sorted(day, key=lambda row: row["captured_at"]))
    step(settings)
    wanted = tables(owner)
    assert {table: len(rows) > 3 for table, rows in wanted.items()} == dict.fromkeys(TABLES, True)
    if way != "played twice":
        owner.execute("truncate landing.can_frame, intermediate.int_frame_batch")
        owner.execute(f"truncate {', '.join(f'intermediate.{table}' for table in TABLES)}".encode())
    batches = {
        "shuffled, repeated and cut": cut(day, 5, 3),
        "split at midnight": at_midnight(day),
        "played twice": [day],
        "decoded in small chunks": [day],
    }
    if way == "decoded in small chunks":
        monkeypatch.setattr(windows, "CHUNK_FRAMES", len(day) // 7)
    for batch in batches[way]:
        land(owner, "can_frame", batch)
        step(settings)
    assert tables(owner) == wanted


def test_a_decoder_with_faults_leaves_its_own_vehicles_without_one(
    settings: Settings, owner: Connection, tmp_path: Path
) -> None:
    (tmp_path / "broken.dbc").write_text("BO_ nonsense")
    (tmp_path / "manifest.yaml").write_text(
        "version: 7\ndecoders:\n"
        "  - {name: broken, models: [R450], channels: [can0], protocol: j1939, database: broken.dbc, sha256: '0'}\n"
        "  - {name: standard, models: [FH, R450], channels: ['*'], protocol: j1939}\n"
    )
    mirror(owner, "vehicles", [can.truck("t1", model="FH")])
    land(owner, "can_frame", [can.engine_speed(vehicle, HOUR, 800) for vehicle in ("t0", "t1")])
    step(replace(settings, decoder_manifest=tmp_path / "manifest.yaml"))
    counts = "select vehicle_id, decoded, no_decoder, manifest_version from intermediate.int_frame_count order by 1"
    assert owner.execute(counts).fetchall() == [("t0", 0, 1, 7), ("t1", 1, 0, 7)]
    refused = owner.execute("select decoder, models, reason from intermediate.int_decoder_refused").fetchall()
    assert [(decoder, models) for decoder, models, _ in refused] == [("broken@1", ["R450"])]
    assert "sha256" in refused[0][2]
    owner.execute(
        "insert into intermediate.int_redecode_hour"
        " select tenant_id, vehicle_id, hour from intermediate.int_frame_count"
    )
    step(settings)
    assert owner.execute(counts).fetchall() == [("t0", 1, 0, 1), ("t1", 1, 0, 1)]
    assert owner.execute("select from intermediate.int_decoder_refused").rowcount == 0


def test_batches_are_forgotten_when_landing_has_dropped_them(settings: Settings, owner: Connection) -> None:
    gone = land(owner, "can_frame", [can.engine_speed("t0", HOUR, 800)])
    held = land(owner, "can_frame", [can.engine_speed("t0", HOUR + timedelta(minutes=1), 900)])
    owner.execute(
        "update ops.batch set first_arrived_at = '2020-01-01', last_arrived_at = '2020-01-01' where batch_id = %s",
        (gone,),
    )
    step(settings)
    assert owner.execute("select batch_id from intermediate.int_frame_batch").fetchall() == [(held,)]
