"""What the telemetry tests share: frames as tables, and the smallest ways to put decoders together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from cantools.database.can import Message as DbcMessage

from ingestion.telemetry.dbc import Compiled, compile_message
from ingestion.telemetry.decode import Decoded
from ingestion.telemetry.frames import FRAMES
from ingestion.telemetry.manifest import Manifest
from ingestion.telemetry.routes import BusProtocol, Decoder

START_US = int(datetime(2026, 3, 10, 6, tzinfo=UTC).timestamp() * 1_000_000)


def frame(
    arbitration_id: int, payload: bytes | str, at_us: int = 0, *, vehicle: str = "v1", model: str | None = "truck",
    extended: bool | None = None, tenant: str = "acme", channel: str = "can0", year: int | None = 2022,
) -> dict[str, Any]:  # fmt: skip
    """One frame, `at_us` after the start; ids above 11 bits are extended unless said otherwise."""
    return {
        "tenant_id": tenant, "vehicle_id": vehicle, "captured_at": START_US + at_us, "channel": channel,
        "arbitration_id": arbitration_id, "is_extended": arbitration_id > 0x7FF if extended is None else extended,
        "payload": bytes.fromhex(payload) if isinstance(payload, str) else payload,
        "model": model, "model_year": year,
    }  # fmt: skip


def frames_table(frames: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(frames), schema=FRAMES)


def decoder(protocol: str, compiled: Sequence[Compiled] = (), **changes: Any) -> Decoder:
    known: dict[str, Any] = {
        "name": protocol, "version": 1, "models": ("truck",), "years": (2000, 2030), "channels": ("can0",),
        "protocol": BusProtocol(protocol), "compiled": tuple(compiled),
    }  # fmt: skip
    return Decoder(**known | changes)


def manifest(*decoders: Decoder) -> Manifest:
    return Manifest(1, decoders)


def of_messages(*messages: DbcMessage, protocol: str = "can") -> Manifest:
    """A manifest of one decoder whose database has these messages."""
    j1939 = protocol == "j1939"
    return manifest(decoder(protocol, [compile_message(one, "test@1", j1939=j1939) for one in messages]))


def values(decoded: Decoded) -> dict[str, list[float | None]]:
    """Values by name, in the order of capture."""
    found: dict[str, list[float | None]] = {}
    for row in sorted(decoded.signals.to_pylist(), key=lambda row: row["captured_at"]):
        found.setdefault(row["name"], []).append(row["value"])
    return found


def counts(decoded: Decoded, vehicle: str = "v1") -> dict[str, int]:
    """The counts of a vehicle that are not 0, without the total, which must be their sum."""
    (row,) = [one for one in decoded.counts.to_pylist() if one["vehicle_id"] == vehicle]
    numbers = {name: n for name, n in row.items() if isinstance(n, int) and name != "frames"}
    assert row["frames"] == sum(numbers.values())
    return {name: n for name, n in numbers.items() if n}


def in_any_order(table: pa.Table) -> list[str]:
    return sorted(map(str, table.to_pylist()))
