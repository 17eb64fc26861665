"""The landing on a real Postgres and the AWS stand-in: formats, crashes at each step, fencing, reshards, replay."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from aws_kinesis_agg.deaggregator import messages_pb2

from fleetflow.landing import feeds_of
from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from ingestion.landing import lander, leases, rejected
from ingestion.landing.leases import LeaseLost
from ingestion.landing.ledger import Ledger
from ingestion.landing.records import KPL_MAGIC
from tests.integration.landing_stack import LandingStack, gps_line, status_line

GPS, STATUS = "gps_location", "shipment_event"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("landing")
    with running(home, ("postgres", "aws"), env={"FLEETFLOW_KINESIS_LIMITS": "0"}) as found:
        yield found


@pytest.fixture
def stack(settings: Settings) -> LandingStack:
    return LandingStack(settings)


def kpl(lines: list[bytes]) -> bytes:
    aggregate = messages_pb2.AggregatedRecord()
    aggregate.partition_key_table.append("k")
    for line in lines:
        aggregate.records.add(partition_key_index=0, data=line)
    body = aggregate.SerializeToString()
    return KPL_MAGIC + body + hashlib.md5(body, usedforsecurity=False).digest()


def test_every_record_format_lands_and_counts_add_up(stack: LandingStack) -> None:
    whole = kpl([gps_line("k1"), gps_line("k2") + b"\n" + gps_line("k3"), b"junk"])
    stack.put(
        stack.settings.gps_stream,
        [
            gps_line("a1"),
            b"\n".join([gps_line("a2"), b"", gps_line("a3", lat=99)]),
            whole,
            whole[:-3],
            KPL_MAGIC,
        ],
    )
    stack.put(
        stack.settings.status_stream, [status_line("s1") + b"\n" + status_line("s2", status="lost"), b"\xff"]
    )
    worker = stack.worker()
    assert worker.run(until_idle_s=1.5)
    assert stack.landed_ids(GPS) == ["a1", "a2", "k1", "k2", "k3"]
    assert stack.landed_ids(STATUS) == ["s1"]
    refused = stack.sql("select feed, rule, count(*) from ops.rejected group by 1, 2 order by 1, 2")
    assert refused == [
        (GPS, "corrupt_record", 2),
        (GPS, "malformed_json", 1),
        (GPS, "out_of_range", 1),
        (STATUS, "unknown_value", 1),
        ("unknown", "invalid_utf8", 1),
    ]
    raw = stack.sql("select raw, sequence_number, sub_sequence from ops.rejected where rule = 'out_of_range'")
    assert b'"lat": 99' in raw[0][0]
    assert raw[0][1].isdigit()
    assert raw[0][2] == 1
    totals = stack.sql("select sum(events_read), sum(accepted), sum(rejected) from ops.batch")[0]
    assert tuple(map(int, totals)) == (12, 6, 6)


def test_raw_object_holds_what_the_ledger_says(stack: LandingStack) -> None:
    stack.put(stack.settings.gps_stream, [gps_line(f"e{i}") for i in range(30)])
    assert stack.worker().run(until_idle_s=1.5)
    for key, accepted, first, last in stack.sql(
        "select object_key, accepted, first_sequence, last_sequence from ops.batch where object_key is not null"
    ):
        body = stack.s3.get_object(Bucket=stack.settings.raw_bucket, Key=key)["Body"].read()
        table = pq.read_table(io.BytesIO(body))
        assert table.num_rows == accepted
        sequences = [int(s) for s in table["stream_sequence"].to_pylist()]
        assert min(sequences) == int(first)
        assert max(sequences) == int(last)
    assert stack.objects() == sorted(row[0] for row in stack.sql("select object_key from ops.batch"))


STEPS = ("after announce", "after object", "before commit", "after commit")


@pytest.mark.parametrize("step", STEPS)
def test_crash_at_each_step_leaves_the_undisturbed_result(
    stack: LandingStack, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The worker dies at the step; another, which cuts by other limits, takes over and lands everything once."""
    ids = sorted(f"e{i:03}" for i in range(400))
    stack.put(stack.settings.gps_stream, [gps_line(event_id) for event_id in ids[:200]])

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed(step)

    real_advance = lander.advance_checkpoint

    def advance_then_die(*args: Any, **named: Any) -> None:
        real_advance(*args, **named)
        die()

    with monkeypatch.context() as patch:
        match step:
            case "after announce":
                patch.setattr(lander, "encode_rows", die)
            case "after object":
                patch.setattr(lander, "write_entries", die)
            case "before commit":
                patch.setattr(lander, "advance_checkpoint", advance_then_die)
            case "after commit":
                patch.setattr(lander.Lander, "land", _land_then(die, lander.Lander.land))
        with pytest.raises(Killed):
            _land_one_shard(stack, "dying", rows=70)
    stack.put(stack.settings.gps_stream, [gps_line(event_id) for event_id in ids[200:]])
    time.sleep(2.1)  # the dead worker's lease runs out
    assert stack.worker("heir", rows=33).run(until_idle_s=1.5)
    assert stack.landed_ids(GPS) == ids
    assert stack.objects() == sorted(row[0] for row in stack.sql("select object_key from ops.batch"))


def _land_then(die: Any, land: Any) -> Any:
    def land_and_die(*args: Any, **named: Any) -> None:
        land(*args, **named)
        die()

    return land_and_die


def _land_one_shard(stack: LandingStack, name: str, rows: int) -> None:
    """Land in this thread, so that a death is not caught by the worker's own retries."""
    from ingestion.landing.lander import Buffer, FlushLimits, Lander
    from ingestion.landing.shard_source import ShardSource, list_shards

    worker = stack.worker(name, rows=rows)
    stream = stack.settings.gps_stream
    with connect(stack.settings.dsn("loader")) as conn:
        leases.register_shards(conn, stream, list_shards(stack.kinesis, stream))
        (lease,) = leases.take(conn, name, [stream], 2.0, 1)
    buffer = Buffer(FlushLimits(rows, 1 << 20, 0))
    buffer.add(ShardSource(stack.kinesis, stream, lease.shard, None).next_batch().records)
    ledger = Ledger(stack.settings.dsn("loader"))
    try:
        one = Lander(
            lease, worker.decoders[stream], ledger, worker.put_object, worker.background, worker.metrics, 2.0
        )
        one.land(buffer.peek(None), ended=False)
    finally:
        ledger.close()
        worker.background.shutdown()


def test_a_fenced_worker_writes_nothing(stack: LandingStack) -> None:
    stack.put(stack.settings.gps_stream, [gps_line("e1")])
    stream = stack.settings.gps_stream
    worker = stack.worker()
    with connect(stack.settings.dsn("loader")) as conn:
        from ingestion.landing.shard_source import ShardSource, list_shards

        leases.register_shards(conn, stream, list_shards(stack.kinesis, stream))
        mine = leases.take(conn, "slow", [stream], 0.1, 2)
        time.sleep(0.2)
        assert len(leases.take(conn, "quick", [stream], 30, 2)) == 2
    ledger = Ledger(stack.settings.dsn("loader"))
    fenced = 0
    for lease in mine:
        records = ShardSource(stack.kinesis, stream, lease.shard, None).next_batch().records
        one = lander.Lander(
            lease, worker.decoders[stream], ledger, worker.put_object, worker.background, worker.metrics, 2.0
        )
        if records:
            with pytest.raises(LeaseLost):
                one.land(records, ended=False)
            fenced += 1
    ledger.close()
    worker.background.shutdown()
    assert fenced == 1
    assert stack.landed_ids(GPS) == []
    assert stack.objects() == []


def test_parents_are_drained_before_children_so_order_holds(stack: LandingStack) -> None:
    """One vehicle's positions across two reshards land in the order in which they were sent."""
    stream = stack.settings.gps_stream
    worker = stack.worker(rows=40)
    done = threading.Thread(target=worker.run, kwargs={"until_idle_s": 3.0})
    done.start()
    for i in range(300):
        stack.kinesis.put_record(StreamName=stream, Data=gps_line(f"{i:04}"), PartitionKey="v1")
        if i in (100, 200):
            stack.kinesis.update_shard_count(
                StreamName=stream, TargetShardCount=4 if i == 100 else 2, ScalingType="UNIFORM_SCALING"
            )
    done.join(60)
    assert not done.is_alive()
    rows = stack.sql(
        "select e.event_id, b.landed_at, e.line from landing.gps_location e join ops.batch b using (batch_id)"
        " order by b.landed_at, b.batch_id, e.line"
    )
    assert [row[0] for row in rows] == [f"{i:04}" for i in range(300)]
    assert stack.sql("select count(*) from ops.shard_lease where ended and stream = %s", stream)[0][0] >= 4


def test_two_workers_share_the_shards(settings: Settings) -> None:
    stack = LandingStack(settings, shards=4)
    first, second = stack.worker("one"), stack.worker("two")
    threads = [threading.Thread(target=w.run) for w in (first, second)]
    for thread in threads:
        thread.start()
        time.sleep(1.5)
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        held = dict(
            stack.sql("select owner, count(*) from ops.shard_lease where owner is not null group by 1")
        )
        if held == {"one": 6, "two": 6}:
            break
        time.sleep(0.2)
    stack.put(stack.settings.gps_stream, [gps_line(f"e{i}") for i in range(50)])
    deadline = time.monotonic() + 15
    while len(stack.landed_ids(GPS)) < 50 and time.monotonic() < deadline:
        time.sleep(0.2)
    for worker in (first, second):
        worker.stop()
    for thread in threads:
        thread.join(30)
    assert held == {"one": 6, "two": 6}
    assert len(set(stack.landed_ids(GPS))) == 50
    assert stack.sql("select count(*) from ops.shard_lease where owner is not null")[0][0] == 0


def test_until_idle_ends_beside_a_worker_that_stays(stack: LandingStack) -> None:
    """The stack of `make up` has a worker of its own; `fleetflow land --until-idle` beside it must come to an end."""
    resident = stack.worker("resident")
    staying = threading.Thread(target=resident.run)
    staying.start()
    stack.put(stack.settings.gps_stream, [gps_line(f"e{i}") for i in range(20)])
    ended: list[bool] = []
    guest = stack.worker("guest")
    passing = threading.Thread(target=lambda: ended.append(guest.run(until_idle_s=2.0)))
    passing.start()
    passing.join(30)
    guest.stop()
    resident.stop()
    staying.join(30)
    assert ended == [True]
    assert sorted(set(stack.landed_ids(GPS))) == sorted(f"e{i}" for i in range(20))


def test_stop_drains_what_was_read(stack: LandingStack) -> None:
    worker = stack.worker(seconds=600.0)
    thread = threading.Thread(target=worker.run)
    thread.start()
    stack.put(stack.settings.gps_stream, [gps_line(f"e{i}") for i in range(20)])
    time.sleep(2.5)
    assert stack.landed_ids(GPS) == []
    worker.stop()
    thread.join(30)
    assert len(stack.landed_ids(GPS)) == 20


def test_missing_bucket_is_retried_and_nothing_is_lost(stack: LandingStack) -> None:
    stack.put(stack.settings.gps_stream, [gps_line(f"e{i}") for i in range(20)])
    from dataclasses import replace

    worker = stack.worker()
    worker.plan = replace(worker.plan, bucket="not-there-yet")
    thread = threading.Thread(target=worker.run, kwargs={"until_idle_s": 3.0})
    thread.start()
    deadline = time.monotonic() + 15
    while "NoSuchBucket" not in (worker.tally.last_fault or "") and time.monotonic() < deadline:
        time.sleep(0.1)
    fault = worker.tally.last_fault
    stack.s3.create_bucket(Bucket="not-there-yet")
    thread.join(60)
    assert fault is not None
    assert "NoSuchBucket" in fault
    assert len(stack.landed_ids(GPS)) == 20


def test_replay_lands_what_passes_now_once(stack: LandingStack) -> None:
    ahead = int(time.time() * 1000) + 3_600_000 + 4_000  # refused now, plausible in a few seconds
    stack.put(
        stack.settings.gps_stream,
        [gps_line("early", fixed_at=ahead), gps_line("hopeless", lat=91), gps_line("fine")],
    )
    assert stack.worker().run(until_idle_s=1.5)
    assert stack.landed_ids(GPS) == ["fine"]
    time.sleep(3)
    ledger = Ledger(stack.settings.dsn("loader"))
    with connect(stack.settings.dsn("loader")) as conn:
        runs = [
            rejected.replay(
                ledger,
                conn,
                rejected.RejectFilter(),
                feeds_of(stack.settings),
                stack.worker().put_object,
                "replay",
            )
            for _ in range(2)
        ]
    ledger.close()
    assert [(run.tried, run.landed, dict(run.refused)) for run in runs] == [
        (2, 1, {"out_of_range": 1}),
        (1, 0, {"out_of_range": 1}),
    ]
    assert stack.landed_ids(GPS) == ["early", "fine"]
    states = dict(stack.sql("select rule, state from ops.rejected"))
    assert states == {"time_in_future": "replayed", "out_of_range": "open"}
