"""The chain of hashes under the audit of shipments, computed from what is written, without the database.

An entry's hash is the SHA-256 of the hash before it and of its own columns in Postgres' binary form of a record
(`record_send`): the number of columns, then for each its type, its length and its bytes, -1 for null. The other
half is dbt/macros/audit.sql, which hashes in SQL as it records.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

# Types by their object id, which Postgres never changes.
_BOOL, _INT8, _INT4, _TEXT, _FLOAT8, _TIMESTAMPTZ, _UUID, _LSN = 16, 20, 23, 25, 701, 1184, 2950, 3220
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

Columns = tuple[tuple[str, int], ...]

STATUS_COLUMNS: Columns = (
    ("tenant_id", _TEXT), ("shipment_id", _TEXT), ("entry", _INT4), ("event_id", _TEXT), ("version", _INT4),
    ("supersedes", _INT4), ("position", _INT4), ("previous_status", _TEXT), ("status", _TEXT),
    ("is_legal", _BOOL), ("occurred_at", _TIMESTAMPTZ), ("recorded_at", _TIMESTAMPTZ), ("sequence", _INT8),
    ("reason_code", _TEXT), ("vehicle_id", _TEXT), ("lat", _FLOAT8), ("lon", _FLOAT8), ("origin", _TEXT),
    ("batch_id", _INT8), ("line", _INT4), ("object_key", _TEXT), ("believed_from", _TIMESTAMPTZ),
    ("run_id", _UUID),
)  # fmt: skip
ORDER_COLUMNS: Columns = (
    ("tenant_id", _TEXT), ("shipment_id", _TEXT), ("entry", _INT4), ("customer_id", _TEXT),
    ("carrier_id", _TEXT), ("service_level", _TEXT), ("mode", _TEXT), ("origin_site_id", _TEXT),
    ("destination_site_id", _TEXT), ("region", _TEXT), ("created_at", _TIMESTAMPTZ),
    ("promised_at", _TIMESTAMPTZ), ("cancelled_at", _TIMESTAMPTZ), ("is_deleted", _BOOL), ("lsn", _LSN),
    ("committed_at", _TIMESTAMPTZ), ("batch_id", _INT8), ("believed_from", _TIMESTAMPTZ), ("run_id", _UUID),
)  # fmt: skip


@dataclass(frozen=True)
class Head:
    """Where a chain ends, as kept apart from it: how many entries, and the hash of the last."""

    entries: int
    hash: bytes | None


@dataclass(frozen=True)
class Broken:
    """The first entry of a chain that is not as it was recorded, and how that shows."""

    entry: int
    finding: str
    detail: str


def entry_hash(before: bytes, row: Mapping[str, Any], columns: Columns) -> bytes:
    """Return the hash of one entry after the hash `before` it (empty before the first)."""
    parts = [before, struct.pack(">i", len(columns))]
    for name, type_id in columns:
        value = row[name]
        if value is None:
            parts.append(struct.pack(">Ii", type_id, -1))
        else:
            sent = _send(value, type_id)
            parts += (struct.pack(">Ii", type_id, len(sent)), sent)
    return hashlib.sha256(b"".join(parts)).digest()


def _send(value: Any, type_id: int) -> bytes:
    if type_id == _TEXT:
        return str(value).encode()
    if type_id == _TIMESTAMPTZ:
        since = value - _EPOCH
        return struct.pack(">q", (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)
    if type_id == _LSN:
        high, _, low = str(value).partition("/")
        return struct.pack(">II", int(high, 16), int(low, 16))
    if type_id == _UUID:
        assert isinstance(value, UUID)
        return value.bytes
    formats = {_BOOL: ">?", _INT4: ">i", _INT8: ">q", _FLOAT8: ">d"}
    return struct.pack(formats[type_id], value)


def first_broken(rows: Sequence[Mapping[str, Any]], head: Head | None, columns: Columns) -> Broken | None:
    """Return the first entry of a chain that breaks it, or None: the rows are as they were recorded.

    Args:
        rows: every entry of one chain, by `entry`, with `hash` and `believed_until`.
        head: where the chain ends; None if nothing was kept, which breaks it.
        columns: those that are hashed.
    """
    before = b""
    for place, row in enumerate(rows, start=1):
        if row["entry"] != place:
            return Broken(place, "missing", f"entry {place} is gone: the next is {row['entry']}")
        if head is None or place > head.entries:
            ends = f"ends at entry {head.entries}" if head else "has no head"
            return Broken(place, "added", f"entry {place} was not recorded: the chain {ends}")
        before_it, before = before, entry_hash(before, row, columns)
        if before != row["hash"]:
            return Broken(place, "changed", _how_changed(rows, place, before_it, columns))
    if head is None:
        return Broken(1, "missing", "neither entries nor a head")
    if len(rows) < head.entries:
        return Broken(
            len(rows) + 1, "cut", f"the chain ends at {len(rows)}, its head at entry {head.entries}"
        )
    if before != (head.hash or b""):
        return Broken(len(rows), "head", "the chain does not come to its head: both were made anew, or one")
    return _first_misdated(rows)


def _how_changed(rows: Sequence[Mapping[str, Any]], place: int, before: bytes, columns: Columns) -> str:
    """Tell an entry that stands in another's place from one whose content or hash is not what was recorded."""
    hashes = {bytes(other["hash"]): other["entry"] for other in rows}
    for other in rows:
        moved = entry_hash(before, {**other, "entry": place}, columns)
        if other["entry"] != place and moved in hashes:
            return f"entry {place} is not what was recorded: that stands at {other['entry']}"
    return f"entry {place} is not what was recorded: its content, its hash or the entry before it was changed"


def _first_misdated(rows: Sequence[Mapping[str, Any]]) -> Broken | None:
    """`believed_until` is not hashed, for it is written later; it has to follow from the entries."""
    ends: dict[int, datetime] = {}
    for row in rows:
        taken = row["supersedes"] if "supersedes" in row else row["entry"] - 1
        if taken:
            ends[taken] = row["believed_from"]
    for row in rows:
        if row["believed_until"] != ends.get(row["entry"]):
            return Broken(
                row["entry"],
                "until",
                f"entry {row['entry']} is believed until {row['believed_until']}, by the chain until"
                f" {ends.get(row['entry'])}",
            )
    return None


def count_entries(rows: Iterable[Mapping[str, Any]]) -> int:
    """Return how many rows are entries: a head without a chain comes as one row without an entry."""
    return sum(row["entry"] is not None for row in rows)
