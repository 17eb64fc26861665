"""OBD-II replies: PIDs one and several, trouble codes, several frames, and what is wrong with them.

`41 0C 1A F8` is 1726 rpm and `41 05 7B` is 83 degrees in many public introductions; P0133 is the example of the ELM327
data sheet; the others follow from the formulas of SAE J1979.
"""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.telemetry.decode import Decoded, decode_frames
from tests.unit.telemetry.can_frames import counts, decoder, frame, frames_table, manifest, values

OBD = manifest(decoder("obd"))


def decode(*frames: dict[str, Any]) -> Decoded:
    return decode_frames(frames_table(frames), OBD)


@pytest.mark.parametrize(
    ("payload", "name", "value"),
    [
        ("03 41 0D 32 AA AA AA AA", "vehicle_speed", 50),
        ("04 41 0C 1A F8 00 00 00", "engine_speed", 1726),
        ("03 41 05 7B", "coolant_temperature", 83),
        ("03 41 2F 80 55 55 55 55", "fuel_level", 12800 / 255),
        ("04 41 5E 01 90 00 00 00", "fuel_rate", 20),
        ("06 41 A6 00 01 E2 40 00", "odometer", 12345.6),
        ("04 41 10 01 F4 00 00 00", "mass_air_flow", 5),
        ("04 41 42 36 B0 00 00 00", "battery_voltage", 14),
    ],
)
@pytest.mark.parametrize("arbitration_id", [0x7E8, 0x7EF, 0x18DAF110])
def test_one_pid(arbitration_id: int, payload: str, name: str, value: float) -> None:
    decoded = decode(frame(arbitration_id, payload))
    (row,) = decoded.signals.to_pylist()
    assert (row["name"], row["value"]) == (name, pytest.approx(value))
    assert row["source"] == f"pid {payload[6:8]}"
    assert row["source_address"] == arbitration_id & 0xFF


def test_several_pids_in_one_frame() -> None:
    decoded = decode(frame(0x7E8, "07 41 0C 1A F8 0D 32 05"), frame(0x7E8, "05 41 0D 32 05 7B 00 00", 1))
    assert values(decoded) == {"vehicle_speed": [50], "coolant_temperature": [83]}
    assert counts(decoded) == {"decoded": 1, "undecodable": 1}  # the first ends within a PID


def test_several_pids_over_several_frames() -> None:
    decoded = decode(
        frame(0x7E8, "10 0B 41 0C 1A F8 0D 32"),
        frame(0x7E0, "30 00 00", 1000),
        frame(0x7E8, "21 05 7B 5E 01 90 AA AA", 20_000),
    )
    assert values(decoded) == {
        "engine_speed": [1726], "vehicle_speed": [50], "coolant_temperature": [83], "fuel_rate": [20],
    }  # fmt: skip
    assert counts(decoded) == {"transport": 3}
    assert decoded.lost.num_rows == decoded.open.num_rows == 0


def test_lamp_and_number_of_codes() -> None:
    decoded = decode(frame(0x7E8, "06 41 01 83 07 65 04 00"))
    assert values(decoded) == {"malfunction_indicator_lamp": [1], "confirmed_trouble_codes": [3]}


def test_trouble_codes() -> None:
    """P0133 confirmed; P0301, C0300, B1234, U3FFF pending over two frames; none permanent."""
    decoded = decode(
        frame(0x7E8, "04 43 01 01 33 00 00 00"),
        frame(0x7E8, "10 0A 47 04 03 01 43 00", 1),
        frame(0x7E8, "21 92 34 FF FF 00 00 00", 2),
        frame(0x7E8, "02 4A 00 00 00 00 00 00", 3),
    )
    rows = decoded.trouble_codes.to_pylist()
    assert sorted((row["status"], row["code"]) for row in rows) == [
        ("confirmed", "P0133"), ("pending", "B1234"), ("pending", "C0300"), ("pending", "P0301"), ("pending", "U3FFF"),
    ]  # fmt: skip
    assert {row["spn"] for row in rows} == {None}
    assert values(decoded) == {
        "confirmed_trouble_codes": [1], "pending_trouble_codes": [4], "permanent_trouble_codes": [0],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "counted"),
    [
        ("00 41 0D 32 00 00 00 00", "undecodable"),
        ("0A 41 0D 32 00 00 00 00", "undecodable"),
        ("03 41 0D", "wrong_length"),
        ("", "wrong_length"),
        ("03 41 0D 32" + "00" * 8, "wrong_length"),
        ("01 41 00 00 00 00 00 00", "undecodable"),
        ("03 41 E9 32 00 00 00 00", "unknown_id"),
        ("04 49 02 01 31 00 00 00", "unknown_id"),
        ("04 43 02 01 33 00 00 00", "undecodable"),
        ("06 43 01 01 33 02 00 00", "undecodable"),
        ("03 7F 01 12 00 00 00 00", "transport"),
        ("21 00 00 00 00 00 00 00", "undecodable"),
        ("40 00 00 00 00 00 00 00", "undecodable"),
        ("10 05 41 0D 32 00 00 00", "undecodable"),
        ("10 10 41 0D 32", "wrong_length"),
    ],
)
def test_what_is_wrong_is_counted_and_kept(payload: str, counted: str) -> None:
    decoded = decode(frame(0x7E8, payload))
    assert counts(decoded) == {counted: 1}
    assert (decoded.signals.num_rows, decoded.trouble_codes.num_rows) == (0, 0)
    assert decoded.raw["payload"].to_pylist() == ([bytes.fromhex(payload)] if counted != "transport" else [])


def test_requests_are_no_replies() -> None:
    decoded = decode(
        frame(0x7DF, "02 01 0D 00 00 00 00 00"), frame(0x18DB33F1, "02 01 0D"), frame(0x18DA10F1, "30 00 00")
    )
    assert counts(decoded) == {"transport": 3}


@pytest.mark.parametrize(
    ("second", "at_us", "reason"),
    [
        ("22 05 7B 5E 01 90 AA AA", 1, "gap"),
        ("21 05 7B", 1, "gap"),
        ("21 05 7B 5E 01 90 AA AA", 1_000_001, "timeout"),
        ("10 0B 41 0C 1A F8 0D 33", 1, "restarted"),
        ("21 E9 7B 5E 01 90 AA AA", 1, "unknown_pid"),
    ],
)
def test_a_reply_that_never_becomes_whole(second: str, at_us: int, reason: str) -> None:
    decoded = decode(frame(0x7E8, "10 0B 41 0C 1A F8 0D 32"), frame(0x7E8, second, at_us))
    assert decoded.lost["reason"].to_pylist() == [reason]
    assert (decoded.signals.num_rows, decoded.lost["source"].to_pylist()) == (0, [0x7E8])
