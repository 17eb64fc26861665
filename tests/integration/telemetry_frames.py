"""CAN frames for the tests of the telemetry step: made by hand from the standards' byte layouts."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

HOUR = datetime(2026, 3, 9, 10, tzinfo=UTC)
Row = dict[str, Any]

EEC1, CCVS1, HOURS, VD = 0x0CF00400, 0x18FEF100, 0x18FEE500, 0x18FEE000
BAM, PACKET, DM1 = 0x18ECFF00, 0x18EBFF00, 0x18FECA00
LFE1, LFC1, DD1, VDHR = 0x18FEF200, 0x18FEE900, 0x18FEFC21, 0x18FEC1EE
UNKNOWN = 0x18FFAA00


def frame(vehicle: str, at: datetime, arbitration_id: int, payload: bytes, **changes: Any) -> Row:
    """A frame with an event id of its own content."""
    event_id = f"{vehicle}-{at.timestamp():.6f}-{arbitration_id:x}-{payload.hex()}"
    row = {
        "tenant_id": "acme", "event_id": event_id, "recorded_at": at + timedelta(seconds=2), "schema_version": 1,
        "vehicle_id": vehicle, "captured_at": at, "channel": "can0", "arbitration_id": arbitration_id,
        "is_extended": arbitration_id > 0x7FF, "payload": payload,
    }  # fmt: skip
    return row | changes


def engine_speed(vehicle: str, at: datetime, rpm: float, **changes: Any) -> Row:
    """EEC1: SPN 190 in bytes 4 and 5, an eighth of a turn a bit."""
    return frame(
        vehicle, at, EEC1, b"\xff\xff\xff" + round(rpm * 8).to_bytes(2, "little") + b"\xff\xff\xff", **changes
    )


def odometer(vehicle: str, at: datetime, km: float) -> Row:
    """VD: SPN 245 in bytes 5 to 8, 125 m a bit."""
    return frame(vehicle, at, VD, b"\xff" * 4 + round(km * 8).to_bytes(4, "little"))


def engine_hours(vehicle: str, at: datetime, hours: float) -> Row:
    """HOURS: SPN 247 in bytes 1 to 4, 0.05 h a bit."""
    return frame(vehicle, at, HOURS, round(hours * 20).to_bytes(4, "little") + b"\xff" * 4)


def fuel_burnt(vehicle: str, at: datetime, rate_lph: float, total_l: float) -> list[Row]:
    """LFE1: SPN 183 in bytes 1 and 2, 0.05 l/h a bit. LFC1: SPN 250 in bytes 5 to 8, half a litre a bit."""
    return [
        frame(vehicle, at, LFE1, round(rate_lph * 20).to_bytes(2, "little") + b"\xff" * 6),
        frame(vehicle, at, LFC1, b"\xff" * 4 + int(total_l * 2).to_bytes(4, "little")),
    ]


def fuel_level(vehicle: str, at: datetime, percent: float) -> Row:
    """DD1: SPN 96 in byte 2, 0.4 % a bit."""
    return frame(vehicle, at, DD1, bytes([0xFF, round(percent / 0.4)]) + b"\xff" * 6)


def fine_odometer(vehicle: str, at: datetime, km: float) -> Row:
    """VDHR: SPN 917 in bytes 1 to 4, 5 m a bit."""
    return frame(vehicle, at, VDHR, round(km * 200).to_bytes(4, "little") + b"\xff" * 4)


def code(spn: int, fmi: int, count: int) -> bytes:
    """Four bytes of a trouble code by conversion method 4."""
    return (spn & 0xFFFF).to_bytes(2, "little") + bytes([(spn >> 16) << 5 | fmi, count])


def one_code(vehicle: str, at: datetime, spn: int, fmi: int, count: int = 1, lamps: int = 0x04) -> Row:
    """DM1 of one code in one frame; lamps 0x04: amber warning."""
    return frame(vehicle, at, DM1, bytes([lamps, 0xFF]) + code(spn, fmi, count) + b"\xff\xff")


def all_clear(vehicle: str, at: datetime) -> Row:
    """DM1 without a code."""
    return frame(vehicle, at, DM1, bytes([0, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF]))


def broadcast_codes(vehicle: str, at: datetime, codes: Sequence[bytes], apart_ms: float = 100) -> list[Row]:
    """DM1 of several codes: a BAM announcement and its packets."""
    message = bytes([0x04, 0xFF]) + b"".join(codes)
    packets = -(-len(message) // 7)
    announcement = bytes([32, len(message) & 0xFF, len(message) >> 8, packets, 0xFF, 0xCA, 0xFE, 0x00])
    rows = [frame(vehicle, at, BAM, announcement)]
    for number in range(packets):
        data = message[7 * number : 7 * number + 7].ljust(7, b"\xff")
        when = at + timedelta(milliseconds=apart_ms * (number + 1))
        rows.append(frame(vehicle, when, PACKET, bytes([number + 1]) + data))
    return rows


def a_day_of(vehicles: Iterable[str], seed: int = 1) -> list[Row]:
    """Frames of some hours around midnight: engine speed, odometer, codes, broadcasts over full hours, bad ones."""
    dice = random.Random(seed)
    start = HOUR.replace(hour=22)
    rows: list[Row] = []
    for vehicle in vehicles:
        km = dice.uniform(1_000, 90_000)
        for _ in range(120):
            rows.append(
                engine_speed(
                    vehicle, start + timedelta(seconds=dice.uniform(0, 4 * 3600)), dice.uniform(600, 2_000)
                )
            )
        for minute in range(0, 240, 20):
            km += dice.uniform(0, 20)
            rows.append(odometer(vehicle, start + timedelta(minutes=minute, seconds=dice.random()), km))
        for hour in range(1, 4):
            begins = start + timedelta(hours=hour) - timedelta(milliseconds=150)
            rows += broadcast_codes(vehicle, begins, [code(110, 0, hour), code(100, 1, hour)])
            rows.append(all_clear(vehicle, start + timedelta(hours=hour, minutes=30)))
        for _ in range(10):
            at = start + timedelta(seconds=dice.uniform(0, 4 * 3600))
            rows.append(frame(vehicle, at, UNKNOWN, bytes([dice.randrange(256)])))
            rows.append(frame(vehicle, at, EEC1, b"\x01\x02"))
        rows.append(engine_speed(vehicle, start, 900, recorded_at=start - timedelta(hours=1)))
        rows.append(
            engine_speed(vehicle, start + timedelta(seconds=1), 900, recorded_at=start - timedelta(seconds=4))
        )
    return rows


def truck(vehicle: str, **changes: Any) -> Row:
    """A vehicle of a model that the fleet's manifest reads by J1939, as the mirror has one."""
    return {"vehicle_id": vehicle, "tenant_id": "acme", "make": "Scania", "model": "R450", "model_year": 2021,
            "vehicle_class": "tractor", "capacity_kg": 24_000, "tank_l": 600, "home_site_id": "x1",
            "status": "active", "in_service_from": HOUR.date().replace(year=2021)} | changes  # fmt: skip
