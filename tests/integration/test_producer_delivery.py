"""The producer against the AWS stand-in: nothing lost, an entity's order kept, every failure visible."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from producer_stream import (
    assert_all_in_order,
    await_active,
    event,
    faults,
    kinesis,
    make_stream,
    read_events,
    read_shard,
    stand_in,
)

from ingestion.streams.errors import LineRefused, LinesLeft, ProducerClosed, ProducerFull
from ingestion.streams.lane import MAX_LINE_BYTES
from ingestion.streams.producer import Producer
from ingestion.streams.stats import SendFailure

KEYS = 97


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stand_in(tmp_path_factory.mktemp("aws"), limits=False) as address:
        yield address


@pytest.fixture(scope="module")
def limited_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with stand_in(tmp_path_factory.mktemp("limited"), limits=True) as address:
        yield address


def send_range(producer: Producer, first: int, end: int, size: int = 250) -> None:
    for seq in range(first, end):
        producer.send(f"V{seq % KEYS:04d}", event(seq % KEYS, seq, size))


def spools(directory: Path) -> list[Path]:
    return list(directory.rglob("*.spool"))


def test_every_line_arrives_once_and_the_spool_is_empty(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 3)
    with Producer(kinesis(url), stream, tmp_path, fdatasync=True) as producer:
        assert producer.lanes == 18
        send_range(producer, 0, 5000)
        assert producer.flush(20)
        stats = producer.stats()
    assert assert_all_in_order(read_events(url, stream), 5000) == 0
    assert (stats.accepted_lines, stats.acked_lines, stats.pending_lines, stats.pending_bytes) == (
        5000,
        5000,
        0,
        0,
    )
    assert stats.accepted_bytes == stats.acked_bytes == 5000 * 251
    assert (stats.retries, stats.failures, stats.last_error) == (0, {}, None)
    assert spools(tmp_path) == []


def test_lanes_fill_every_shard_alike(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 5)
    with Producer(kinesis(url), stream, tmp_path) as producer:
        for seq in range(10_000):
            producer.send(f"VAN-{seq}", event(seq % KEYS, seq, 100))
    shards = kinesis(url).list_shards(StreamName=stream)["Shards"]
    counts = [len(read_shard(url, stream, shard["ShardId"])) for shard in shards]
    assert len(counts) == 5
    assert min(counts) > 1700, counts


def test_a_lone_line_leaves_after_the_linger(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 1)
    with Producer(kinesis(url), stream, tmp_path, linger_s=0.1) as producer:
        started = time.monotonic()
        producer.send("V", event(0, 0))
        while producer.stats().pending_lines:
            assert time.monotonic() - started < 5
            time.sleep(0.01)
        assert time.monotonic() - started >= 0.1


def test_a_throttling_storm_delays_but_neither_loses_doubles_nor_reorders(
    limited_url: str, tmp_path: Path
) -> None:
    stream = make_stream(limited_url, 2)
    with Producer(kinesis(limited_url), stream, tmp_path) as producer:
        send_range(producer, 0, 24_000)
        assert producer.flush(60)
        stats = producer.stats()
    assert stats.failures["ProvisionedThroughputExceededException"] == stats.retries > 0
    assert stats.last_error is not None
    assert "Rate exceeded" in stats.last_error
    assert assert_all_in_order(read_events(limited_url, stream), 24_000) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_thirty_percent_faults_lose_nothing_and_keep_the_order(url: str, tmp_path: Path, seed: int) -> None:
    stream = make_stream(url, 4)
    seen: list[SendFailure] = []
    with (
        faults(url, 0.3, seed) as proxy,
        Producer(
            kinesis(proxy.url), stream, tmp_path, record_bytes=2500, linger_s=0.02, on_failure=seen.append
        ) as producer,
    ):
        send_range(producer, 0, 8000)
        assert producer.flush(60)
        stats = producer.stats()
    assert set(proxy.injected) == {"lose_request", "lose_answer", "error", "throttle"}
    assert sum(stats.failures.values()) == stats.retries == sum(failure.records for failure in seen)
    assert {"InternalFailure", "ProvisionedThroughputExceededException"} <= set(stats.failures)
    assert len(stats.failures) > 2
    duplicates = assert_all_in_order(read_events(url, stream), 8000)
    # Only a call whose answer got lost comes twice: at most one record a lane.
    assert 0 < duplicates <= proxy.injected["lose_answer"] * producer.lanes * 10


def test_an_order_holds_across_a_reshard(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 2)
    client = kinesis(url)
    with Producer(client, stream, tmp_path, record_bytes=5000, linger_s=0.02) as producer:
        for step, shards in enumerate((2, 4, 3)):
            if step:
                client.update_shard_count(
                    StreamName=stream, TargetShardCount=shards, ScalingType="UNIFORM_SCALING"
                )
            send_range(producer, step * 3000, (step + 1) * 3000)
            if step == 1:
                await_active(client, stream)
    assert len(client.list_shards(StreamName=stream)["Shards"]) > 4
    assert assert_all_in_order(read_events(url, stream), 9000) == 0


def test_many_threads_may_send(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 2)
    with Producer(kinesis(url), stream, tmp_path, max_pending_bytes=200_000) as producer:

        def one(part: int) -> None:
            for seq in range(part, 8000, 4):
                producer.send(f"V{part:04d}", event(part, seq))

        threads = [threading.Thread(target=one, args=(part,)) for part in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert producer.stats().blocked_s > 0
    assert assert_all_in_order(read_events(url, stream), 8000) == 0


def test_a_missing_stream_is_told_and_tried_until_it_is_there(url: str, tmp_path: Path) -> None:
    with Producer(kinesis(url), "not-yet", tmp_path, linger_s=0.02) as producer:
        send_range(producer, 0, 50)
        assert not producer.flush(0.5)
        stats = producer.stats()
        assert stats.last_error == "stream not-yet does not exist; sending again until it does"
        assert stats.failures["ResourceNotFoundException"] == stats.retries > 0
        assert (stats.pending_lines, stats.acked_lines) == (50, 0)
        make_stream(url, 1, "not-yet")
        assert producer.flush(20)
    assert assert_all_in_order(read_events(url, "not-yet"), 50) == 0


def test_closing_with_a_deadline_tells_what_the_spool_keeps_and_the_next_sends_it(
    url: str, tmp_path: Path
) -> None:
    producer = Producer(kinesis(url), "late", tmp_path, lanes=7)
    send_range(producer, 0, 300)
    started = time.monotonic()
    closed = producer.close(0.3)
    assert time.monotonic() - started < 4
    assert (closed.left_lines, closed.left_bytes) == (300, 300 * 251)
    assert closed.spool is not None
    assert spools(closed.spool)
    assert producer.close(30) == closed
    with pytest.raises(ProducerClosed):
        producer.send("V", b"x")

    make_stream(url, 3, "late")
    with Producer(kinesis(url), "late", tmp_path) as successor:
        assert successor.stats().replayed_lines == 300
        send_range(successor, 300, 600)
    assert assert_all_in_order(read_events(url, "late"), 600) == 0
    assert spools(tmp_path) == []


def test_a_torn_spool_gives_what_checks_out_and_is_kept_for_people(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    producer = Producer(kinesis(url), "torn", tmp_path, lanes=1)
    send_range(producer, 0, 10)
    producer.close(0)
    (segment,) = spools(tmp_path)
    data = bytearray(segment.read_bytes())
    end = data.rindex(b'"}') + 2
    data[end - 100 : end] = bytes(100)
    segment.write_bytes(data)

    make_stream(url, 1, "torn")
    with Producer(kinesis(url), "torn", tmp_path) as successor:
        stats = successor.stats()
    assert (stats.replayed_lines, stats.torn) == (9, 1)
    assert_all_in_order(read_events(url, "torn"), 9)
    (kept,) = tmp_path.rglob("*.torn")
    assert kept.read_bytes() == data
    assert "does not check out" in caplog.text


def test_lines_left_raise_at_the_end_of_a_with_block(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = Producer(kinesis(url), "nowhere", tmp_path)
    monkeypatch.setattr(producer, "flush", lambda timeout_s: False)
    with (
        pytest.raises(LinesLeft, match=r"3 lines not on stream nowhere yet, kept in .*nowhere/\d+"),
        producer,
    ):
        send_range(producer, 0, 3)


def test_an_unreachable_service_is_told(tmp_path: Path) -> None:
    producer = Producer(kinesis("http://127.0.0.1:9"), "s", tmp_path, linger_s=0.01)
    producer.send("V", b"x")
    closed = producer.close(0.5)
    stats = producer.stats()
    assert set(stats.failures) == {"EndpointConnectionError"}
    assert stats.last_error is not None
    assert "http://127.0.0.1:9" in stats.last_error
    assert closed.left_lines == 1


def test_memory_is_bounded_and_a_full_producer_refuses_in_time(url: str, tmp_path: Path) -> None:
    producer = Producer(kinesis(url), "absent", tmp_path, max_pending_bytes=10_000)
    for seq in range(39):
        producer.send("V", event(0, seq), timeout_s=0.3)
    with pytest.raises(ProducerFull, match="stream absent: 9789 bytes pending"):
        producer.send("V", event(0, 39), timeout_s=0.3)
    stats = producer.stats()
    assert stats.accepted_lines == stats.pending_lines == 39
    assert stats.blocked_s >= 0.3
    assert producer.close(0).left_lines == 39


def test_a_waiting_sender_is_let_go_by_close(url: str, tmp_path: Path) -> None:
    producer = Producer(kinesis(url), "absent-2", tmp_path, max_pending_bytes=300)
    producer.send("V", event(0, 0))
    ends: Counter[str] = Counter()

    def wait() -> None:
        try:
            producer.send("V", event(0, 1))
        except ProducerClosed:
            ends["closed"] += 1

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.1)
    producer.close(0)
    thread.join(5)
    assert ends == {"closed": 1}


def test_lines_of_any_size_up_to_a_record_pass(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 1)
    sizes = [1, MAX_LINE_BYTES, 99_999, 100_000, MAX_LINE_BYTES - 1, 500_000, *[MAX_LINE_BYTES] * 6]
    with Producer(kinesis(url), stream, tmp_path, lanes=4) as producer:
        for number, size in enumerate(sizes):
            producer.send(f"k{number}", b'"' + b"y" * (size - 2) + b'"' if size > 1 else b"1")
        with pytest.raises(LineRefused, match="over the"):
            producer.send("k", b"y" * (MAX_LINE_BYTES + 1))
    got = Counter(len(str(item)) for item in read_events(url, stream))
    assert got == Counter(size - 2 if size > 1 else 1 for size in sizes)


def watch_calls(client: Any) -> list[list[dict[str, Any]]]:
    """Return a list that gets the records of each PutRecords call that the client makes."""
    calls: list[list[dict[str, Any]]] = []
    client.meta.events.register(
        "provide-client-params.kinesis.PutRecords", lambda params, **_: calls.append(params["Records"])
    )
    return calls


@pytest.mark.parametrize(("lanes", "lines", "size"), [(40, 30, MAX_LINE_BYTES), (500, 4000, 100)])
def test_calls_keep_the_limits_of_putrecords(
    url: str, tmp_path: Path, lanes: int, lines: int, size: int
) -> None:
    stream = make_stream(url, 1)
    client = kinesis(url)
    calls = watch_calls(client)
    with Producer(client, stream, tmp_path, lanes=lanes, linger_s=1.0) as producer:
        for seq in range(lines):
            producer.send(f"V{seq}", event(seq, seq, size))
    assert_all_in_order(read_events(url, stream), lines)
    for records in calls:
        assert len(records) <= 500
        assert sum(len(r["Data"]) + len(r["PartitionKey"]) for r in records) <= 5 << 20
        assert all(len(r["Data"]) + len(r["PartitionKey"]) <= 1 << 20 for r in records)
        # One record of a lane in a call: nothing in a call can overtake another line of its entity.
        assert len({r["PartitionKey"] for r in records}) == len(records)
    assert max(map(len, calls)) >= (3 if size == MAX_LINE_BYTES else 100)


def test_living_producers_share_a_spool_directory(url: str, tmp_path: Path) -> None:
    stream = make_stream(url, 1)
    stuck = Producer(kinesis("http://127.0.0.1:9"), stream, tmp_path)
    stuck.send("V", event(0, 0))
    with Producer(kinesis(url), stream, tmp_path) as second:
        second.send("V", event(0, 1))
        assert second.stats().replayed_lines == 0
    assert [item["seq"] for item in read_events(url, stream)] == [1]
    stuck.close(0)
    with Producer(kinesis(url), stream, tmp_path) as third:
        assert third.stats().replayed_lines == 1
    assert sorted(item["seq"] for item in read_events(url, stream)) == [0, 1]


def test_a_failing_callback_does_not_stop_the_sending(url: str, tmp_path: Path) -> None:
    def broken(failure: SendFailure) -> None:
        raise RuntimeError(failure.code)

    with Producer(kinesis(url), "callback", tmp_path, linger_s=0.02, on_failure=broken) as producer:
        producer.send("V", event(0, 0))
        assert not producer.flush(0.3)
        make_stream(url, 1, "callback")
        assert producer.flush(20)
