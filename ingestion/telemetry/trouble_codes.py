"""Diagnostic trouble codes: DM1 and DM2 of J1939, and OBD-II services 03, 07 and 0A.

A DM message is two bytes of lamps, then four bytes a code (SAE J1939-73, 5.7.1): 19 bits of SPN, 5 of FMI, the bit of
the conversion method and 7 of the occurrence count. With that bit clear the SPN is little-endian (version 4). With it
set it is of version 1, 2 or 3, which only the manufacturer knows: undeclared, the SPN is null, and `raw` has the bytes.
No code is SPN 0 with FMI 0, or four bytes of 0xFF. A count of 127 is not available.

An OBD-II reply has the number of codes, then two bytes each (SAE J1979, service 03; the letter is in the upper two
bits, SAE J2012); 0000 is padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ingestion.telemetry.extract import Flags, Integers, Payloads, Values
from ingestion.telemetry.frames import INSTANT, Frames
from ingestion.telemetry.identifiers import DM1
from ingestion.telemetry.layout import Field, Layout
from ingestion.telemetry.routes import Route
from ingestion.telemetry.rows import SignalRows, coded

_TEXT = pa.dictionary(pa.int32(), pa.string())
TROUBLE_CODES = pa.schema(
    [
        pa.field("tenant_id", _TEXT, nullable=False),
        pa.field("vehicle_id", _TEXT, nullable=False),
        pa.field("captured_at", INSTANT, nullable=False),
        pa.field("source_address", pa.uint8(), nullable=False),
        pa.field("status", _TEXT, nullable=False),
        pa.field("spn", pa.int32()),
        pa.field("fmi", pa.uint8()),
        pa.field("occurrence_count", pa.uint8()),
        pa.field("conversion_method", pa.uint8()),
        pa.field("code", _TEXT),
        pa.field("malfunction_indicator_lamp", _TEXT),
        pa.field("red_stop_lamp", _TEXT),
        pa.field("amber_warning_lamp", _TEXT),
        pa.field("protect_lamp", _TEXT),
        pa.field("raw", pa.uint32(), nullable=False),
        pa.field("decoder", _TEXT, nullable=False),
    ]
)
"""A row is one code as one ECU reported it at one time. J1939 codes have `spn` and `fmi` and the lamps (off, on,
slow_flash, fast_flash; null: not available), OBD-II codes have `code` (P0301). `status`: active (DM1),
previously_active (DM2), confirmed (03), pending (07), permanent (0A). `raw`: the code's bytes, the first one lowest
(OBD-II: highest).
"""

_LAMPS = ("malfunction_indicator_lamp", "red_stop_lamp", "amber_warning_lamp", "protect_lamp")
_LAMP_SPNS = (1213, 623, 624, 987)
_LAMP_STATES = ("off", "on", "slow_flash", "fast_flash")
LAMP_LAYOUT = Layout(
    tuple(
        Field(name, f"spn {spn}", 6 - 2 * i, 2, choices={0: "off", 1: "on"}, indicators=True)
        for i, (name, spn) in enumerate(zip(_LAMPS, _LAMP_SPNS, strict=True))
    )
)
SERVICES = {0x43: "confirmed", 0x47: "pending", 0x4A: "permanent"}
"""OBD-II replies that carry codes: 0x40 + service."""
_LETTERS = "PCBU"
_CODE_BYTES, _LAMP_BYTES = 4, 2


@dataclass(frozen=True)
class _Codes:
    """Codes of many messages: each one's frame (place in the batch), number, and message's lamp bytes."""

    rows: Integers
    raw: npt.NDArray[np.uint64]
    lamps: npt.NDArray[np.uint64]
    status: str
    route: Route
    is_obd: bool


class TroubleCodeRows:
    """Collects the trouble codes of a batch."""

    def __init__(self) -> None:
        self._found: list[_Codes] = []

    def add_diagnostics(
        self, payloads: Payloads, lengths: Integers, rows: Integers, route: Route, signals: SignalRows
    ) -> Flags:
        """Add DM1 or DM2 messages; how many codes each has, and DM1's lamps, become signals. Return which are sound.

        Sound is a message of whole codes; of a single frame the two bytes after its code do not count, and more
        bytes at the end may be 0xFF.
        """
        counts = (lengths - _LAMP_BYTES) // _CODE_BYTES
        sound: Flags = (counts >= 1) & _padded(payloads, lengths, counts)
        payloads, rows, counts = payloads.take(sound), rows[sound], counts[sound]
        message, raw = _spread(payloads, counts, _LAMP_BYTES, _CODE_BYTES)
        raw = raw & np.uint64(0xFFFFFFFF)
        real = (raw & np.uint64(0x00FFFFFF) != 0) & (raw != 0xFFFFFFFF)
        message, raw = message[real], raw[real]
        active = route.pgn == DM1
        status = "active" if active else "previously_active"
        lamps = payloads.window(0, False)[message] & np.uint64(0xFFFF)
        self._found.append(_Codes(rows[message], raw, lamps, status, route, is_obd=False))
        _add_count(signals, f"{status}_trouble_codes", "dm 1" if active else "dm 2", route, rows, message)
        if active:
            signals.add_layout(payloads, LAMP_LAYOUT, route.decoder, True, rows)
        return sound

    def add_replies(
        self,
        payloads: Payloads,
        lengths: Integers,
        rows: Integers,
        service: int,
        route: Route,
        signals: SignalRows,
    ) -> Flags:
        """Add OBD-II replies of one service of `SERVICES`. Return which are sound: as many codes as they say."""
        counts = payloads.byte(1).astype(np.int64)
        sound: Flags = (lengths >= 2) & (lengths == 2 + 2 * counts)
        payloads, rows, counts = payloads.take(sound), rows[sound], counts[sound]
        message, raw = _spread(payloads, counts, 2, 2)
        raw = raw.byteswap() >> np.uint64(48)
        message, raw = message[raw != 0], raw[raw != 0]
        status = SERVICES[service]
        self._found.append(
            _Codes(rows[message], raw, np.zeros(len(raw), np.uint64), status, route, is_obd=True)
        )
        _add_count(signals, f"{status}_trouble_codes", f"service {service - 0x40:02X}", route, rows, message)
        return sound

    def table(self, frames: Frames) -> pa.Table:
        """Return all as a table of `TROUBLE_CODES`."""
        parts = [_table(found, frames) for found in self._found if len(found.rows)]
        if not parts:
            return TROUBLE_CODES.empty_table()
        return pa.concat_tables(parts).unify_dictionaries().combine_chunks()


def _padded(payloads: Payloads, lengths: Integers, counts: Integers) -> Flags:
    """Tell whose bytes after the last whole code are 0xFF; of a single frame anything may follow its one code."""
    end = _LAMP_BYTES + _CODE_BYTES * counts
    sound = np.ones(len(lengths), np.bool_)
    for step in range(_CODE_BYTES - 1):
        over = (lengths > 8) & (end + step < lengths)
        last = payloads.buffer[payloads.offsets + np.where(over, end + step, 0)]
        sound &= ~over | (last == 0xFF)
    return sound


def _spread(
    payloads: Payloads, counts: Integers, first: int, size: int
) -> tuple[Integers, npt.NDArray[np.uint64]]:
    """Return for each code its message's place, and the eight bytes that begin with it."""
    message = np.repeat(np.arange(len(counts)), counts)
    ordinal = np.arange(len(message)) - np.repeat(np.cumsum(counts) - counts, counts)
    codes = Payloads(payloads.buffer, payloads.offsets[message] + first + size * ordinal)
    return message, codes.window(0, False)


def _add_count(
    signals: SignalRows, name: str, source: str, route: Route, rows: Integers, message: Integers
) -> None:
    """Add how many codes each message has; none is what closes a trouble."""
    field = Field(name, source, 0, 8)
    counts = np.bincount(message, minlength=len(rows)).astype(np.float64)
    signals.add(field, route.decoder, True, rows, Values(counts))


def _table(found: _Codes, frames: Frames) -> pa.Table:
    n = len(found.rows)
    same = np.zeros(n, np.int32)
    columns = [
        coded(frames.tenant.codes[found.rows], frames.tenant.texts),
        coded(frames.vehicle.codes[found.rows], frames.vehicle.texts),
        pa.array(frames.captured_us[found.rows]).cast(INSTANT),
        pa.array((frames.arbitration_id[found.rows] & 0xFF).astype(np.uint8)),
        coded(same, pa.array([found.status])),
        *(_obd_columns(found.raw) if found.is_obd else _j1939_columns(found.raw, found.route)),
        *(_lamp(found.lamps, i, found.is_obd) for i in range(len(_LAMPS))),
        pa.array(found.raw.astype(np.uint32)),
        coded(same, pa.array([found.route.decoder])),
    ]
    return pa.Table.from_arrays(columns, schema=TROUBLE_CODES)


def _j1939_columns(raw: npt.NDArray[np.uint64], route: Route) -> Sequence[pa.Array]:
    bits = raw.astype(np.int64)
    method, count = bits >> 31, bits >> 24 & 0x7F
    spn = suspect_parameter(bits, route.spn_conversion)
    return (
        pa.array(spn.astype(np.int32), mask=spn < 0),
        pa.array((bits >> 16 & 0x1F).astype(np.uint8)),
        pa.array(count.astype(np.uint8), mask=count == 127),
        pa.array(method.astype(np.uint8)),
        pa.nulls(len(raw), _TEXT),
    )


def suspect_parameter(codes: Integers, conversion: int | None) -> Integers:
    """Return the SPN of each four-byte code (first byte lowest); -1 where its conversion is not declared.

    Source: SAE J1939-73, 5.7.1, conversion methods 1 to 4. SPN 1208 begins with the bytes `00 97` in version 1, `97 00`
    in version 2, `B8 04` in versions 3 and 4.
    """
    first, second, third = codes & 0xFF, codes >> 8 & 0xFF, codes >> 21 & 7
    little = third << 16 | second << 8 | first
    match conversion:
        case 1:
            older = first << 11 | second << 3 | third
        case 2:
            older = second << 11 | first << 3 | third
        case 3:
            older = little
        case _:
            older = np.full(len(codes), -1, np.int64)
    return np.where(codes >> 31 == 1, older, little)


def _obd_columns(raw: npt.NDArray[np.uint64]) -> Sequence[pa.Array]:
    distinct, place = np.unique(raw, return_inverse=True)
    texts = [f"{_LETTERS[code >> 14]}{code >> 12 & 3}{code & 0xFFF:03X}" for code in distinct.tolist()]
    absent = ("spn", "fmi", "occurrence_count", "conversion_method")
    nothing = (pa.nulls(len(raw), TROUBLE_CODES.field(name).type) for name in absent)
    return (*nothing, coded(place, pa.array(texts, pa.string())))


def _lamp(lamps: npt.NDArray[np.uint64], lamp: int, is_obd: bool) -> pa.Array:
    """Return a lamp's state in words (SAE J1939-73, 5.7.1): on flashes slow (00) or fast (01) or not."""
    texts = pa.array(_LAMP_STATES)
    if is_obd:
        return coded(np.full(len(lamps), -1, np.int32), texts)
    bits = lamps.astype(np.int64)
    status, flash = bits >> (6 - 2 * lamp) & 3, bits >> (14 - 2 * lamp) & 3
    lit = np.select([flash == 0, flash == 1], [2, 3], 1)
    return coded(np.select([status == 0, status == 1], [0, lit], -1), texts)
