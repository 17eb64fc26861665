"""Kinesis records and what is inside them: newline-joined lines, or a KPL aggregate of such.

A KPL aggregate is `magic | protobuf | md5 of the protobuf`. One that is cut off or fails its md5 is corrupt as a
whole: nothing in it can be trusted, so it is refused as one piece with its bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aws_kinesis_agg.deaggregator import messages_pb2
from google.protobuf.message import DecodeError

KPL_MAGIC = b"\xf3\x89\x9a\xc2"
_DIGEST = 16


class CorruptRecord(ValueError):
    """A KPL aggregate whose protobuf or checksum is broken."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a shard. `lines` are its events; `corrupt` says why there are none."""

    sequence: str
    arrived_at: datetime
    lines: list[bytes]
    size: int
    corrupt: str | None = None
    raw: bytes = b""


def split_record(data: bytes) -> list[bytes]:
    """Return the events of a record; empty lines are not events.

    Raises:
        CorruptRecord: the record starts as a KPL aggregate and is not one, or one of nothing.
    """
    if not data.startswith(KPL_MAGIC):
        return [line for line in data.split(b"\n") if line]
    return [line for part in _aggregated(data) for line in part.split(b"\n") if line]


def _aggregated(data: bytes) -> list[bytes]:
    body, digest = data[len(KPL_MAGIC) : -_DIGEST], data[-_DIGEST:]
    if len(data) <= len(KPL_MAGIC) + _DIGEST or hashlib.md5(body, usedforsecurity=False).digest() != digest:
        raise CorruptRecord(f"KPL aggregate of {len(data)} bytes fails its checksum")
    aggregate = messages_pb2.AggregatedRecord()
    try:
        aggregate.ParseFromString(body)
    except DecodeError as fault:
        raise CorruptRecord(f"KPL aggregate of {len(data)} bytes is not one: {fault}") from fault
    if not aggregate.records:
        raise CorruptRecord(f"KPL aggregate of {len(data)} bytes holds no record")
    return [record.data for record in aggregate.records]


def read_record(answer: dict[str, Any]) -> Record:
    """Turn one entry of a GetRecords answer into a record."""
    data, sequence = answer["Data"], answer["SequenceNumber"]
    arrived_at = answer["ApproximateArrivalTimestamp"]
    try:
        return Record(sequence, arrived_at, split_record(data), len(data))
    except CorruptRecord as fault:
        return Record(sequence, arrived_at, [], len(data), str(fault), data)
