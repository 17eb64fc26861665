"""CAN logs from a file: candump's log format, or CSV with the columns of `frames.FRAMES` that a log can have.

candump: `(1773122400.000000) can0 18FEF100#FF804FFFFFFFFFFF`, CAN FD `123##1` and the bytes, one frame a line; three
digits are an 11-bit id, eight a 29-bit one. Remote frames (`123#R`) carry nothing and are left out. CSV: a header with
`captured_at` (seconds since 1970, or ISO 8601 with a zone), `arbitration_id` (hex), `payload` (hex), and, if they are
there, `channel`, `is_extended`, `vehicle_id`, `tenant_id`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import pyarrow as pa

from ingestion.telemetry.frames import FRAMES

_CANDUMP = re.compile(
    r"\((\d{1,12}\.\d{1,9})\)\s+(\S+)\s+([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#(?:#[0-9A-Fa-f])?((?:[0-9A-Fa-f]{2})*)(?:\s+[RT])?"
)
_REMOTE = re.compile(r"\(\d{1,12}\.\d{1,9}\)\s+\S+\s+(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#R\d?(?:\s+[RT])?")
_CSV_NEEDS = ("captured_at", "arbitration_id", "payload")
_LATEST_S = 253_402_300_800  # the year 10000


class LogError(ValueError):
    """A line is no frame; the message names the line."""


def read_log(path: Path, vehicle: dict[str, Any]) -> pa.Table:
    """Read a whole log as a table of `FRAMES`; `vehicle` has tenant_id, vehicle_id, model and model_year.

    Raises:
        LogError: a line is no frame.
        OSError: the file cannot be read.
    """
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        rows = list(_csv_rows(lines) if path.suffix.lower() == ".csv" else _candump_rows(lines))
    return pa.Table.from_pylist([vehicle | row for row in rows], schema=FRAMES)


def _candump_rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#") or _REMOTE.fullmatch(text):
            continue
        match = _CANDUMP.fullmatch(text)
        if match is None:
            raise LogError(f"line {number}: {text[:80]!r} is no candump line such as (1.5) can0 123#00FF")
        yield {
            "captured_at": _micros(match[1], number),
            "channel": match[2],
            "arbitration_id": int(match[3], 16),
            "is_extended": len(match[3]) == 8,
            "payload": bytes.fromhex(match[4]),
        }


def _csv_rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(lines)
    missing = [name for name in _CSV_NEEDS if name not in (reader.fieldnames or ())]
    if missing:
        raise LogError(f"line 1: the header lacks {', '.join(missing)}")
    for row in reader:
        number = reader.line_num
        try:
            identifier = int(row["arbitration_id"], 16)
            payload = bytes.fromhex(row["payload"])
        except (TypeError, ValueError):
            raise LogError(f"line {number}: arbitration_id and payload must be hexadecimal") from None
        extended = (row.get("is_extended") or "").strip().lower()
        yield {
            "captured_at": _micros(row["captured_at"] or "", number),
            "channel": row.get("channel") or "can0",
            "arbitration_id": identifier,
            "is_extended": extended in ("1", "true", "t") if extended else identifier > 0x7FF,
            "payload": payload,
        } | {name: row[name] for name in ("vehicle_id", "tenant_id") if row.get(name)}


def _micros(text: str, number: int) -> int:
    """Return an instant in microseconds since 1970."""
    try:
        seconds = Decimal(text)
    except InvalidOperation:
        seconds = _iso_seconds(text, number)
    if not seconds.is_finite() or not 0 <= seconds < _LATEST_S:
        raise LogError(f"line {number}: {text!r} is no instant of these times")
    return int(seconds * 1_000_000)


def _iso_seconds(text: str, number: int) -> Decimal:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise LogError(f"line {number}: {text!r} is no instant") from None
    if instant.tzinfo is None:
        raise LogError(f"line {number}: {text!r} has no zone")
    return Decimal(str(instant.timestamp()))
