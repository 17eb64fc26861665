"""The buffer of a shard: when a cut is due, where it ends, and that dropping it leaves the rest in order."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingestion.landing import lander
from ingestion.landing.lander import Buffer, FlushLimits
from ingestion.landing.records import Record


def record(sequence: int, lines: int = 1, size: int = 10) -> Record:
    return Record(str(sequence), datetime(2026, 3, 1, tzinfo=UTC), [b"x"] * lines, size)


def buffer(*records: Record, rows: int = 10, size_bytes: int = 1000, seconds: float = 60) -> Buffer:
    filled = Buffer(FlushLimits(rows, size_bytes, seconds))
    filled.add(records)
    return filled


def sequences(records: list[Record]) -> list[str]:
    return [r.sequence for r in records]


def test_an_empty_buffer_is_never_due() -> None:
    empty = buffer(seconds=0)
    empty.add([])
    assert not empty.due()
    assert not empty.full
    assert not empty.holds("1")
    assert empty.peek(None) == []


@pytest.mark.parametrize(
    ("records", "due"),
    [
        ([record(1, lines=9)], False),
        ([record(1, lines=10)], True),
        ([record(1, lines=5), record(2, lines=5)], True),
        ([record(1, size=999)], False),
        ([record(1, lines=0, size=1000)], True),
    ],
)
def test_due_by_rows_or_bytes(records: list[Record], due: bool) -> None:
    assert buffer(*records).due() is due


def test_due_by_seconds_since_the_first_record(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(lander.time, "monotonic", lambda: now[0])
    waiting = buffer(record(1), seconds=3)
    now[0] = 102.5
    waiting.add([record(2)])
    assert not waiting.due()
    now[0] = 103.0
    assert waiting.due()
    waiting.drop(1)
    assert not waiting.due()
    now[0] = 106.0
    assert waiting.due()


def test_a_cut_stays_within_the_limits_and_in_the_buffer() -> None:
    filled = buffer(*(record(n, lines=4) for n in range(1, 6)))
    assert sequences(filled.peek(None)) == ["1", "2"]
    assert sequences(filled.peek(None)) == ["1", "2"]
    assert len(filled) == 5
    by_size = buffer(*(record(n, size=400) for n in range(1, 6)))
    assert sequences(by_size.peek(None)) == ["1", "2"]


def test_a_record_over_the_limits_is_a_cut_of_its_own() -> None:
    filled = buffer(record(1, lines=500, size=5000), record(2))
    assert sequences(filled.peek(None)) == ["1"]


def test_an_announced_cut_is_kept_to_whatever_the_limits_say() -> None:
    filled = buffer(*(record(n, lines=8) for n in range(1, 6)))
    assert sequences(filled.peek("4")) == ["1", "2", "3", "4"]
    shorter = buffer(*(record(n) for n in range(1, 6)))
    assert sequences(shorter.peek("2")) == ["1", "2"]


def test_sequence_numbers_compare_as_numbers() -> None:
    filled = buffer(record(9), record(10), record(11))
    assert filled.holds("10")
    assert not filled.holds("12")
    assert sequences(filled.peek("10")) == ["9", "10"]
    assert filled.peek("8") == []


def test_dropping_gives_the_room_back() -> None:
    filled = buffer(*(record(n, lines=4, size=300) for n in range(1, 5)))
    assert filled.full
    filled.drop(3)
    assert not filled.full
    assert sequences(filled.peek(None)) == ["4"]
    filled.drop(1)
    assert (len(filled), filled.due()) == (0, False)
    filled.add([record(5, lines=9, size=990)])
    assert not filled.full
