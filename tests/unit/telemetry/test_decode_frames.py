"""A batch of anything: the shipped van, lengths, strange ids, multiplexers, and tables that are none."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cantools.database.can import Message, Signal

from ingestion.telemetry.decode import Decoded, decode_frames
from ingestion.telemetry.frames import FramesError
from ingestion.telemetry.manifest import read_manifest
from ingestion.telemetry.rows import SIGNALS
from ingestion.telemetry.trouble_codes import TROUBLE_CODES
from tests.unit.telemetry.can_frames import counts, frame, frames_table, in_any_order, of_messages, values


def van(*frames: tuple[int, str], **more: Any) -> Decoded:
    made = [frame(one, payload, i, model="city_van", **more) for i, (one, payload) in enumerate(frames)]
    return decode_frames(frames_table(made), read_manifest())


def test_the_shipped_van() -> None:
    """Little-endian: 6000 * 0.25 rpm, -3 * 0.5 Nm, 143 - 60 degrees, running, 250 * 0.02 l/h; big-endian, signed."""
    decoded = van((0x110, "70 17 FD FF 28 FA 00 00"), (0x120, "30 39 FF 9C FF 55 00 00"))
    assert values(decoded) == {
        "engine_speed": [1500], "EngineStatus.EngineTorque": [-1.5], "coolant_temperature": [83],
        "EngineStatus.EngineRunning": [1], "fuel_rate": [5], "vehicle_speed": [123.45],
        "VehicleMotion.SteeringAngle": [-10], "VehicleMotion.LateralAcceleration": [-0.22],
        "VehicleMotion.MotionCounter": [5],
    }  # fmt: skip


def test_pages_within_pages() -> None:
    decoded = van(
        (0x130, "00 40 E2 01 64 00 00 00"),
        (0x130, "01 E0 2E F6 00 00 00 00"),
        (0x130, "02 02 03 00 00 00 00 00"),
        (0x130, "02 04 01 00 00 00 00 00"),
        (0x130, "02 05 01 00 00 00 00 00"),
        (0x130, "07 00 00 00 00 00 00 00"),
    )
    found = values(decoded)
    assert found["odometer"] == [pytest.approx(12345.6)]
    assert found["battery_voltage"] == [12]
    assert found["ambient_temperature"] == [-5]
    assert (found["BodyReport.FrontDoors"], found["BodyReport.RearDoors"]) == ([3], [1])
    assert found["BodyReport.ReportPage"] == [0, 1, 2, 2]
    assert counts(decoded) == {"decoded": 4, "undecodable": 2}
    assert decoded.raw["reason"].to_pylist() == ["unknown_selector"] * 2
    texts = {row["name"]: row["text"] for row in decoded.signals.to_pylist() if row["text"]}
    assert texts == {"BodyReport.FrontDoors": "open", "BodyReport.RearDoors": "closed"} | {
        "BodyReport.RearDoors": "open"
    }


@pytest.mark.parametrize(("value", "text"), [(float("nan"), "not a number"), (float("-inf"), "not a number")])
def test_a_floating_point_number_that_is_none(value: float, text: str) -> None:
    decoded = van((0x140, (struct.pack("<f", value) + bytes(4)).hex()))
    rows = {row["name"]: row for row in decoded.signals.to_pylist()}
    assert (rows["LoadSensor.LoadMass"]["value"], rows["LoadSensor.LoadMass"]["text"]) == (None, text)
    assert rows["LoadSensor.Gear"]["text"] == "neutral"


@pytest.mark.parametrize("size", [0, 1, 7, 9, 12, 64])
def test_a_classic_message_of_another_length(size: int) -> None:
    decoded = van((0x110, "00" * size))
    assert counts(decoded) == {"wrong_length": 1}
    assert decoded.raw["payload"].to_pylist() == [bytes(size)]


@pytest.mark.parametrize(
    ("size", "outcome"),
    [(11, "wrong_length"), (12, "decoded"), (13, "wrong_length"), (16, "decoded"), (64, "decoded")],
)
def test_an_fd_message_may_be_padded(size: int, outcome: str) -> None:
    message = Message(0x123, "Long", 12, [Signal("last", 88, 8)])
    decoded = decode_frames(frames_table([frame(0x123, bytes(range(size)))]), of_messages(message))
    assert counts(decoded) == {outcome: 1}
    assert values(decoded) == ({"Long.last": [11]} if outcome == "decoded" else {})


@pytest.mark.parametrize(
    ("arbitration_id", "extended", "counted"),
    [
        (0x7FF, False, "unknown_id"),
        (0x800, False, "undecodable"),
        (0x1FFFFFFF, True, "unknown_id"),
        (0x20000000, True, "undecodable"),
        (-1, True, "undecodable"),
        (2**62, False, "undecodable"),
        (0x110 + 2**32, False, "undecodable"),
        (0x110, True, "unknown_id"),
    ],
)
def test_strange_ids(arbitration_id: int, extended: bool, counted: str) -> None:
    decoded = van((arbitration_id, "00" * 8), extended=extended)
    assert counts(decoded) == {counted: 1}
    assert decoded.raw["arbitration_id"].to_pylist() == [arbitration_id]


def test_an_empty_batch() -> None:
    decoded = decode_frames(frames_table([]), read_manifest())
    assert (decoded.signals.schema, decoded.trouble_codes.schema) == (SIGNALS, TROUBLE_CODES)
    tables = (decoded.signals, decoded.trouble_codes, decoded.counts, decoded.raw, decoded.open, decoded.lost)
    assert [one.num_rows for one in tables] == [0] * 6


def test_more_columns_come_back_with_raw_frames() -> None:
    table = frames_table([frame(0x3F0, "01", model="city_van")]).append_column("event_id", pa.array(["e1"]))
    decoded = decode_frames(table, read_manifest())
    assert decoded.raw.drop_columns(["reason"]).equals(table)


def test_chunks_slices_and_dictionaries_say_the_same() -> None:
    frames = [frame(0x110, bytes([i] * 8), i, model="city_van", vehicle=f"v{i % 3}") for i in range(20)]
    frames += [frame(0x120, bytes([i] * 7), 100 + i, model="city_van") for i in range(3)]
    table = frames_table(frames)
    whole = decode_frames(table, read_manifest())
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7)])
    coded = table.set_column(1, "vehicle_id", table["vehicle_id"].dictionary_encode())
    padded = pa.concat_tables([table.slice(0, 2), table]).combine_chunks().slice(2)
    for other in (chunked, coded, padded):
        again = decode_frames(other, read_manifest())
        assert in_any_order(again.signals) == in_any_order(whole.signals)
        assert in_any_order(again.counts) == in_any_order(whole.counts)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop_columns(["payload"]), "payload: the column is missing"),
        (
            lambda table: table.set_column(4, "arbitration_id", pa.array(["x"])),
            "arbitration_id: int64 is wanted",
        ),
        (
            lambda table: table.set_column(6, "payload", pa.array([None], pa.binary())),
            "payload: null in 1 rows",
        ),
        (lambda table: table.set_column(1, "vehicle_id", pa.array([None], pa.string())), "vehicle_id: null"),
    ],
)
def test_a_table_of_something_else(change: Any, words: str) -> None:
    with pytest.raises(FramesError, match=words):
        decode_frames(change(frames_table([frame(1, "00")])), read_manifest())


def test_vehicles_of_the_same_name_are_apart() -> None:
    frames = [
        frame(0x3F0, "00", tenant=tenant, vehicle=name)
        for tenant, name in (("a", "v"), ("b", "v"), ("b", "w"))
    ]
    rows = decode_frames(frames_table([*frames, frames[0]]), read_manifest()).counts.to_pylist()
    found = {(row["tenant_id"], row["vehicle_id"]): row["frames"] for row in rows}
    assert found == {("a", "v"): 2, ("b", "v"): 1, ("b", "w"): 1}


def test_noise_is_counted_and_bounded() -> None:
    """50,000 frames of random ids and lengths on a truck: each has one outcome, memory stays within 100 MiB."""
    dice = np.random.default_rng(7)
    frames = [
        frame(int(one), dice.bytes(int(size)), i, model="haul_truck", extended=True)
        for i, (one, size) in enumerate(
            zip(dice.integers(0, 1 << 29, 25_000), dice.integers(0, 65, 25_000), strict=True)
        )
    ]
    frames += [
        frame(
            0x18EC0000 | int(dice.integers(0, 1 << 16)),
            b"\x10\xf9\x06\xff\xff\xca\xfe\x00",
            i,
            model="haul_truck",
        )
        for i in range(25_000)
    ]
    table = frames_table(frames)
    tracemalloc.start()
    decoded = decode_frames(table, read_manifest())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(counts(decoded).values()) == 50_000
    assert decoded.open.num_rows <= 64
    assert peak < 100 << 20
