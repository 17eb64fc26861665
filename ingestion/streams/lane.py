"""A lane: the lines of one slice of the entities, in order, from `append` to the stream's acknowledgement.

kinesis-producer's accumulator and buffer gather lines into records; its faults that would lose or delay
lines are put right here (see docs/adr/0006-producer-lanes.md). At most one record of a lane is under way at
any time: PutRecords promises no order inside one call, and a record that failed must not be overtaken by
the next.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinesis_producer.accumulator import RecordAccumulator
from kinesis_producer.buffer import RawBuffer

from ingestion.streams.placement import explicit_hash_key
from ingestion.streams.spool import LaneSpool

DELIMITER = b"\n"
PARTITION_KEY_BYTES = 16
# Kinesis counts the partition key into a record's 1 MiB.
MAX_RECORD_BYTES = (1 << 20) - PARTITION_KEY_BYTES
MAX_LINE_BYTES = MAX_RECORD_BYTES - len(DELIMITER)


class CappedBuffer(RawBuffer):  # type: ignore[misc]
    """kinesis-producer's buffer that, unless empty, refuses what would carry it over `buffer_size_limit`."""

    def try_append(self, record: bytes) -> bool:
        """Append a line if it fits; False when the buffer has to be flushed first."""
        if self._size and self._size + len(record) + len(self.record_delimiter) > self.size_limit:
            return False
        return bool(super().try_append(record))


class LingerAccumulator(RecordAccumulator):  # type: ignore[misc]
    """kinesis-producer's accumulator, lingering from the first line of a record, on the monotonic clock.

    The original restarts the linger with every line, so a steady trickle waits until the buffer is full.
    """

    _buffer_started_at: float | None
    lines = 0

    def try_append(self, record: bytes) -> bool:
        """Append a line if it fits; False when the accumulator has to be flushed first."""
        if not self._buffer.try_append(record):
            return False
        if self._buffer_started_at is None:
            self._buffer_started_at = time.monotonic()
        self.lines += 1
        return True

    def due_at(self) -> float:
        """Return the monotonic time when the open record has lingered enough; infinite when there is none."""
        started = self._buffer_started_at
        return math.inf if started is None else started + float(self.buffer_time_limit)

    def flush(self) -> Any:
        """Return the gathered bytes, None when there are none."""
        self.lines = 0
        return super().flush()


@dataclass(frozen=True, slots=True)
class Record:
    """A Kinesis record to be: its bytes, how many lines, and the lane's number of the last of them."""

    data: bytes
    lines: int
    last: int


class Lane:
    """One lane. Not thread-safe: the producer's lock guards it, except for `sync`."""

    def __init__(self, index: int, lanes: int, spool: LaneSpool, record_bytes: int, linger_s: float) -> None:
        self.partition_key = f"lane-{index:04d}"
        self.hash_key = explicit_hash_key(index, lanes)
        self.spool = spool
        self.in_flight = False
        self.not_before = 0.0
        self.attempts = 0
        config = {
            "buffer_size_limit": record_bytes,
            "buffer_time_limit": linger_s,
            "record_delimiter": DELIMITER,
        }
        self._open = LingerAccumulator(CappedBuffer, config)
        self._closed: deque[Record] = deque()

    def append(self, position: int, line: bytes) -> bool:
        """Spool a line and put it into the open record; True when that closed a record.

        Raises:
            SpoolError: the line cannot be spooled; it was not taken.
        """
        before = self.spool.last
        last = self.spool.append(position, line)
        if self._open.try_append(line):
            return False
        self._close_record(before)
        taken = self._open.try_append(line)
        assert taken, f"line {last} of {len(line)} bytes does not fit an empty record"
        return True

    def head(self, now: float, *, flush: bool) -> Record | None:
        """Return the record to send next, closing the open one when it has lingered enough or on `flush`."""
        if not self._closed and (flush or self._open.due_at() <= now) and self._open.has_records():
            self._close_record(self.spool.last)
        return self._closed[0] if self._closed else None

    def due_at(self) -> float:
        """Return when the open record is due, on the monotonic clock; infinite when there is none."""
        return self._open.due_at()

    def acknowledge(self) -> Record:
        """Drop the head: the stream has it."""
        record = self._closed.popleft()
        self.spool.ack(record.last)
        self.attempts = 0
        return record

    def _close_record(self, last: int) -> None:
        lines = self._open.lines
        self._closed.append(Record(self._open.flush(), lines, last))


def make_lanes(
    directory: Path, lanes: int, record_bytes: int, linger_s: float, fdatasync: bool
) -> tuple[Lane, ...]:
    """Return the lanes of a producer whose spool is `directory`."""
    return tuple(
        Lane(i, lanes, LaneSpool(directory, i, fdatasync=fdatasync), record_bytes, linger_s)
        for i in range(lanes)
    )


def why_refused(line: bytes) -> str:
    """Return why a line can never be part of a record."""
    if not line:
        return "an empty line is no event"
    if b"\n" in line:
        return "a line must not hold a newline"
    return f"a line of {len(line)} bytes is over the {MAX_LINE_BYTES} bytes that a record can hold"
