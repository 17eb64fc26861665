"""Frames of a vehicle's bus, written bit by bit as the standards lay them out; no decoder's table is used.

Trucks and tractors speak SAE J1939 at 250 kbit/s: 29-bit identifiers (priority, parameter group, source address), eight
bytes little-endian, 0xFF.. for what is not available and 0xFE.. for an error (J1939-71); trouble codes in DM1
(J1939-73), over several packets by BAM where there is more than one (J1939-21). Vans answer an OBD-II tester: 0x7E8,
one or several frames of ISO 15765-2, values big-endian by SAE J1979.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

ENGINE, BODY, TACHOGRAPH = 0x00, 0x21, 0xEE
LAMP_RED, LAMP_AMBER = 0x10, 0x04
OBD_REPLY = 0x7E8
PADDING = 0xAA
DM1_GROUP = 0xFECA


class Absent(Enum):
    """Why there is no value: the sensor is not fitted or not ready, or it is faulty."""

    NOT_AVAILABLE = 0xFF
    ERROR = 0xFE


Reading = float | Absent


class Frame(NamedTuple):
    """One frame: 11 or, extended, 29 bits of identifier; up to eight bytes."""

    identifier: int
    extended: bool
    payload: bytes


class Code(NamedTuple):
    """A trouble code of J1939: suspect parameter (19 bits), failure mode (5 bits), how often it occurred."""

    spn: int
    fmi: int
    occurred: int


def engine_speed(rpm: Reading) -> Frame:
    """EEC1 (61444): bytes 4-5, an eighth of a revolution a minute."""
    return _group(3, 0xF004, ENGINE, b"\xff\xff\xff" + _word(rpm, 8) + b"\xff\xff\xff")


def wheel_speed(kmh: Reading) -> Frame:
    """CCVS1 (65265): bytes 2-3, 1/256 km/h."""
    return _group(6, 0xFEF1, ENGINE, b"\xff" + _word(kmh, 256) + b"\xff\xff\xff\xff\xff")


def fuel_rate(l_per_h: Reading) -> Frame:
    """LFE1 (65266): bytes 1-2, 0.05 l/h."""
    return _group(6, 0xFEF2, ENGINE, _word(l_per_h, 20) + b"\xff" * 6)


def total_fuel(litres: Reading) -> Frame:
    """LFC1 (65257): bytes 5-8, half a litre."""
    return _group(6, 0xFEE9, ENGINE, b"\xff\xff\xff\xff" + _long(litres, 2))


def fuel_level(percent: Reading) -> Frame:
    """DD1 (65276): byte 2, 0.4 %."""
    return _group(6, 0xFEFC, BODY, b"\xff" + _byte(percent, 2.5, 0) + b"\xff" * 6)


def distance(km: Reading) -> Frame:
    """VDHR (65217), from the tachograph: bytes 1-4, five metres."""
    return _group(6, 0xFEC1, TACHOGRAPH, _long(km, 200) + b"\xff\xff\xff\xff")


def engine_hours(hours: Reading) -> Frame:
    """HOURS (65253): bytes 1-4, 0.05 h."""
    return _group(6, 0xFEE5, ENGINE, _long(hours, 20) + b"\xff\xff\xff\xff")


def coolant(celsius: Reading) -> Frame:
    """ET1 (65262): byte 1, a degree, from -40."""
    return _group(6, 0xFEEE, ENGINE, _byte(celsius, 1, 40) + b"\xff" * 7)


def unknown(number: int) -> Frame:
    """A maker's own group (PDU format 255) that no database of ours has."""
    return _group(6, 0xFF00 | 0x40 + number % 16, BODY, struct.pack("<Q", number * 2_654_435_761 % 2**64))


def active_codes(codes: Sequence[Code]) -> list[Frame]:
    """DM1 (65226): two bytes of lamps, four a code; one frame, or a broadcast of several packets."""
    lamps = 0 if not codes else LAMP_RED if any(code.fmi in (0, 1) for code in codes) else LAMP_AMBER
    written = b"".join(_code(code) for code in codes) or b"\0\0\0\0"
    message = bytes((lamps, 0xFF)) + written
    if len(message) <= 8:
        return [_group(6, DM1_GROUP, ENGINE, message.ljust(8, b"\xff"))]
    packets = -(-len(message) // 7)
    announced = struct.pack("<BHBB", 0x20, len(message), packets, 0xFF) + DM1_GROUP.to_bytes(3, "little")
    frames = [_group(7, 0xECFF, ENGINE, announced)]
    for number in range(packets):
        part = message[7 * number : 7 * number + 7].ljust(7, b"\xff")
        frames.append(_group(7, 0xEBFF, ENGINE, bytes((number + 1,)) + part))
    return frames


def obd_values(*values: tuple[int, bytes]) -> Frame:
    """A reply of mode 01 in one frame: each PID with its data, six bytes in all at most."""
    data = b"".join(bytes((pid,)) + found for pid, found in values)
    return _single(b"\x41" + data)


def obd_engine_speed(rpm: float) -> tuple[int, bytes]:
    """PID 0C: a quarter of a revolution a minute."""
    return 0x0C, struct.pack(">H", round(rpm * 4))


def obd_speed(kmh: float) -> tuple[int, bytes]:
    """PID 0D: km/h."""
    return 0x0D, bytes((min(255, round(kmh)),))


def obd_fuel_level(percent: float) -> tuple[int, bytes]:
    """PID 2F: 100/255 %."""
    return 0x2F, bytes((round(percent * 2.55),))


def obd_coolant(celsius: float) -> tuple[int, bytes]:
    """PID 05: a degree, from -40."""
    return 0x05, bytes((round(celsius) + 40,))


def obd_fuel_rate(l_per_h: float) -> tuple[int, bytes]:
    """PID 5E: 0.05 l/h."""
    return 0x5E, struct.pack(">H", round(l_per_h * 20))


def obd_odometer(km: float) -> tuple[int, bytes]:
    """PID A6: 0.1 km."""
    return 0xA6, struct.pack(">I", round(km * 10))


def obd_codes(codes: Sequence[str]) -> list[Frame]:
    """The reply of service 03: the number of confirmed codes, two bytes each."""
    message = bytes((0x43, len(codes))) + b"".join(_obd_code(code) for code in codes)
    if len(message) <= 7:
        return [_single(message)]
    frames = [Frame(OBD_REPLY, False, struct.pack(">H", 0x1000 | len(message)) + message[:6])]
    for number, at in enumerate(range(6, len(message), 7), 1):
        part = bytes((0x20 | number & 15,)) + message[at : at + 7]
        frames.append(Frame(OBD_REPLY, False, part.ljust(8, bytes((PADDING,)))))
    return frames


def obd_unknown(number: int) -> Frame:
    """A frame of the van's own bus, of a control unit that answers no tester."""
    return Frame(0x340 + number % 16, False, struct.pack("<Q", number * 2_654_435_761 % 2**64))


def _group(priority: int, group: int, source: int, payload: bytes) -> Frame:
    return Frame(priority << 26 | group << 8 | source, True, payload)


def _byte(value: Reading, steps: float, offset: float) -> bytes:
    if isinstance(value, Absent):
        return bytes((value.value,))
    return bytes((min(250, max(0, round((value + offset) * steps))),))


def _word(value: Reading, steps: float) -> bytes:
    if isinstance(value, Absent):
        return bytes((value.value & 0xFF if value is Absent.NOT_AVAILABLE else 0, value.value))
    return struct.pack("<H", min(0xFAFF, max(0, round(value * steps))))


def _long(value: Reading, steps: float) -> bytes:
    if isinstance(value, Absent):
        return (b"\xff" if value is Absent.NOT_AVAILABLE else b"\0") * 3 + bytes((value.value,))
    return struct.pack("<I", min(0xFAFFFFFF, max(0, round(value * steps))))


def _code(code: Code) -> bytes:
    """SPN from its low byte, its upper three bits above the FMI, conversion method 4 (bit clear), count."""
    third = code.spn >> 16 << 5 | code.fmi
    return bytes((code.spn & 0xFF, code.spn >> 8 & 0xFF, third, code.occurred & 0x7F))


def _obd_code(code: str) -> bytes:
    """The letter in the upper two bits (SAE J2012), then four hexadecimal digits, the first of two bits."""
    return struct.pack(">H", "PCBU".index(code[0]) << 14 | int(code[1:], 16))


def _single(message: bytes) -> Frame:
    payload = bytes((len(message),)) + message
    return Frame(OBD_REPLY, False, payload.ljust(8, bytes((PADDING,))))
