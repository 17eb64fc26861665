"""J1939: ids, standard parameters, values that are none, trouble codes; byte examples computed by hand.

Taken from public documents: EEC1 `FF FF FF 68 13 FF FF FF` is 621 rpm (CSS Electronics' introduction to J1939); SPN
1208, FMI 3, count 10 in the four conversion methods (SAE J1939-73); the others follow from J1939DA's resolutions.
"""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.telemetry.decode import Decoded, decode_frames
from ingestion.telemetry.identifiers import J1939Id, j1939_id
from ingestion.telemetry.manifest import read_manifest
from tests.unit.telemetry.can_frames import counts, decoder, frame, frames_table, manifest, values

TRUCK = manifest(decoder("j1939"))


def decode(*frames: dict[str, Any], **changes: Any) -> Decoded:
    return decode_frames(frames_table(frames), manifest(decoder("j1939", **changes)))


@pytest.mark.parametrize(
    ("arbitration_id", "parts"),
    [
        (0x0CF00400, J1939Id(3, 61444, 0, 255)),
        (0x18FEF131, J1939Id(6, 65265, 0x31, 255)),
        (0x18EA00F9, J1939Id(6, 59904, 0xF9, 0)),
        (0x1CECFF03, J1939Id(7, 60416, 3, 255)),
        (0x19FEF131, J1939Id(6, 0x1FEF1, 0x31, 255)),
        (0x1AF00400, J1939Id(6, 0x2F004, 0, 255)),
    ],
)
def test_parts_of_an_id(arbitration_id: int, parts: J1939Id) -> None:
    assert j1939_id(arbitration_id) == parts


@pytest.mark.parametrize(
    ("arbitration_id", "payload", "name", "value", "unit", "source"),
    [
        (0x0CF00400, "FF FF FF 68 13 FF FF FF", "engine_speed", 621, "rpm", "spn 190"),
        (0x18FEF100, "FF 80 4F FF FF FF FF FF", "vehicle_speed", 79.5, "km/h", "spn 84"),
        (0x18FEF200, "F4 01 FF FF FF FF FF FF", "fuel_rate", 25, "l/h", "spn 183"),
        (0x18FEE900, "FF FF FF FF 40 0D 03 00", "total_fuel_used", 100_000, "l", "spn 250"),
        (0x18FEFC17, "FF 7D FF FF FF FF FF FF", "fuel_level", 50, "%", "spn 96"),
        (0x18FEE000, "FF FF FF FF 00 12 7A 00", "odometer", 1_000_000, "km", "spn 245"),
        (0x18FEC1EE, "A0 86 01 00 FF FF FF FF", "odometer_high_resolution", 500, "km", "spn 917"),
        (0x18FEE500, "40 0D 03 00 FF FF FF FF", "engine_hours", 10_000, "h", "spn 247"),
        (0x18FEEE00, "7B FF FF FF FF FF FF FF", "coolant_temperature", 83, "degC", "spn 110"),
    ],
)
def test_standard_parameters(
    arbitration_id: int, payload: str, name: str, value: float, unit: str, source: str
) -> None:
    (row,) = decode(frame(arbitration_id, payload)).signals.to_pylist()
    assert (row["name"], row["value"], row["unit"], row["source"]) == (
        name,
        pytest.approx(value),
        unit,
        source,
    )
    assert row["source_address"] == arbitration_id & 0xFF
    assert (row["decoder"], row["text"]) == ("j1939@1", None)


@pytest.mark.parametrize(
    ("payload", "value", "text"),
    [
        ("FF FF FA FF FF FF FF FF", 0xFAFF / 256, None),
        ("FF 00 FB FF FF FF FF FF", None, "reserved"),
        ("FF FF FD FF FF FF FF FF", None, "reserved"),
        ("FF 00 FE FF FF FF FF FF", None, "error"),
        ("FF FF FE FF FF FF FF FF", None, "error"),
        ("FF 00 FF FF FF FF FF FF", None, "not available"),
        ("FF FF FF FF FF FF FF FF", None, "not available"),
    ],
)
def test_ranges_of_two_bytes(payload: str, value: float | None, text: str | None) -> None:
    (row,) = decode(frame(0x18FEF100, payload)).signals.to_pylist()
    assert (row["value"], row["text"]) == (value, text)


@pytest.mark.parametrize(
    ("arbitration_id", "payload", "value"),
    [
        (0x18FEFC00, "FF FA FF FF FF FF FF FF", 100),
        (0x18FEFC00, "FF FE FF FF FF FF FF FF", None),
        (0x18FEFC00, "FF FF FF FF FF FF FF FF", None),
        (0x18FEE000, "FF FF FF FF FF FF FF FA", 0xFAFFFFFF / 8),
        (0x18FEE000, "FF FF FF FF 00 00 00 FE", None),
        (0x18FEE000, "FF FF FF FF 00 00 00 FF", None),
    ],
)
def test_ranges_of_one_and_four_bytes(arbitration_id: int, payload: str, value: float | None) -> None:
    (row,) = decode(frame(arbitration_id, payload)).signals.to_pylist()
    assert row["value"] == (None if value is None else pytest.approx(value))


def test_a_database_extends_the_standard() -> None:
    """CCVS1 by the shipped database: two-bit states, a named special value, groups that only the standard has."""
    frames = [
        frame(0x18FEF127, "F7 80 4F DF FF FF FF FF", model="haul_truck"),
        frame(0x18FEF127, "FB 00 00 EF FF FF FF FF", 1, model="haul_truck"),
        frame(0x18F00503, "FF FF FF FB FF FF FF FF", 2, model="haul_truck"),
        frame(0x18F00503, "FF FF FF FC FF FF FF FF", 3, model="haul_truck"),
        frame(0x18FEEE00, "7B FF FF FF FF FF FF FF", 4, model="haul_truck"),
    ]
    decoded = decode_frames(frames_table(frames), read_manifest())
    assert values(decoded) == {
        "vehicle_speed": [79.5, 0], "CCVS1.ParkingBrake": [1, None], "CCVS1.BrakeSwitch": [1, None],
        "ETC2.CurrentGear": [126, None], "coolant_temperature": [83],
    }  # fmt: skip
    texts = {(row["name"], row["value"]): row["text"] for row in decoded.signals.to_pylist()}
    assert texts["CCVS1.ParkingBrake", 1] == "set"
    assert texts["CCVS1.ParkingBrake", None] == "error"
    assert texts["ETC2.CurrentGear", 126] == "park"
    assert texts["ETC2.CurrentGear", None] == "reserved"


@pytest.mark.parametrize(
    ("code", "conversion", "spn", "method"),
    [
        ("B8 04 03 0A", None, 1208, 0),
        ("00 97 03 8A", 1, 1208, 1),
        ("97 00 03 8A", 2, 1208, 1),
        ("B8 04 03 8A", 3, 1208, 1),
        ("B8 04 03 8A", None, None, 1),
        ("FE FF E3 0A", None, 0x7FFFE, 0),
    ],
)
def test_a_trouble_code(code: str, conversion: int | None, spn: int | None, method: int) -> None:
    decoded = decode(frame(0x18FECA27, f"44 FF {code} FF FF"), spn_conversion=conversion)
    (row,) = decoded.trouble_codes.to_pylist()
    assert (row["spn"], row["fmi"], row["occurrence_count"], row["conversion_method"]) == (spn, 3, 10, method)
    assert row["raw"] == int.from_bytes(bytes.fromhex(code), "little")
    assert (row["status"], row["source_address"], row["code"]) == ("active", 0x27, None)
    assert (row["malfunction_indicator_lamp"], row["red_stop_lamp"]) == ("on", "off")
    assert (row["amber_warning_lamp"], row["protect_lamp"]) == ("on", "off")
    assert values(decoded)["active_trouble_codes"] == [1]
    assert values(decoded)["malfunction_indicator_lamp"] == [1]


def test_lamps_flash_and_are_not_available() -> None:
    """Lamps on, on, on, not available; flashing slowly, fast, not, not."""
    decoded = decode(frame(0x18FECA00, "57 1F B8 04 03 FF FF FF"))
    (row,) = decoded.trouble_codes.to_pylist()
    lamps = ("malfunction_indicator_lamp", "red_stop_lamp", "amber_warning_lamp", "protect_lamp")
    assert [row[lamp] for lamp in lamps] == ["slow_flash", "fast_flash", "on", None]
    assert [values(decoded)[lamp] for lamp in lamps] == [[1], [1], [1], [None]]
    assert (row["occurrence_count"], row["conversion_method"], row["spn"]) == (None, 1, None)


@pytest.mark.parametrize("code", ["00 00 00 00", "FF FF FF FF", "00 00 00 05"])
def test_no_trouble(code: str) -> None:
    decoded = decode(frame(0x18FECA00, f"00 FF {code} FF FF"), frame(0x18FECB00, f"00 FF {code} FF FF"))
    assert decoded.trouble_codes.num_rows == 0
    assert values(decoded)["active_trouble_codes"] == [0]
    assert values(decoded)["previously_active_trouble_codes"] == [0]
    assert counts(decoded) == {"decoded": 2}


def test_previously_active() -> None:
    (row,) = decode(frame(0x18FECB00, "00 FF B8 04 03 0A FF FF")).trouble_codes.to_pylist()
    assert row["status"] == "previously_active"


@pytest.mark.parametrize(
    ("payload", "outcome"), [("44 FF B8 04 03", "wrong_length"), ("44" * 12, "wrong_length")]
)
def test_a_trouble_message_of_a_wrong_length(payload: str, outcome: str) -> None:
    decoded = decode(frame(0x18FECA00, payload))
    assert (counts(decoded), decoded.trouble_codes.num_rows) == ({outcome: 1}, 0)


def test_eleven_bits_are_unknown_to_j1939() -> None:
    decoded = decode(frame(0x123, bytes(8)), frame(0x18FF9900, bytes(8)))
    assert counts(decoded) == {"unknown_id": 2}
    assert decoded.raw["reason"].to_pylist() == ["unknown_id"] * 2
