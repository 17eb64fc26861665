"""What a worker does when everything around it fails: it says so, keeps trying, and never claims to be done."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from domain.contracts import FEEDS
from ingestion.landing import worker as landing
from ingestion.landing.lander import FlushLimits
from ingestion.landing.leases import Connection, Lease
from ingestion.landing.metrics import Metrics
from ingestion.landing.records import Record
from ingestion.landing.shard_thread import ShardThread
from ingestion.landing.worker import LandingPlan, Worker

NOWHERE = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"
LEASE = Lease("gps", "shardId-0", "w1", 3, None, None)


def refuse_connection() -> Connection:
    raise psycopg.OperationalError("the warehouse is down")


class Stream:
    """A stream of which every call ends in the same fault."""

    def __init__(self, fault: Exception) -> None:
        self.fault = fault
        self.calls = 0

    def get_shard_iterator(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        raise self.fault

    def list_shards(self, **_: Any) -> dict[str, Any]:
        raise self.fault


def make_worker(stream: Stream, loader_dsn: str = NOWHERE) -> Worker:
    plan = LandingPlan("w1", {"gps": [FEEDS["gps_location"]]}, "raw", FlushLimits(10, 1000, 0.1), lease_s=2)
    return Worker(plan, stream, None, loader_dsn, refuse_connection, Metrics())


@contextmanager
def held(worker: Worker) -> Iterator[ShardThread]:
    thread = ShardThread(worker, LEASE)
    worker._threads[LEASE.stream, LEASE.shard] = thread
    try:
        yield thread
    finally:
        thread.lost.set()
        if thread.ident:
            thread.join(20)
            assert not thread.is_alive()


def wait_for(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "fault",
    [
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetShardIterator"),
        ValueError("bad data"),
        RecursionError("too deep"),
        AssertionError("2 events read, 1 accepted + 0 refused"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_shard_thread_outlives_every_fault_and_says_so(fault: Exception) -> None:
    stream = Stream(fault)
    worker = make_worker(stream)
    with held(worker) as thread:
        thread.at_tip = True
        thread.start()
        wait_for(lambda: stream.calls >= 3)
        assert thread.is_alive()
        assert not thread.at_tip  # so that the worker does not end as if all was landed
        assert str(fault) in (worker.tally.last_fault or "") or "warehouse is down" in (
            worker.tally.last_fault or ""
        )
        kind = type(fault).__name__
        assert (worker.metrics.registry.get_sample_value("fleetflow_faults_total", {"kind": kind}) or 0) >= 2


def test_a_thread_that_ends_late_does_not_take_its_successor_off_the_books() -> None:
    worker = make_worker(Stream(ValueError()))
    with held(worker) as old, held(worker) as new:
        worker.let_go(old)
        assert worker._held() == [new]
        worker.let_go(new)
        assert worker._held() == []


def test_what_is_read_and_cannot_be_landed_is_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads succeed and are at the tip; only landing fails, again and again, and the buffer is emptied each time."""
    arrived = datetime.now(UTC) - timedelta(minutes=3)

    class Readable(Stream):
        def get_shard_iterator(self, **_: Any) -> dict[str, Any]:
            return {"ShardIterator": "i"}

        def get_records(self, **_: Any) -> dict[str, Any]:
            self.calls += 1
            record = {"SequenceNumber": "1", "ApproximateArrivalTimestamp": arrived, "Data": b"{}"}
            return {"Records": [record], "NextShardIterator": "i", "MillisBehindLatest": 0}

    worker = make_worker(stream := Readable(ValueError()))
    monkeypatch.setattr(worker, "reload", lambda lease: lease)
    with held(worker) as thread:
        assert thread.behind_ms() is None
        thread.start()
        wait_for(lambda: stream.calls >= 3)
        assert 180_000 <= (thread.behind_ms() or 0) < 240_000


def test_the_lag_of_a_shard_that_was_let_go_is_forgotten() -> None:
    worker = make_worker(Stream(ValueError()))
    labels = {"stream": LEASE.stream, "shard": LEASE.shard}
    with held(worker) as thread:
        worker.metrics.behind(LEASE, 7000)
        assert worker.metrics.registry.get_sample_value("fleetflow_shard_lag_seconds", labels) == 7
        worker.let_go(thread)
        assert worker.metrics.registry.get_sample_value("fleetflow_shard_lag_seconds", labels) is None


def test_a_worker_that_cannot_land_what_it_read_does_not_end_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landing, "_DRAIN_S", 0.3)
    worker = make_worker(Stream(ValueError("no stream")))
    with held(worker) as thread:
        thread._buffer.add([Record("1", datetime.now(UTC), [b"{}"], 2)])
        thread.start()
        ended_well: list[bool] = []
        run = threading.Thread(target=lambda: ended_well.append(worker.run()))
        run.start()
        wait_for(lambda: worker.tally.last_fault is not None)
        worker.stop()
        run.join(20)
        assert ended_well == [False]
        wait_for(lambda: not thread.is_alive())


def test_a_worker_that_has_nothing_left_ends_well() -> None:
    worker = make_worker(Stream(ValueError("no stream")))
    worker.stop()
    assert worker.run()
