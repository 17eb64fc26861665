"""What is inside a Kinesis record: lines, or a KPL aggregate of lines; anything broken is refused as one piece."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from aws_kinesis_agg.deaggregator import messages_pb2

from ingestion.landing.records import KPL_MAGIC, CorruptRecord, read_record, split_record

ARRIVED = datetime(2026, 3, 1, tzinfo=UTC)


def sealed(body: bytes) -> bytes:
    return KPL_MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


def aggregate(*parts: bytes) -> bytes:
    message = messages_pb2.AggregatedRecord()
    message.partition_key_table.append("v1")
    for part in parts:
        record = message.records.add()
        record.partition_key_index, record.data = 0, part
    return sealed(message.SerializeToString())


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n\n\n", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one"]),
        (b"\none\n\ntwo\n", [b"one", b"two"]),
        (b"one\r\n", [b"one\r"]),
        (aggregate(b"one", b"two"), [b"one", b"two"]),
        (aggregate(b"one\ntwo\n", b"", b"\n", b"three"), [b"one", b"two", b"three"]),
    ],
)
def test_events_of_a_record_in_order_without_empty_lines(data: bytes, lines: list[bytes]) -> None:
    assert split_record(data) == lines


WHOLE = aggregate(b"one", b"two")


@pytest.mark.parametrize(
    "data",
    [
        KPL_MAGIC,
        WHOLE[:-1],
        WHOLE[:12],
        WHOLE[:8] + b"\xff" + WHOLE[9:],
        WHOLE + b"\n",
        sealed(b""),
        sealed(b"\x1a\x05ab"),  # a field that is longer than the message
        sealed(b"xx"),  # a protobuf, but of something else
        aggregate(),
    ],
    ids=[
        "magic alone",
        "cut off",
        "a stump",
        "a flipped byte",
        "a tail",
        "empty",
        "broken",
        "other",
        "nothing in it",
    ],
)
def test_a_broken_aggregate_is_corrupt_as_a_whole(data: bytes) -> None:
    with pytest.raises(CorruptRecord, match=f"KPL aggregate of {len(data)} bytes"):
        split_record(data)


def test_every_truncation_of_an_aggregate_is_noticed() -> None:
    for end in range(len(KPL_MAGIC), len(WHOLE)):
        with pytest.raises(CorruptRecord):
            split_record(WHOLE[:end])


def test_reading_keeps_the_place_and_the_lines() -> None:
    answer = {"Data": b"one\ntwo", "SequenceNumber": "17", "ApproximateArrivalTimestamp": ARRIVED}
    record = read_record(answer)
    assert (record.sequence, record.arrived_at, record.lines) == ("17", ARRIVED, [b"one", b"two"])
    assert (record.size, record.corrupt, record.raw) == (7, None, b"")


def test_reading_a_corrupt_record_keeps_its_bytes() -> None:
    answer = {"Data": WHOLE[:-1], "SequenceNumber": "18", "ApproximateArrivalTimestamp": ARRIVED}
    record = read_record(answer)
    assert (record.lines, record.raw, record.size) == ([], WHOLE[:-1], len(WHOLE) - 1)
    assert "checksum" in (record.corrupt or "")
