from __future__ import annotations

import math
import time
from pathlib import Path

import pytest

from ingestion.streams.lane import MAX_LINE_BYTES, MAX_RECORD_BYTES, Lane, why_refused
from ingestion.streams.spool import LaneSpool, SpoolError, read_spool


def lane(directory: Path, *, record_bytes: int = 100, linger_s: float = 10.0) -> Lane:
    return Lane(0, 4, LaneSpool(directory, 0), record_bytes, linger_s)


def test_a_record_closes_before_it_would_grow_beyond_its_size(tmp_path: Path) -> None:
    one = lane(tmp_path, record_bytes=20)
    assert [one.append(0, b"123456789") for _ in range(5)] == [False, False, True, False, True]
    record = one.head(time.monotonic(), flush=False)
    assert record is not None
    assert (record.data, record.lines, record.last) == (b"123456789\n" * 2, 2, 2)


def test_the_linger_counts_from_the_first_line(tmp_path: Path) -> None:
    one = lane(tmp_path, linger_s=5.0)
    assert one.due_at() == math.inf
    one.append(0, b"a")
    due = one.due_at()
    assert due <= time.monotonic() + 5.0
    time.sleep(0.01)
    one.append(0, b"b")
    assert one.due_at() == due
    assert one.head(due - 0.001, flush=False) is None
    record = one.head(due, flush=False)
    assert record is not None
    assert record.data == b"a\nb\n"
    assert one.due_at() == math.inf


def test_flush_closes_the_open_record(tmp_path: Path) -> None:
    one = lane(tmp_path)
    assert one.head(0.0, flush=True) is None
    one.append(0, b"a")
    record = one.head(0.0, flush=True)
    assert record is not None
    assert record.lines == 1


def test_a_head_stays_until_it_is_acknowledged(tmp_path: Path) -> None:
    one = lane(tmp_path, record_bytes=4)
    for line in (b"abc", b"def", b"ghi"):
        one.append(0, line)
    first = one.head(0.0, flush=True)
    assert one.head(0.0, flush=True) is first
    assert one.acknowledge() is first
    assert [x.line for x in read_spool(tmp_path).lines] == [b"def", b"ghi"]
    second = one.head(0.0, flush=True)
    assert second is not None
    assert second.data == b"def\n"


def test_the_largest_line_fits_a_record_beside_its_partition_key(tmp_path: Path) -> None:
    one = lane(tmp_path, record_bytes=1000)
    one.append(0, b"small")
    assert one.append(0, b"x" * MAX_LINE_BYTES) is True
    one.acknowledge()
    record = one.head(0.0, flush=True)
    assert record is not None
    assert len(record.data) == MAX_RECORD_BYTES
    assert len(record.data) + len(one.partition_key) <= 1 << 20


def test_a_line_that_cannot_be_spooled_is_not_sent_either(tmp_path: Path) -> None:
    one = lane(tmp_path / "gone")
    with pytest.raises(SpoolError):
        one.append(0, b"a")
    assert one.head(math.inf, flush=True) is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "an empty line is no event"),
        (b"a\nb", "must not hold a newline"),
        (b"x" * (MAX_LINE_BYTES + 1), f"a line of {MAX_LINE_BYTES + 1} bytes is over the {MAX_LINE_BYTES}"),
    ],
)
def test_a_refusal_says_why(line: bytes, words: str) -> None:
    assert words in why_refused(line)
