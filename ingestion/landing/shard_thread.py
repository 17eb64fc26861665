"""One shard's thread: reads, buffers and lands until the shard is drained, lost, released or the worker stops.

A fault of the stream, the bucket or the database is logged, counted and retried with growing pauses: the cut stays
in the buffer, or is read again from the checkpoint. Nothing is skipped. A fault of any other kind is treated alike:
a shard that cannot be landed says so and stands still, it never dies unheard.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import adbc_driver_postgresql.dbapi as adbc
import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from ingestion.landing.lander import Buffer, Lander
from ingestion.landing.leases import Lease, LeaseLost
from ingestion.landing.ledger import Ledger
from ingestion.landing.shard_source import ShardSource

if TYPE_CHECKING:
    from ingestion.landing.worker import Worker

log = logging.getLogger("fleetflow.landing")

RETRIED = (ClientError, BotoCoreError, adbc.Error, psycopg.Error, OSError)
_POLL_S = 0.25  # five reads a second and shard is what Kinesis allows
_LONGEST_PAUSE_S = 10.0


class ShardThread(threading.Thread):
    """Reads and lands one shard until it is drained, lost, released or stopped."""

    def __init__(self, worker: Worker, lease: Lease) -> None:
        super().__init__(name=f"{lease.stream}/{lease.shard}", daemon=True)
        self.lease = lease
        self.stopping = threading.Event()
        self.lost = threading.Event()
        self.active_at = time.monotonic()
        self.at_tip = False
        self._worker = worker
        self._source = ShardSource(worker.kinesis, lease.stream, lease.shard, lease.checkpoint)
        self._buffer = Buffer(worker.plan.limits)
        self._ended = False
        self._last_read: tuple[int, float] | None = None  # how far behind the last read was, and when it was
        self._unlanded_since: datetime | None = None  # arrival of the oldest that is not landed

    def behind_ms(self) -> int | None:
        """Return how far landing is behind the newest record; None before the first read.

        Grows while no read succeeds, and while what was read does not get landed.
        """
        if self._last_read is None:
            return None
        behind, at = self._last_read
        unread = behind + round((time.monotonic() - at) * 1000)
        oldest = self._unlanded_since
        return max(unread, round((datetime.now(UTC) - oldest).total_seconds() * 1000)) if oldest else unread

    def run(self) -> None:
        """Read and land; a fault pauses and starts again from the checkpoint of the warehouse."""
        ledger = Ledger(self._worker.loader_dsn)
        pause = 0.2
        try:
            while not self._finished():
                try:
                    self._step(self._lander(ledger))
                    pause = 0.2
                except LeaseLost:
                    raise
                except Exception as fault:
                    if not isinstance(fault, RETRIED):
                        log.exception("unforeseen fault", extra={"facts": {"shard": self.name}})
                    self._worker.note(fault, self.name)
                    self.at_tip = False  # until it is read again, nobody knows
                    ledger.close()
                    self.lost.wait(pause * random.uniform(0.5, 1.0))
                    pause = min(pause * 2, _LONGEST_PAUSE_S)
                    self._resume()
        except LeaseLost as lost:
            log.warning("lease lost", extra={"facts": {"shard": self.name, "why": str(lost)}})
        finally:
            ledger.close()
            self._worker.let_go(self)

    def _finished(self) -> bool:
        empty = not len(self._buffer)
        if self.stopping.is_set():
            return self.lost.is_set() or empty or self._awaits_cut()
        return self.lost.is_set() or (self._ended and empty)

    def _awaits_cut(self) -> bool:
        """Whether the end of an announced cut is still to be read; at the tip it is not coming any more."""
        cut_to = self.lease.cut_to
        return cut_to is not None and not (self._buffer.holds(cut_to) or self._ended or self.at_tip)

    def _lander(self, ledger: Ledger) -> Lander:
        w = self._worker
        return Lander(
            self.lease,
            w.decoders[self.lease.stream],
            ledger,
            w.put_object,
            w.background,
            w.metrics,
            w.plan.lease_s,
        )

    def _step(self, lander: Lander) -> None:
        if not self.stopping.is_set() and not self._ended and (self._awaits_cut() or not self._buffer.full):
            self._read(lander)
        if self._awaits_cut():
            return
        cut_to = self.lease.cut_to
        if cut_to is not None and not self._buffer.holds(cut_to):
            cut_to = None
        if self._buffer.due() or (len(self._buffer) and (cut_to or self._ended or self.stopping.is_set())):
            self._land(lander, cut_to)

    def _read(self, lander: Lander) -> None:
        started = time.perf_counter()
        fetched = self._source.next_batch()
        self._worker.metrics.step("fetch", time.perf_counter() - started)
        if not fetched.throttled:
            self._worker.metrics.behind(self.lease, fetched.behind_ms)
            self._last_read = (fetched.behind_ms, time.monotonic())
        if not len(self._buffer) and not fetched.throttled:
            self._unlanded_since = fetched.records[0].arrived_at if fetched.records else None
        self._buffer.add(fetched.records)
        self.at_tip = fetched.behind_ms == 0 and not fetched.throttled
        if fetched.records:
            self.active_at = time.monotonic()
        if fetched.ended:
            self._ended = True
            if not len(self._buffer):
                lander.finish()
        elif not fetched.records or fetched.behind_ms < 1000:
            self.stopping.wait(_POLL_S)

    def _land(self, lander: Lander, cut_to: str | None) -> None:
        chosen = self._buffer.peek(cut_to)
        if not chosen:  # announced and landed: a commit whose answer was lost
            self.lease = replace(self.lease, cut_to=None)
            return
        last = self._ended and len(chosen) == len(self._buffer)
        with self._worker.slots:
            try:
                landed = lander.land(chosen, ended=last)
            finally:
                self.lease = lander.lease
        self._buffer.drop(len(chosen))
        self._unlanded_since = self._buffer.oldest
        self.active_at = time.monotonic()
        self._worker.tally.add(landed.events, landed.accepted, landed.rejected)

    def _resume(self) -> None:
        """Take the checkpoint from the warehouse again: a commit whose answer was lost may have happened."""
        try:
            lease = self._worker.reload(self.lease)
        except psycopg.Error as fault:
            self._worker.note(fault, self.name)
            return
        self.lease = lease
        self._buffer = Buffer(self._worker.plan.limits)
        self._source = ShardSource(self._worker.kinesis, lease.stream, lease.shard, lease.checkpoint)
        self._ended = False
