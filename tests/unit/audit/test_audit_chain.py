"""The chain of hashes: its bytes are Postgres' own, and each way to touch a row is told by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.audit_chain import ORDER_COLUMNS, STATUS_COLUMNS, Head, entry_hash, first_broken

AT = datetime(2026, 3, 10, 12, 0, 0, 123456, tzinfo=UTC)
Rows = list[dict[str, Any]]

COLUMNS = (
    ("shipment_id", 25),
    ("entry", 23),
    ("is_legal", 16),
    ("lat", 701),
    ("at", 1184),
    ("n", 20),
    ("x", 25),
)
# select encode(record_send(row('sé'::text, 7::int4, true, 48.5::float8, '2026-03-10 12:00:00.123456+00'::timestamptz,
#     -1::int8, null::text)), 'hex')
SENT = (
    "00000007000000190000000373c3a9000000170000000400000007000000100000000101000002bd0000000840484000"
    "00000000000004a0000000080002efa9070b72400000001400000008ffffffffffffffff00000019ffffffff"
)


def test_an_entry_is_hashed_in_the_binary_form_of_a_record() -> None:
    row = {"shipment_id": "sé", "entry": 7, "is_legal": True, "lat": 48.5, "at": AT, "n": -1, "x": None}
    assert entry_hash(b"before", row, COLUMNS) == hashlib.sha256(b"before" + bytes.fromhex(SENT)).digest()


def chain(length: int = 4) -> tuple[Rows, Head]:
    """A chain of status events as the recorder would write it; the third takes over from the first."""
    rows: Rows = []
    before = b""
    for entry in range(1, length + 1):
        row: dict[str, Any] = dict.fromkeys((name for name, _ in STATUS_COLUMNS), None)
        row |= {
            "tenant_id": "a", "shipment_id": "s", "entry": entry, "event_id": f"e{entry % 3}", "version": 1,
            "position": entry, "supersedes": 1 if entry == 3 else None, "status": "created", "is_legal": True,
            "occurred_at": AT, "recorded_at": AT, "origin": "device", "believed_from": AT + timedelta(hours=entry),
            "run_id": UUID(int=entry),
        }  # fmt: skip
        row["hash"] = before = entry_hash(before, row, STATUS_COLUMNS)
        row["believed_until"] = AT + timedelta(hours=3) if entry == 1 else None
        rows.append(row)
    return rows, Head(length, before)


def rehash(rows: Rows, start: int) -> None:
    for at in range(start, len(rows)):
        rows[at]["hash"] = entry_hash(rows[at - 1]["hash"] if at else b"", rows[at], STATUS_COLUMNS)


def edit(rows: Rows) -> None:
    rows[1]["lat"] = 1.0


def edit_and_hash_the_rest(rows: Rows) -> None:
    rows[1]["lat"] = 1.0
    rehash(rows, 1)


def swap(rows: Rows) -> None:
    rows[1], rows[2] = rows[2] | {"entry": 2}, rows[1] | {"entry": 3}


def append(rows: Rows) -> None:
    rows.append(rows[-1] | {"entry": 5, "event_id": "forged"})
    rehash(rows, 4)


def reopen(rows: Rows) -> None:
    rows[0]["believed_until"] = None


def end_early(rows: Rows) -> None:
    rows[3]["believed_until"] = AT


def drop(at: int) -> Callable[[Rows], None]:
    return lambda rows: rows.pop(at) and None


@pytest.mark.parametrize(
    ("touch", "entry", "finding"),
    [
        (edit, 2, "changed"),
        (edit_and_hash_the_rest, 4, "head"),
        (swap, 2, "changed"),
        (append, 5, "added"),
        (reopen, 1, "until"),
        (end_early, 4, "until"),
        (drop(0), 1, "missing"),
        (drop(1), 2, "missing"),
        (drop(3), 4, "cut"),
        (list.clear, 1, "cut"),
    ],
)
def test_whoever_touches_a_row_is_named(touch: Callable[[Rows], None], entry: int, finding: str) -> None:
    rows, head = chain()
    assert first_broken(rows, head, STATUS_COLUMNS) is None
    touch(rows)
    broken = first_broken(rows, head, STATUS_COLUMNS)
    assert broken is not None
    assert (broken.entry, broken.finding) == (entry, finding)


@pytest.mark.parametrize("name", [name for name, _ in STATUS_COLUMNS if name not in ("entry",)])
def test_every_column_counts(name: str) -> None:
    rows, head = chain(1)
    other: dict[type, Any] = {
        str: "other",
        int: 99,
        bool: False,
        datetime: AT - timedelta(days=1),
        UUID: UUID(int=9),
    }
    kind = {"line": int, "batch_id": int, "sequence": int, "supersedes": int, "lat": float, "lon": float}.get(
        name, str
    )
    was = rows[0][name]
    rows[0][name] = other[type(was)] if was is not None else {int: 99, float: 9.5, str: "other"}[kind]
    broken = first_broken(rows, head, STATUS_COLUMNS)
    assert broken is not None
    assert broken.finding == "changed"


def test_a_chain_without_a_head_is_not_whole() -> None:
    rows, _ = chain(2)
    broken = first_broken(rows, None, STATUS_COLUMNS)
    assert broken is not None
    assert (broken.entry, broken.finding) == (1, "added")


def test_an_order_is_believed_until_the_next_entry() -> None:
    rows: Rows = []
    before = b""
    for entry in (1, 2):
        row: dict[str, Any] = dict.fromkeys((name for name, _ in ORDER_COLUMNS), None)
        row |= {"tenant_id": "a", "shipment_id": "s", "entry": entry, "is_deleted": False, "lsn": f"A/{entry}F",
                "committed_at": AT, "batch_id": 1, "believed_from": AT + timedelta(hours=entry)}  # fmt: skip
        row["hash"] = before = entry_hash(before, row, ORDER_COLUMNS)
        row["believed_until"] = AT + timedelta(hours=2) if entry == 1 else None
        rows.append(row)
    assert first_broken(rows, Head(2, before), ORDER_COLUMNS) is None
    rows[0]["believed_until"] = AT
    broken = first_broken(rows, Head(2, before), ORDER_COLUMNS)
    assert broken is not None
    assert broken.finding == "until"
