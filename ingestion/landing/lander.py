"""Lands one shard: buffers records, cuts, and lands each cut exactly once in effect.

The steps of a cut, and what a crash between them leaves:
1. announce: the lease row says where the cut ends. Crash: the next holder cuts exactly there.
2. object: one Parquet object per feed. Crash: the retry writes the same objects under the same keys.
3. transaction: COPY rows, ledger, rejects, checkpoint under the fence. Crash before commit: nothing; after: all.
Decoding and Parquet run while the rows stream into Postgres; the commit waits for the objects.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from domain.contracts.decode import Decoded, Decoder, Refusal, Rows
from domain.contracts.model import Rule
from ingestion.landing.leases import Lease
from ingestion.landing.ledger import (
    BatchEntry,
    Cut,
    Ledger,
    advance_checkpoint,
    announce_cut,
    copy_rows,
    write_entries,
)
from ingestion.landing.metrics import Metrics
from ingestion.landing.raw_object import ObjectPlace, encode_rows
from ingestion.landing.records import Record

PutObject = Callable[[str, bytes], None]


@dataclass(frozen=True)
class FlushLimits:
    """A cut is due at so many rows, bytes or seconds since its first record, whichever comes first."""

    rows: int
    size_bytes: int
    seconds: float


@dataclass(frozen=True)
class Landed:
    """What one cut became."""

    records: int
    events: int
    accepted: int
    rejected: int
    last_sequence: str


class Buffer:
    """Records read and not yet landed, in order."""

    def __init__(self, limits: FlushLimits) -> None:
        self._limits = limits
        self._records: deque[Record] = deque()
        self._rows = 0
        self._bytes = 0
        self._since: float | None = None

    def __len__(self) -> int:
        """Records waiting."""
        return len(self._records)

    def add(self, records: Sequence[Record]) -> None:
        """Append what was read."""
        if records and self._since is None:
            self._since = time.monotonic()
        self._records.extend(records)
        self._rows += sum(len(record.lines) for record in records)
        self._bytes += sum(record.size for record in records)

    @property
    def oldest(self) -> datetime | None:
        """When the first record arrived in the stream; None of an empty buffer."""
        return self._records[0].arrived_at if self._records else None

    @property
    def full(self) -> bool:
        """Whether reading on would only take memory."""
        return self._rows >= self._limits.rows or self._bytes >= self._limits.size_bytes

    def due(self) -> bool:
        """Whether a cut is due."""
        aged = self._since is not None and time.monotonic() - self._since >= self._limits.seconds
        return bool(self._records) and (self.full or aged)

    def holds(self, sequence: str) -> bool:
        """Whether the record at which an announced cut ends is here."""
        return bool(self._records) and int(self._records[-1].sequence) >= int(sequence)

    def peek(self, cut_to: str | None) -> list[Record]:
        """Return the next cut, which stays in the buffer: up to `cut_to` if announced, else up to the row limit."""
        chosen: list[Record] = []
        rows = size = 0
        for record in self._records:
            if cut_to is not None and int(record.sequence) > int(cut_to):
                break
            over = (
                rows + len(record.lines) > self._limits.rows or size + record.size > self._limits.size_bytes
            )
            if cut_to is None and chosen and over:
                break
            chosen.append(record)
            rows += len(record.lines)
            size += record.size
        return chosen

    def drop(self, count: int) -> None:
        """Forget the first `count` records: they are landed."""
        for _ in range(count):
            record = self._records.popleft()
            self._rows -= len(record.lines)
            self._bytes -= record.size
        self._since = time.monotonic() if self._records else None


class Lander:
    """Lands the cuts of one leased shard."""

    def __init__(
        self,
        lease: Lease,
        decoder: Decoder,
        ledger: Ledger,
        put_object: PutObject,
        background: Executor,
        metrics: Metrics,
        lease_s: float,
    ) -> None:
        self.lease = lease
        self._decoder = decoder
        self._ledger = ledger
        self._put = put_object
        self._background = background
        self._metrics = metrics
        self._lease_s = lease_s

    def land(self, records: Sequence[Record], *, ended: bool) -> Landed:
        """Land one cut. Safe to repeat: the same records give the same objects and, after a crash, the rows once.

        Raises:
            LeaseLost: another worker holds the shard; nothing was written to the warehouse.
        """
        last = records[-1].sequence
        if self.lease.cut_to != last:
            with self._timed("announce"):
                announce_cut(self._ledger, self.lease, last, self._lease_s)
            self.lease = replace(self.lease, cut_to=last)
        cut = Cut([r.sequence for r in records], _microseconds(records))
        with self._timed("decode"):
            decoded = self._decode(records, cut)
        entries = [self._entry(feed, rows, refusals, records) for feed, rows, refusals in by_feed(decoded)]
        with self._timed("commit"):
            entries = self._commit(entries, records, cut, ended=ended)
        self.lease = replace(self.lease, checkpoint=last, cut_to=None)
        self._metrics.landed(self.lease, entries, sum(record.size for record in records))
        return Landed(len(records), decoded.events, decoded.accepted, len(decoded.refusals), last)

    def finish(self) -> None:
        """Close a drained shard that has nothing left to land.

        Raises:
            LeaseLost: another worker holds the shard.
        """
        with self._ledger.transaction() as cursor:
            advance_checkpoint(cursor, self.lease, None, ended=True, lease_s=self._lease_s)

    def _decode(self, records: Sequence[Record], cut: Cut) -> Decoded:
        decoded = self._decoder.decode([record.lines for record in records], cut.arrived_us)
        feeds = list(self._decoder.feeds)
        for index, record in enumerate(records):
            if record.corrupt is not None:
                feed = feeds[0] if len(feeds) == 1 else "unknown"
                decoded.events += 1
                decoded.refusals.append(
                    Refusal(feed, Rule.CORRUPT_RECORD, record.corrupt, record.raw, index, 0)
                )
        return decoded

    def _entry(
        self, feed: str, rows: Rows | None, refusals: Sequence[Refusal], records: Sequence[Record]
    ) -> BatchEntry:
        lease = self.lease
        return BatchEntry(
            source="stream",
            feed=feed,
            stream=lease.stream,
            shard=lease.shard,
            first_sequence=records[0].sequence,
            last_sequence=records[-1].sequence,
            records=len(records),
            worker=lease.owner,
            epoch=lease.epoch,
            rows=rows,
            refusals=refusals,
        )

    def _commit(
        self, entries: Sequence[BatchEntry], records: Sequence[Record], cut: Cut, *, ended: bool
    ) -> list[BatchEntry]:
        writing = [self._background.submit(self._write_object, entry, records[0], cut) for entry in entries]
        try:
            with self._ledger.transaction() as cursor:
                ids = copy_rows(cursor, entries, cut)
                written = [task.result() for task in writing]
                write_entries(cursor, ids, written, cut)
                advance_checkpoint(cursor, self.lease, cut.sequences[-1], ended=ended, lease_s=self._lease_s)
        finally:
            for task in writing:
                task.exception()  # nothing of this cut may still be writing when it is tried again
        return written

    def _write_object(self, entry: BatchEntry, first: Record, cut: Cut) -> BatchEntry:
        if entry.rows is None or not entry.accepted:
            return entry
        lease = self.lease
        place = ObjectPlace(
            entry.feed, lease.stream, lease.shard, first.sequence, cut.sequences[-1], first.arrived_at
        )
        with self._timed("object"):
            body = encode_rows(entry.rows, list(cut.sequences), place)
            self._put(place.key, body)
        return replace(entry, object_key=place.key, object_bytes=len(body))

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._metrics.step(step, time.perf_counter() - start)


def by_feed(decoded: Decoded) -> list[tuple[str, Rows | None, list[Refusal]]]:
    """Group what was decoded by feed; a feed of which only refusals came has no rows."""
    rows = {found.feed.name: found for found in decoded.rows}
    refusals: dict[str, list[Refusal]] = {}
    for refusal in decoded.refusals:
        refusals.setdefault(refusal.feed, []).append(refusal)
    names = [*rows, *(name for name in refusals if name not in rows)]
    return [(name, rows.get(name), refusals.get(name, [])) for name in names]


def _microseconds(records: Sequence[Record]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray([int(record.arrived_at.timestamp() * 1_000_000) for record in records], dtype=np.int64)
