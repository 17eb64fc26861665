"""The producer: a line that `send` accepted reaches the stream at least once, whatever dies in between.

Reads nothing; writes its spool directory and one stream. Lines go into lanes by their entity's key; sending
threads take at most one record of each lane into a PutRecords call and hold the lane until the answer is
in, so an entity's lines reach the stream in the order of `send`, also through failures. A line leaves
memory and spool only when the stream confirmed it; so accepted + replayed = acked + pending, at any time.
Guaranteed: at least once, in order for each entity. Not guaranteed: once (what was under way when a process
died or an answer got lost comes twice), order between entities.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Protocol

from ingestion.streams.claims import Claim, adopt_orphans, gate, stream_directory
from ingestion.streams.errors import LineRefused, LinesLeft, ProducerClosed, ProducerFull
from ingestion.streams.lane import MAX_LINE_BYTES, MAX_RECORD_BYTES, make_lanes, why_refused
from ingestion.streams.placement import (
    MAX_LANES,
    ListsShards,
    choose_lanes,
    lane_of,
    position_of,
)
from ingestion.streams.putrecords import (
    CALL_RETRY_CAP_S,
    MAX_CALL_BYTES,
    MAX_CALL_RECORDS,
    RECORD_RETRY_CAP_S,
    Batch,
    Outcome,
    PutsRecords,
    put_batch,
    retry_delay_s,
)
from ingestion.streams.spool import read_spool
from ingestion.streams.stats import Closed, Counters, OnFailure, ProducerStats, SendFailure

log = logging.getLogger(__name__)


class StreamClient(ListsShards, PutsRecords, Protocol):
    """The part of a boto3 Kinesis client that a producer uses."""


class Producer:
    """Sends lines to one stream. Thread-safe. Use it as a context manager, or call `close`."""

    def __init__(
        self,
        client: StreamClient,
        stream: str,
        spool_dir: Path,
        *,
        lanes: int | None = None,
        linger_s: float = 0.2,
        record_bytes: int = 100_000,
        max_pending_bytes: int = 64 << 20,
        fdatasync: bool = False,
        calls_in_flight: int = 2,
        on_failure: OnFailure | None = None,
    ) -> None:
        """Take over what dead producers of this stream left in `spool_dir`, and start sending.

        Args:
            client: a Kinesis client; without retries of its own, every failure shows in the stats.
            stream: the stream's name; it need not exist yet.
            spool_dir: may be shared by many producers and processes of one machine.
            lanes: 1 to 500; None asks the stream for a number that serves its shards evenly.
            linger_s: how long a record stays open after its first line.
            record_bytes: a record is closed before it would grow beyond this.
            max_pending_bytes: bound of the lines in memory; `send` waits beyond it.
            fdatasync: put lines onto the disk before they are sent, so that they outlive a power cut too.
            calls_in_flight: sending threads.
            on_failure: called by a sending thread for each failed attempt.

        Raises:
            SpoolError: the spool directory cannot be used.
            ValueError: an argument is out of its range.
        """
        self._client, self._stream, self._on_failure = client, stream, on_failure
        self._linger_s, self._fdatasync = linger_s, fdatasync
        self._max_pending_bytes = max_pending_bytes
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._count = Counters()
        self._flushing = self._next_lane = 0
        self._closing = self._stopped = self._released = False
        self._started_at = time.monotonic()
        _check_arguments(lanes, record_bytes, calls_in_flight, linger_s)
        self._root = stream_directory(spool_dir, stream)
        self._count_lanes = lanes or choose_lanes(client, stream)
        with gate(self._root):
            self._claim = Claim.create(self._root)
            self._lanes = make_lanes(self._claim.path, self._count_lanes, record_bytes, linger_s, fdatasync)
            self._adopt()
        names = [f"producer-{stream}-{i}" for i in range(calls_in_flight)]
        self._threads = [threading.Thread(target=self._run, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return self._count_lanes

    def send(self, key: str, line: bytes, *, timeout_s: float | None = None) -> None:
        """Accept a line of the entity `key`; waits while too much is pending.

        Raises:
            LineRefused: empty, with a newline in it, or beyond what a record can hold (`MAX_LINE_BYTES`).
            ProducerFull: no room within `timeout_s`; the line was not accepted.
            ProducerClosed: the producer was closed; the line was not accepted.
            SpoolError: the disk is full; the line was not accepted.
        """
        size = len(line) + 1
        if size == 1 or size > MAX_LINE_BYTES + 1 or b"\n" in line:
            raise LineRefused(why_refused(line))
        position = position_of(key)
        lane = self._lanes[lane_of(position, self._count_lanes)]
        count = self._count
        with self._lock:
            if count.pending_bytes + size > self._max_pending_bytes:
                self._wait_for_room(size, timeout_s)
            if self._closing:
                raise ProducerClosed(f"producer of stream {self._stream} is closed")
            closed_a_record = lane.append(position, line)
            count.take(1, size)
            count.accepted_lines += 1
            count.accepted_bytes += size
            if closed_a_record and not lane.in_flight:
                self._work.notify()

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Send what was accepted so far without lingering; True when the stream has all of it."""
        with self._lock:
            self._flushing += 1
            self._work.notify_all()
            targets = [(lane.spool, lane.spool.last) for lane in self._lanes]
            try:
                return self._room.wait_for(
                    lambda: all(s.acked >= last for s, last in targets), max(timeout_s, 0.0)
                )
            finally:
                self._flushing -= 1

    def stats(self) -> ProducerStats:
        """Return the counters as they are now."""
        with self._lock:
            counters = asdict(self._count)
            spool_bytes = sum(lane.spool.bytes_on_disk for lane in self._lanes)
        return ProducerStats(
            **counters, spool_bytes=spool_bytes, elapsed_s=time.monotonic() - self._started_at
        )

    def close(self, timeout_s: float = 30.0) -> Closed:
        """Take no more lines, send what is pending for at most `timeout_s`, tell what the spool still has."""
        with self._lock:
            self._closing = True
            self._room.notify_all()
        if not self._released:
            self.flush(timeout_s)
        with self._lock:
            self._stopped = True
            self._work.notify_all()
        for thread in self._threads:
            thread.join(timeout=1.0)  # one that hangs in a call is let go: its lines are in the spool
        with self._lock:
            first, self._released = not self._released, True
            left_lines, left_bytes = self._count.pending_lines, self._count.pending_bytes
            if first:
                for lane in self._lanes:
                    lane.spool.close()
        if first:
            with gate(self._root):
                self._claim.release()
        return Closed(left_lines, left_bytes, self._claim.path if left_lines else None)

    def __enter__(self) -> Producer:
        """Return the producer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close; lines left over raise `LinesLeft`, or are logged beside another exception."""
        left = self.close()
        if not left.left_lines:
            return
        text = (
            f"{left.left_lines} lines not on stream {self._stream} yet,"
            f" kept in {left.spool}: {self._count.last_error}"
        )
        if error is None:
            raise LinesLeft(text)
        log.error("%s", text)

    def _adopt(self) -> None:
        """Move the lines of dead producers into our own lanes, before any new line can be sent."""
        try:
            for orphan in adopt_orphans(self._root, self._claim):
                with orphan:
                    self._replay(orphan)
        except BaseException:
            # What was moved so far is an orphan again; what was not is one still.
            for lane in self._lanes:
                lane.spool.close()
            self._claim.release()
            raise

    def _replay(self, orphan: Claim) -> None:
        found = read_spool(orphan.path)
        for spooled in found.lines:
            self._lanes[lane_of(spooled.position, self._count_lanes)].append(spooled.position, spooled.line)
            self._count.take(1, len(spooled.line) + 1)
        if self._fdatasync:
            for lane in self._lanes:
                lane.spool.sync()
        self._count.replayed_lines += len(found.lines)
        self._count.torn += len(found.torn)
        orphan.discard(found.torn)
        log.info("stream %s: %d lines taken over from %s", self._stream, len(found.lines), orphan.path.name)
        for path in found.torn:
            log.warning("stream %s: the end of %s does not check out; kept as .torn", self._stream, path)

    def _wait_for_room(self, size: int, timeout_s: float | None) -> None:
        count = self._count
        started = time.monotonic()
        # A line larger than the bound passes when nothing else is pending.
        room = self._room.wait_for(
            lambda: (
                self._closing
                or not count.pending_bytes
                or count.pending_bytes + size <= self._max_pending_bytes
            ),
            timeout_s,
        )
        count.blocked_s += time.monotonic() - started
        if not room:
            raise ProducerFull(
                f"stream {self._stream}: {count.pending_bytes} bytes pending; {count.last_error}"
            )

    def _run(self) -> None:
        while batch := self._take():
            outcome = put_batch(self._client, self._stream, batch, fdatasync=self._fdatasync)
            self._settle(batch, outcome)
            self._tell(outcome.failures)

    def _take(self) -> Batch:
        """Wait for records that may go and mark their lanes as under way; empty when the producer stops."""
        with self._lock:
            while not self._stopped:
                now = time.monotonic()
                batch, wake_at = self._collect(now)
                if batch:
                    return batch
                self._work.wait(min(self._linger_s, wake_at - now))
        return []

    def _collect(self, now: float) -> tuple[Batch, float]:
        batch: Batch = []
        size, wake_at = 0, math.inf
        first = self._next_lane
        for offset in range(self._count_lanes):
            lane = self._lanes[(first + offset) % self._count_lanes]
            if lane.in_flight:
                continue
            if lane.not_before > now:
                wake_at = min(wake_at, lane.not_before)
                continue
            record = lane.head(now, flush=self._flushing > 0)
            if record is None:
                wake_at = min(wake_at, lane.due_at())
                continue
            size += len(record.data) + len(lane.partition_key)
            if size > MAX_CALL_BYTES or len(batch) == MAX_CALL_RECORDS:
                self._next_lane = (first + offset) % self._count_lanes
                break
            lane.in_flight = True
            batch.append((lane, record))
        return batch, wake_at

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        now = time.monotonic()
        with self._lock:
            self._count.calls += 1
            for failure in outcome.failures:
                self._count.fail(failure)
            # Lanes of a call that failed as a whole wait together: apart, each would make a call of its own.
            fewest = min(lane.attempts for lane, _ in batch)
            shared = retry_delay_s(fewest, CALL_RETRY_CAP_S) if outcome.call_failed else None
            for (lane, record), confirmed in zip(batch, outcome.confirmed, strict=True):
                lane.in_flight = False
                if not confirmed:
                    lane.not_before = now + (
                        retry_delay_s(lane.attempts, RECORD_RETRY_CAP_S) if shared is None else shared
                    )
                    lane.attempts += 1
                elif not self._released:  # else the spool is closed: its lines stay owed and come twice
                    lane.acknowledge()
                    self._count.confirm(record.lines, len(record.data))
            self._room.notify_all()
            self._work.notify()

    def _tell(self, failures: list[SendFailure]) -> None:
        if self._on_failure is None:
            return
        for failure in failures:
            try:
                self._on_failure(failure)
            except Exception:  # a callback's fault must not end the sending thread
                log.exception("on_failure of stream %s raised", self._stream)


def _check_arguments(lanes: int | None, record_bytes: int, calls_in_flight: int, linger_s: float) -> None:
    if not 0 < record_bytes <= MAX_RECORD_BYTES:
        raise ValueError(f"record_bytes must be 1 to {MAX_RECORD_BYTES}, got {record_bytes}")
    if lanes is not None and not 0 < lanes <= MAX_LANES:
        raise ValueError(f"lanes must be 1 to {MAX_LANES}, got {lanes}")
    if calls_in_flight < 1:
        raise ValueError(f"calls_in_flight must be 1 or more, got {calls_in_flight}")
    if not linger_s > 0:
        raise ValueError(f"linger_s must be above 0, got {linger_s}")
