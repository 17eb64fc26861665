"""The Kinesis of the stand-in: the streams of one directory, and the operations on them.

Takes and returns plain values; the JSON of the AWS protocol is `kinesis_api`'s. See
docs/adr/0003-kinesis-stand-in.md for what it promises and where it differs from the service.
"""

from __future__ import annotations

import base64
import binascii
import re
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetflow.local.kinesis_errors import (
    ExpiredIteratorError,
    InvalidArgumentError,
    ResourceInUseError,
    ResourceNotFoundError,
    ThroughputExceededError,
    ValidationError,
)
from fleetflow.local.kinesis_limits import NoLimits, ShardLimits
from fleetflow.local.kinesis_log import Stored
from fleetflow.local.kinesis_stream import Shard, Stream, arrival, number_at, parse_sequence

MAX_RECORD_BYTES = 1 << 20
MAX_REQUEST_BYTES = 10 << 20
MAX_REQUEST_RECORDS = 500
MAX_READ_BYTES = 10 << 20
MAX_READ_RECORDS = 10_000
ITERATOR_S = 300
_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")

Entry = tuple[str, bytes, str | None]
"""A record to put: partition key, data, explicit hash key."""


@dataclass(frozen=True)
class Placed:
    """Where a record went; `number` is None when the shard's limit refused it."""

    shard: Shard
    number: int | None


@dataclass(frozen=True)
class Page:
    """What a read returns: records, the way on (None at a closed shard's end), how far behind it is."""

    shard: Shard
    records: list[Stored]
    next_iterator: str | None
    behind_ms: int
    children: list[Shard]


class Kinesis:
    """All streams below one directory. Safe for threads."""

    def __init__(self, root: Path, limits: bool = True) -> None:
        """Open every stream that the directory holds."""
        self._root = root
        self._new_limits: Callable[[], ShardLimits] = ShardLimits if limits else NoLimits
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)
        saved = sorted(path.parent for path in root.glob("*/stream.json"))
        self.streams = {path.name: Stream.open(path, self._new_limits) for path in saved}

    def create(self, name: str, shard_count: int) -> None:
        """Create a stream; it is usable at once."""
        if not _NAME.fullmatch(name):
            raise ValidationError(f"StreamName {name!r} has characters other than a-z A-Z 0-9 _ . -")
        if shard_count < 1:
            raise ValidationError(f"ShardCount {shard_count} is below 1")
        with self._lock:
            if name in self.streams:
                raise ResourceInUseError(f"Stream {name} already exists.")
            directory = self._root / name
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            self.streams[name] = Stream.create(name, directory, shard_count, self._new_limits)

    def delete(self, name: str) -> None:
        """Delete a stream with all its records."""
        with self._lock:
            stream = self.stream(name)
            del self.streams[name]
            stream.close()
            shutil.rmtree(stream.directory)

    def stream(self, name: str) -> Stream:
        """Return a stream by name.

        Raises:
            ResourceNotFoundError: there is none.
        """
        try:
            return self.streams[name]
        except KeyError:
            raise ResourceNotFoundError(f"Stream {name} not found.") from None

    def put(self, name: str, entries: Sequence[Entry]) -> list[Placed]:
        """Store records; each that is placed is on its way to the disk when this returns.

        Records of one shard keep their order. One that its shard's limit refuses does not hold up the others.
        """
        _check_entries(entries)
        stream = self.stream(name)
        placed: dict[int, Placed] = {}
        waiting = list(range(len(entries)))
        while waiting:
            groups: dict[Shard, list[int]] = defaultdict(list)
            for at in waiting:
                groups[stream.route(entries[at][0], entries[at][2])].append(at)
            waiting = []
            for shard, positions in groups.items():
                numbers = stream.append(shard, [entries[at][:2] for at in positions])
                if numbers is None:  # closed by a reshard between the routing and now
                    waiting += positions
                else:
                    placed.update((at, Placed(shard, n)) for at, n in zip(positions, numbers, strict=True))
        return [placed[at] for at in range(len(entries))]

    def iterator(self, name: str, shard_name: str, kind: str, sequence: str | None, at: float | None) -> str:
        """Return an iterator of one of the five kinds."""
        shard = self.stream(name).shard(shard_name)
        with shard.lock:
            newest = shard.log.last
        match kind:
            case "TRIM_HORIZON":
                after = 0
            case "LATEST":
                after = newest
            case "AT_SEQUENCE_NUMBER" if sequence is not None:
                after = parse_sequence(sequence) - 1
            case "AFTER_SEQUENCE_NUMBER" if sequence is not None:
                after = parse_sequence(sequence)
            case "AT_TIMESTAMP" if at is not None:
                after = min(number_at(at) - 1, newest)
            case _:
                raise InvalidArgumentError(f"ShardIteratorType {kind} is unknown or lacks its starting point")
        return _pack(name, shard_name, max(after, 0))

    def read(self, iterator: str, limit: int | None) -> Page:
        """Return the records after an iterator.

        Raises:
            ExpiredIteratorError: it is older than five minutes.
            ThroughputExceededError: the shard was read too often or too much in the last second.
        """
        if limit is not None and not 1 <= limit <= MAX_READ_RECORDS:
            raise InvalidArgumentError(f"Limit {limit} is not between 1 and {MAX_READ_RECORDS}")
        name, shard_name, after = _unpack(iterator)
        stream = self.stream(name)
        shard = stream.shard(shard_name)
        with shard.lock:
            if not shard.limits.admit_read():
                raise ThroughputExceededError(f"Rate exceeded for shard {shard_name} in stream {name}")
            records = shard.log.read(after, limit or MAX_READ_RECORDS, MAX_READ_BYTES)
            shard.limits.charge_read(sum(len(record.data) for record in records))
            position = records[-1].number if records else after
            at_tip = position >= shard.log.last
            ended = at_tip and not shard.is_open
        return Page(
            shard=shard,
            records=records,
            next_iterator=None if ended else _pack(name, shard_name, position),
            behind_ms=0 if at_tip else max(0, int((time.time() - arrival(position)) * 1000)),
            children=stream.children(shard) if ended else [],
        )

    def trim(self) -> int:
        """Delete what is past the retention of its stream; return how many log files went."""
        return sum(stream.trim() for stream in list(self.streams.values()))

    def close(self) -> None:
        """Save every stream's clock and close the files."""
        for stream in list(self.streams.values()):
            stream.close()


def _check_entries(entries: Sequence[Entry]) -> None:
    if not 1 <= len(entries) <= MAX_REQUEST_RECORDS:
        raise ValidationError(f"Records: {len(entries)} is not between 1 and {MAX_REQUEST_RECORDS}")
    total = 0
    for position, (key, data, explicit_hash) in enumerate(entries, start=1):
        size = len(key.encode()) + len(data)
        total += size
        if not 1 <= len(key) <= 256:
            raise ValidationError(f"records.{position}.member.partitionKey must have 1 to 256 characters")
        if size > MAX_RECORD_BYTES:
            raise ValidationError(
                f"records.{position}.member.data: {size} bytes with its key exceed {MAX_RECORD_BYTES}"
            )
        if explicit_hash and not explicit_hash.isdecimal():
            raise InvalidArgumentError(f"ExplicitHashKey {explicit_hash!r} is not a decimal number")
    if total > MAX_REQUEST_BYTES:
        raise InvalidArgumentError(f"Records: {total} bytes exceed the {MAX_REQUEST_BYTES} of one request")


def _pack(stream: str, shard: str, after: int) -> str:
    return base64.urlsafe_b64encode(f"1|{stream}|{shard}|{after}|{time.time():.3f}".encode()).decode()


def _unpack(iterator: str) -> tuple[str, str, int]:
    try:
        _, stream, shard, after, issued = base64.urlsafe_b64decode(iterator).decode().split("|")
        age_s, number = time.time() - float(issued), int(after)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentError("Invalid ShardIterator.") from error
    if age_s > ITERATOR_S:
        raise ExpiredIteratorError(f"Iterator expired: it is {age_s:.0f} s old, {ITERATOR_S} s is the most.")
    return stream, shard, number
