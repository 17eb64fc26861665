"""What the simulator writes is what the platform's decoder reads: decode(encode(x)) is x to within the resolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fleetflow.simulator.vehicle_life import frames
from fleetflow.simulator.vehicle_life.frames import Absent, Code, Frame, Reading
from ingestion.telemetry.decode import Decoded, decode_frames
from ingestion.telemetry.manifest import Manifest
from tests.unit.telemetry.can_frames import counts, decoder, frame, frames_table, manifest, values

TRUCK, VAN = manifest(decoder("j1939")), manifest(decoder("obd"))

SIGNALS: list[tuple[str, Callable[[Reading], Frame], float, list[float]]] = [
    ("engine_speed", frames.engine_speed, 0.125, [0, 561.3, 1499.9, 8031.875]),
    ("vehicle_speed", frames.wheel_speed, 1 / 256, [0, 0.3, 88.77, 250.99]),
    ("fuel_rate", frames.fuel_rate, 0.05, [0, 1.6, 31.42, 3212.75]),
    ("total_fuel_used", frames.total_fuel, 0.5, [0, 123_456.7, 2_105_540_000]),
    ("fuel_level", frames.fuel_level, 0.4, [0, 33.3, 100]),
    ("odometer_high_resolution", frames.distance, 0.005, [0, 0.004, 398_765.432, 21_055_406.0]),
    ("engine_hours", frames.engine_hours, 0.05, [0, 7_777.77, 210_554_060]),
    ("coolant_temperature", frames.coolant, 1, [-40, 20.4, 84.6, 210]),
]


def read(written: list[Frame], of: Manifest) -> Decoded:
    rows: list[dict[str, Any]] = [
        frame(one.identifier, one.payload, n * 60_000, extended=one.extended) for n, one in enumerate(written)
    ]
    return decode_frames(frames_table(rows), of)


@pytest.mark.parametrize(("name", "encode", "step", "said"), SIGNALS)
def test_a_truck_says_what_it_measures(
    name: str, encode: Callable[[Reading], Frame], step: float, said: list[float]
) -> None:
    written = [encode(value) for value in said]
    assert all(len(one.payload) == 8 and one.extended for one in written)
    assert values(read(written, TRUCK)) == {name: pytest.approx(said, abs=step / 2 + 1e-9)}


@pytest.mark.parametrize(("name", "encode", "step", "said"), SIGNALS)
def test_what_is_not_available_or_faulty_is_no_value(
    name: str, encode: Callable[[Reading], Frame], step: float, said: list[float]
) -> None:
    decoded = read([encode(Absent.NOT_AVAILABLE), encode(Absent.ERROR)], TRUCK)
    rows = sorted(decoded.signals.to_pylist(), key=lambda row: row["captured_at"])
    assert [(row["name"], row["value"], row["text"]) for row in rows] == [
        (name, None, "not available"),
        (name, None, "error"),
    ]


@pytest.mark.parametrize(
    "codes",
    [
        [],
        [Code(110, 0, 1)],
        [Code(110, 0, 1), Code(524_287, 31, 126)],
        [Code(100 + n, n, n + 1) for n in range(9)],
    ],
)
def test_trouble_codes_come_through_whatever_their_number(codes: list[Code]) -> None:
    written = frames.active_codes(codes)
    assert len(written) == (1 if len(codes) < 2 else 1 + -(-(2 + 4 * len(codes)) // 7))
    decoded = read(written, TRUCK)
    found = {(row["spn"], row["fmi"], row["occurrence_count"]) for row in decoded.trouble_codes.to_pylist()}
    assert found == set(codes)
    assert decoded.raw.num_rows == decoded.lost.num_rows == 0
    lamps = {row["amber_warning_lamp"] for row in decoded.trouble_codes.to_pylist()}
    assert lamps <= {"off" if any(code.fmi in (0, 1) for code in codes) else "on"}


def test_a_van_answers_by_the_standard() -> None:
    written = [
        frames.obd_values(frames.obd_engine_speed(1_812.3), frames.obd_speed(63.4)),
        frames.obd_values(frames.obd_fuel_level(41.7), frames.obd_coolant(-12.2)),
        frames.obd_values(frames.obd_fuel_rate(7.33)),
        frames.obd_values(frames.obd_odometer(123_456.78)),
    ]
    assert all(len(one.payload) == 8 and not one.extended for one in written)
    assert values(read(written, VAN)) == {
        "engine_speed": pytest.approx([1_812.3], abs=0.125),
        "vehicle_speed": [63],
        "fuel_level": pytest.approx([41.7], abs=0.2),
        "coolant_temperature": [-12],
        "fuel_rate": pytest.approx([7.33], abs=0.025),
        "odometer": pytest.approx([123_456.78], abs=0.05),
    }


@pytest.mark.parametrize("codes", [[], ["P0301"], ["U0100", "C0035"], ["P0301", "B1318", "C0035", "U3FFF"]])
def test_a_vans_codes_come_through_in_one_frame_or_several(codes: list[str]) -> None:
    decoded = read(frames.obd_codes(codes), VAN)
    assert {row["code"] for row in decoded.trouble_codes.to_pylist()} == set(codes)
    assert decoded.raw.num_rows == decoded.lost.num_rows == 0


@pytest.mark.parametrize("number", [0, 15, 4_711])
def test_a_makers_own_frames_are_known_to_nobody(number: int) -> None:
    assert counts(read([frames.unknown(number)], TRUCK)) == {"unknown_id": 1}
    assert counts(read([frames.obd_unknown(number)], VAN)) == {"unknown_id": 1}
