"""Streams and shards of the Kinesis stand-in: where a record goes, what a reshard does, what is kept.

A stream's topology (shards, hash ranges, parents, which are closed) is one JSON file, replaced atomically
before a reshard is acknowledged; its records are in one log per shard. Numbers come from one clock per
stream: microseconds since 1970 times 256, never lower than the last one given, also across restarts and a
clock set back.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from fleetflow.local.kinesis_errors import (
    InvalidArgumentError,
    LimitExceededError,
    ResourceNotFoundError,
    StorageError,
)
from fleetflow.local.kinesis_limits import ShardLimits
from fleetflow.local.kinesis_log import ShardLog, Stored

HASH_END = 2**128 - 1
TICKS_PER_S = 256_000_000
_SHARD_DIGITS = 12
_SHARD_STEP = 1_000_000_000_000
_SEQUENCE: int = 49 * 10**54  # as long as the real service's, so that nobody gets away with a 64-bit column


def sequence_number(number: int, shard: int) -> str:
    """Return the 56-digit sequence number of a record; text order is numeric order."""
    return str(_SEQUENCE + number * _SHARD_STEP + shard)


def parse_sequence(text: str) -> int:
    """Return the number within a sequence number.

    Raises:
        InvalidArgumentError: it is not one of ours.
    """
    if not text.isdecimal() or not _SEQUENCE <= int(text) < _SEQUENCE + 10**54:
        raise InvalidArgumentError(f"StartingSequenceNumber {text} is invalid")
    return (int(text) - _SEQUENCE) // _SHARD_STEP


def number_at(epoch_s: float) -> int:
    """Return the lowest number that a record may have which arrived at this time or later."""
    return max(0, int(epoch_s * 1_000_000)) << 8


def arrival(number: int) -> float:
    """Return when a record arrived (Unix seconds); it is part of its number."""
    return (number >> 8) / 1_000_000


@dataclass(eq=False)
class Shard:
    """One shard: a range of hash keys, the log of its records, and its place in the family tree."""

    index: int
    low: int
    high: int
    first: int
    log: ShardLog
    limits: ShardLimits
    parents: list[int] = field(default_factory=list)
    closed_at: int | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        """The shard's id."""
        return shard_name(self.index)

    @property
    def is_open(self) -> bool:
        """Whether records still come in."""
        return self.closed_at is None


def shard_name(index: int) -> str:
    """Return the id of the shard with this index."""
    return f"shardId-{index:0{_SHARD_DIGITS}d}"


@dataclass(eq=False)
class Stream:
    """One stream.

    `lock` guards the topology, each shard's own lock its log and limits, `clock_lock` the last number. They
    are taken in this order. A reshard holds the locks of the new shards until the topology is saved, so
    that no record is acknowledged in a shard that a crash could forget.
    """

    name: str
    directory: Path
    new_limits: Callable[[], ShardLimits]
    created_at: float
    retention_h: int = 24
    tags: dict[str, str] = field(default_factory=dict)
    last: int = 0
    shards: dict[int, Shard] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    clock_lock: threading.Lock = field(default_factory=threading.Lock)
    routes: tuple[list[int], list[Shard]] = field(default_factory=lambda: ([], []))

    @classmethod
    def create(
        cls, name: str, directory: Path, shard_count: int, new_limits: Callable[[], ShardLimits]
    ) -> Stream:
        """Make a stream whose shards share the hash keys evenly, and save it."""
        stream = cls(name, directory, new_limits, time.time())
        bounds = [i * (HASH_END + 1) // shard_count for i in range(shard_count + 1)]
        for low, high in pairwise(bounds):
            stream._add(low, high - 1, [])
        stream._reroute()
        stream.save()
        return stream

    @classmethod
    def open(cls, directory: Path, new_limits: Callable[[], ShardLimits]) -> Stream:
        """Read a stream back from its directory."""
        saved = json.loads((directory / "stream.json").read_text())
        fields = {key: saved[key] for key in ("name", "created_at", "retention_h", "tags", "last")}
        stream = cls(directory=directory, new_limits=new_limits, **fields)
        for row in saved["shards"]:
            log = ShardLog(directory / shard_name(row["index"]))
            stream.shards[row["index"]] = Shard(**row, log=log, limits=new_limits())
            stream.last = max(stream.last, log.last, row["first"], row["closed_at"] or 0)
        stream._reroute()
        return stream

    def save(self) -> None:
        """Write the topology; a crash leaves the old or the new one."""
        keys = ("index", "low", "high", "first", "parents", "closed_at")
        shards = [{key: getattr(shard, key) for key in keys} for shard in self.shards.values()]
        own = {key: getattr(self, key) for key in ("name", "created_at", "retention_h", "tags", "last")}
        fresh = self.directory / "stream.json.new"
        try:
            fresh.write_text(json.dumps({**own, "shards": shards}))
            fresh.replace(self.directory / "stream.json")
        except OSError as error:
            raise StorageError(f"stream {self.name} cannot be saved: {error.strerror}") from error

    def next_number(self) -> int:
        """Give out the next number of the stream's clock."""
        with self.clock_lock:
            self.last = max(self.last + 1, number_at(time.time()))
            return self.last

    def append(self, shard: Shard, records: Sequence[tuple[str, bytes]]) -> list[int | None] | None:
        """Store the records that the shard's limits admit; return their numbers, None for one refused.

        Returns None as a whole when the shard was closed meanwhile: route again.

        Raises:
            StorageError: the disk refused them; none is kept.
        """
        with shard.lock:
            if not shard.is_open:
                return None
            numbers = [self._admit(shard, key, data) for key, data in records]
            admitted = zip(numbers, records, strict=True)
            try:
                shard.log.append(
                    [Stored(number, *record) for number, record in admitted if number is not None]
                )
            except OSError as error:
                raise StorageError(f"shard {shard.name} cannot be written: {error.strerror}") from error
            return numbers

    def _admit(self, shard: Shard, key: str, data: bytes) -> int | None:
        return self.next_number() if shard.limits.admit_record(len(key) + len(data)) else None

    def route(self, partition_key: str, explicit_hash: str | None) -> Shard:
        """Return the open shard that a key belongs to."""
        digest = hashlib.md5(partition_key.encode(), usedforsecurity=False).digest()
        hashed = int(explicit_hash) if explicit_hash else int.from_bytes(digest, "big")
        if not 0 <= hashed <= HASH_END:
            raise InvalidArgumentError(f"ExplicitHashKey {explicit_hash} is out of range")
        lows, shards = self.routes
        return shards[bisect_right(lows, hashed) - 1]

    def shard(self, name: str) -> Shard:
        """Return a shard by its id.

        Raises:
            ResourceNotFoundError: there is none, or it is past the retention.
        """
        for shard in self.shards.values():
            if shard.name == name:
                return shard
        raise ResourceNotFoundError(f"Could not find shard {name} in stream {self.name}.")

    def open_shards(self) -> list[Shard]:
        """Return the open shards in the order of their hash keys."""
        return sorted((s for s in self.shards.values() if s.is_open), key=lambda s: s.low)

    def children(self, shard: Shard) -> list[Shard]:
        """Return the shards that took over from this one."""
        return [child for child in self.shards.values() if shard.index in child.parents]

    def split(self, name: str, at: int) -> None:
        """Close a shard and open two in its place, the second from hash key `at` on."""
        with self._resharding() as fresh:
            shard = self._reshardable(name)
            if not shard.low < at < shard.high:
                raise InvalidArgumentError(f"NewStartingHashKey {at} is not inside shard {name}")
            self._replace(fresh, [shard], [(shard.low, at - 1), (at, shard.high)])

    def merge(self, name: str, other: str) -> None:
        """Close two neighbouring shards and open one in their place, `name` as its first parent."""
        with self._resharding() as fresh:
            pair = [self._reshardable(name), self._reshardable(other)]
            low, high = sorted(pair, key=lambda shard: shard.low)
            if low.high + 1 != high.low:
                raise InvalidArgumentError(f"{name} and {other} are not adjacent")
            self._replace(fresh, pair, [(low.low, high.high)])

    def scale(self, target: int) -> None:
        """Split the widest or merge the narrowest shards until there are `target` open ones.

        Raises:
            LimitExceededError: the target is above twice or below half of what is open.
        """
        with self._resharding() as fresh:
            count = len(self.open_shards())
            if not (count + 1) // 2 <= target <= count * 2:
                raise LimitExceededError(
                    f"TargetShardCount {target}: from {count}, one step goes to half or double at most"
                )
            while len(self.open_shards()) < target:
                widest = max(self.open_shards(), key=lambda shard: shard.high - shard.low)
                middle = (widest.low + widest.high) // 2 + 1
                self._replace(fresh, [widest], [(widest.low, middle - 1), (middle, widest.high)])
            while len(ordered := self.open_shards()) > target:
                low, high = min(pairwise(ordered), key=lambda pair: pair[1].high - pair[0].low)
                self._replace(fresh, [low, high], [(low.low, high.high)])

    def trim(self) -> int:
        """Delete what is older than the retention, closed shards with it; return how many log files went."""
        horizon = number_at(time.time() - self.retention_h * 3600)
        dropped = 0
        for shard in list(self.shards.values()):
            with shard.lock:
                dropped += shard.log.trim(horizon)
        with self.lock:
            kept = {i: s for i, s in self.shards.items() if s.closed_at is None or s.closed_at >= horizon}
            if dropped or len(kept) < len(self.shards):
                self.shards = kept
                self.save()
        return dropped

    def close(self) -> None:
        """Save the clock and close the logs."""
        with self.lock:
            self.save()
        for shard in self.shards.values():
            with shard.lock:
                shard.log.close()

    @contextmanager
    def _resharding(self) -> Iterator[list[Shard]]:
        # All or nothing: what cannot be saved is undone, and the new shards take records only once it is
        # saved.
        fresh: list[Shard] = []
        with self.lock:
            before, closed = self.shards, {s.index: s.closed_at for s in self.shards.values()}
            try:
                yield fresh
                self.save()
            except BaseException:
                self._undo(before, closed, fresh)
                raise
            finally:
                for shard in fresh:
                    shard.lock.release()

    def _undo(self, before: dict[int, Shard], closed: dict[int, int | None], fresh: list[Shard]) -> None:
        self.shards = before
        for shard in before.values():
            shard.closed_at = closed[shard.index]
        for shard in fresh:
            shard.closed_at = 0
        self._reroute()

    def _reshardable(self, name: str) -> Shard:
        shard = self.shard(name)
        if not shard.is_open:
            raise InvalidArgumentError(f"Shard {name} in stream {self.name} has already been merged or split")
        return shard

    def _replace(self, fresh: list[Shard], parents: list[Shard], ranges: list[tuple[int, int]]) -> None:
        for parent in parents:
            with nullcontext() if parent in fresh else parent.lock:
                parent.closed_at = self.next_number()
        for low, high in ranges:
            child = self._add(low, high, [parent.index for parent in parents])
            child.lock.acquire()
            fresh.append(child)
        self._reroute()

    def _add(self, low: int, high: int, parents: list[int]) -> Shard:
        index = max(self.shards, default=-1) + 1
        log = ShardLog(self.directory / shard_name(index))
        shard = Shard(index, low, high, self.next_number(), log, self.new_limits(), parents)
        self.shards = {**self.shards, index: shard}
        return shard

    def _reroute(self) -> None:
        ordered = self.open_shards()
        self.routes = ([shard.low for shard in ordered], ordered)
