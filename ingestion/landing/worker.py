"""A landing worker: holds its even share of the shards, one thread a shard, and lands until it is told to stop.

The keeper (the calling thread) discovers shards, takes and renews leases, lets go of what is over its share. Each
shard thread (see `shard_thread`) reads, buffers and lands; at most `slots` of them decode and write at once, which
bounds memory.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg

from domain.contracts.decode import Decoder
from domain.contracts.model import Feed
from ingestion.landing import leases
from ingestion.landing.lander import FlushLimits
from ingestion.landing.leases import Lease, LeaseLost
from ingestion.landing.metrics import Metrics
from ingestion.landing.shard_source import list_shards
from ingestion.landing.shard_thread import RETRIED, ShardThread

log = logging.getLogger("fleetflow.landing")

_DRAIN_S = 60.0


@dataclass(frozen=True)
class LandingPlan:
    """What a worker lands, and how: the feeds of each stream, limits, lease length, threads that write at once."""

    worker: str
    streams: Mapping[str, Sequence[Feed]]
    bucket: str
    limits: FlushLimits
    lease_s: float
    slots: int = 2


@dataclass
class Tally:
    """What a worker has landed since it started."""

    events: int = 0
    accepted: int = 0
    rejected: int = 0
    cuts: int = 0
    last_fault: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, events: int, accepted: int, rejected: int) -> None:
        """Count one cut."""
        with self.lock:
            self.events += events
            self.accepted += accepted
            self.rejected += rejected
            self.cuts += 1
            self.last_fault = None


class Worker:
    """The keeper of the leases and of the shard threads."""

    def __init__(
        self,
        plan: LandingPlan,
        kinesis: Any,
        s3: Any,
        loader_dsn: str,
        connect: Callable[[], leases.Connection],
        metrics: Metrics,
    ) -> None:
        self.plan = plan
        self.kinesis = kinesis
        self.loader_dsn = loader_dsn
        self.metrics = metrics
        self.tally = Tally()
        self.decoders = {stream: Decoder(list(feeds)) for stream, feeds in plan.streams.items()}
        self.slots = threading.BoundedSemaphore(plan.slots)
        self.background = ThreadPoolExecutor(plan.slots * 4, thread_name_prefix="object")
        self.stopping = threading.Event()
        self._s3 = s3
        self._connect = connect
        self._threads: dict[tuple[str, str], ShardThread] = {}
        self._lock = threading.Lock()
        self._noted: dict[str, float] = {}
        self._tend_every_s = min(0.5, plan.lease_s / 4)

    def put_object(self, key: str, body: bytes) -> None:
        """Write one raw object."""
        self._s3.put_object(
            Bucket=self.plan.bucket, Key=key, Body=body, ContentType="application/vnd.apache.parquet"
        )

    def run(
        self,
        until_idle_s: float | None = None,
        on_tick: Callable[[Worker], None] | None = None,
        tick_s: float = 0.5,
    ) -> bool:
        """Land until stopped, or until nothing came for `until_idle_s` seconds and every shard is at its tip.

        Returns:
            True if it ended because it was told to or all was landed; False if it gave up on a fault that did not
            go away for 30 s while it was to end when idle, or if what it had read could not be landed at the end.
        """
        try:
            ended_well = self._keep(until_idle_s, on_tick, tick_s)
        finally:
            drained = self._drain()
        return ended_well and drained

    def _keep(
        self, until_idle_s: float | None, on_tick: Callable[[Worker], None] | None, tick_s: float
    ) -> bool:
        started = time.monotonic()
        healthy_at, tended_at, healthy = started, -1e9, True
        while not self.stopping.is_set():
            if time.monotonic() - tended_at >= self._tend_every_s:
                tended_at = time.monotonic()
                healthy = self._tend()
            if healthy:
                healthy_at = time.monotonic()
            if on_tick:
                on_tick(self)
            if until_idle_s is not None and self._idle(until_idle_s, started):
                return True
            if until_idle_s is not None and time.monotonic() - healthy_at > max(30.0, until_idle_s):
                return False
            self.stopping.wait(tick_s)
        return True

    def stop(self) -> None:
        """Ask for a graceful end: what is buffered is landed, leases are given back."""
        self.stopping.set()

    def note(self, fault: Exception, where: str) -> None:
        """Log a fault that will be retried, at most once in ten seconds per place and kind."""
        kind = type(fault).__name__
        self.metrics.fault(kind)
        words = " ".join(str(fault).split())[:300]
        self.tally.last_fault = f"{where}: {words}"
        now = time.monotonic()
        if now - self._noted.get(f"{where}{kind}", -60.0) > 10:
            self._noted[f"{where}{kind}"] = now
            log.error("will try again", extra={"facts": {"where": where, "fault": kind, "why": words}})

    def reload(self, lease: Lease) -> Lease:
        """Read a lease again from the warehouse.

        Raises:
            LeaseLost: another worker holds the shard.
        """
        with self._connect() as conn:
            row = conn.execute(
                "select checkpoint, cut_to from ops.shard_lease"
                " where stream = %s and shard = %s and owner = %s and epoch = %s",
                (lease.stream, lease.shard, lease.owner, lease.epoch),
            ).fetchone()
        if row is None:
            raise LeaseLost(f"{lease.stream}/{lease.shard} is no longer ours")
        return Lease(lease.stream, lease.shard, lease.owner, lease.epoch, row[0], row[1])

    def let_go(self, thread: ShardThread) -> None:
        """Give the shard back when its thread ends; a lease that is already lost is left alone."""
        place = (thread.lease.stream, thread.lease.shard)
        with self._lock:
            if (
                self._threads.get(place) is thread
            ):  # the shard may be ours again, in the hands of a newer thread
                del self._threads[place]
                self.metrics.let_go(thread.lease)
        try:
            with self._connect() as conn:
                leases.release(conn, thread.lease)
        except psycopg.Error as fault:  # it runs out by itself
            self.note(fault, thread.name)

    def _tend(self) -> bool:
        """Discover, renew, take, let go; return whether all of it worked."""
        streams = list(self.plan.streams)
        try:
            with self._connect() as conn:
                for stream in streams:
                    leases.register_shards(conn, stream, list_shards(self.kinesis, stream))
                self._renew(conn)
                share = leases.fair_share(conn, self.plan.worker, streams, self.plan.lease_s)
                held = self._held()
                for thread in held[share:]:
                    thread.stopping.set()
                if len(held) < share:
                    self._start(
                        leases.take(conn, self.plan.worker, streams, self.plan.lease_s, share - len(held))
                    )
        except RETRIED as fault:
            self.note(fault, "leases")
            return False
        self.metrics.holding(len(self._held()))
        return self.tally.last_fault is None

    def _renew(self, conn: leases.Connection) -> None:
        held = self._held()
        behind = {
            (thread.lease.stream, thread.lease.shard): lag
            for thread in held
            if (lag := thread.behind_ms()) is not None
        }
        ours = leases.renew(
            conn, self.plan.worker, [thread.lease for thread in held], self.plan.lease_s, behind
        )
        for thread in held:
            if (thread.lease.stream, thread.lease.shard) not in ours and thread.is_alive():
                thread.lost.set()

    def _held(self) -> list[ShardThread]:
        with self._lock:
            return list(self._threads.values())

    def _start(self, taken: Sequence[Lease]) -> None:
        for lease in taken:
            thread = ShardThread(self, lease)
            with self._lock:
                self._threads[lease.stream, lease.shard] = thread
            thread.start()

    def _idle(self, seconds: float, started: float) -> bool:
        held = self._held()
        quiet_since = max([started, *(thread.active_at for thread in held)])
        if time.monotonic() - quiet_since < seconds or not all(t.at_tip for t in held):
            return False
        try:
            with self._connect() as conn:
                return leases.all_quiet(conn, self.plan.worker, list(self.plan.streams), len(held), seconds)
        except psycopg.Error as fault:
            self.note(fault, "leases")
            return False

    def _drain(self) -> bool:
        """End the shard threads; return whether each landed what it had read."""
        self.stopping.set()
        held = self._held()
        for thread in held:
            thread.stopping.set()
        deadline = time.monotonic() + _DRAIN_S
        for thread in held:
            thread.join(max(0.1, deadline - time.monotonic()))
        late = [thread for thread in held if thread.is_alive()]
        for thread in late:
            thread.lost.set()  # what it holds stays in the stream
        self.background.shutdown(wait=True)
        try:
            with self._connect() as conn:
                leases.retire(conn, self.plan.worker)
        except psycopg.Error as fault:
            self.note(fault, "leases")
        return not late
