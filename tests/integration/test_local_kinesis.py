"""The Kinesis of the stand-in, through boto3 against its real process, and its log on a real disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from fleetflow.local import aws, kinesis_log
from fleetflow.local.kinesis_backend import Kinesis
from fleetflow.local.kinesis_log import ShardLog, Stored
from fleetflow.local.process import Proc, pick_port, stop
from fleetflow.settings import PROJECT_ROOT

HALF = 2**127


class StandIn:
    """A stand-in on a home, which a test may kill and start again."""

    def __init__(self, home: Path, limits: bool) -> None:
        self.home = home
        self.limits = limits
        self.port = pick_port(None, None, "-")
        self.proc: Proc | None = None
        (home / "logs").mkdir(parents=True, exist_ok=True)

    def start(self) -> Any:
        env = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
        self.proc = aws.start(self.home, self.port, env, self.limits)
        return aws.client(self.port, "kinesis")

    def kill(self) -> None:
        assert self.proc is not None
        os.kill(self.proc.pid, signal.SIGKILL)

    def end(self) -> None:
        if self.proc is not None:
            stop(self.proc, 10)


@contextmanager
def stand_in(home: Path, limits: bool = True) -> Iterator[StandIn]:
    server = StandIn(home, limits)
    try:
        yield server
    finally:
        server.end()


@pytest.fixture(scope="module")
def kinesis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with stand_in(tmp_path_factory.mktemp("kinesis"), limits=False) as server:
        yield server.start()


def put(kinesis: Any, stream: str, *values: str, key: str | None = None) -> list[tuple[str, str, bytes]]:
    """Put records one by one; return (shard, sequence number, data) of each."""
    placed = []
    for value in values:
        answer = kinesis.put_record(StreamName=stream, PartitionKey=key or value, Data=value.encode())
        placed.append((answer["ShardId"], answer["SequenceNumber"], value.encode()))
    return placed


def drain(kinesis: Any, stream: str, shard: str, **start: Any) -> tuple[list[tuple[str, str, bytes]], Any]:
    """Read a shard to its tip or its end; return what it holds and the last answer."""
    start = start or {"ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **start)["ShardIterator"]
    found = []
    while True:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=7)
        found += [(shard, r["SequenceNumber"], r["Data"]) for r in answer["Records"]]
        iterator = answer.get("NextShardIterator")
        if iterator is None or (answer["MillisBehindLatest"] == 0 and not answer["Records"]):
            return found, answer


def everything(kinesis: Any, stream: str) -> list[tuple[str, str, bytes]]:
    shards = [shard["ShardId"] for shard in kinesis.list_shards(StreamName=stream)["Shards"]]
    return [record for shard in shards for record in drain(kinesis, stream, shard)[0]]


def test_iterators_start_where_they_say(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="iterators", ShardCount=1)
    early = put(kinesis, "iterators", *(f"e{i}" for i in range(10)))
    time.sleep(0.3)
    between = time.time()
    late = put(kinesis, "iterators", *(f"l{i}" for i in range(10)))
    shard, records = early[0][0], early + late

    def read(kind: str, **more: Any) -> list[tuple[str, str, bytes]]:
        return drain(kinesis, "iterators", shard, ShardIteratorType=kind, **more)[0]

    assert read("TRIM_HORIZON") == records
    assert read("AT_SEQUENCE_NUMBER", StartingSequenceNumber=records[3][1]) == records[3:]
    assert read("AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=records[3][1]) == records[4:]
    assert read("AT_TIMESTAMP", Timestamp=between) == late
    assert read("LATEST") == []
    numbers = [number for _, number, _ in records]
    assert numbers == sorted(numbers, key=int)
    assert numbers == sorted(numbers)
    assert int(numbers[0]) > 2**64, "a consumer must not get away with a 64-bit column"


def test_latest_sees_only_what_comes_after_it(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="latest", ShardCount=1)
    shard = put(kinesis, "latest", "before")[0][0]
    where = {"StreamName": "latest", "ShardId": shard}
    iterator = kinesis.get_shard_iterator(**where, ShardIteratorType="LATEST")["ShardIterator"]
    put(kinesis, "latest", "after")
    assert [r["Data"] for r in kinesis.get_records(ShardIterator=iterator)["Records"]] == [b"after"]


def test_a_split_closes_the_parent_and_its_records_stay_readable_to_the_end(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="split", ShardCount=1)
    before = put(kinesis, "split", *(f"b{i}" for i in range(20)))
    parent = before[0][0]
    kinesis.split_shard(StreamName="split", ShardToSplit=parent, NewStartingHashKey=str(HALF))
    after = put(kinesis, "split", *(f"a{i}" for i in range(20)))
    shards = {shard["ShardId"]: shard for shard in kinesis.list_shards(StreamName="split")["Shards"]}
    children = set(shards) - {parent}
    assert {shards[child]["ParentShardId"] for child in children} == {parent}
    assert "EndingSequenceNumber" in shards[parent]["SequenceNumberRange"]
    assert {shard for shard, _, _ in after} == children
    read, last = drain(kinesis, "split", parent)
    assert read == before
    assert {child["ShardId"] for child in last["ChildShards"]} == children
    assert sorted(everything(kinesis, "split")) == sorted(before + after)
    open_now = kinesis.list_shards(StreamName="split", ShardFilter={"Type": "AT_LATEST"})["Shards"]
    assert {shard["ShardId"] for shard in open_now} == children


def test_a_merge_names_both_parents(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="merge", ShardCount=2)
    low, high = [shard["ShardId"] for shard in kinesis.list_shards(StreamName="merge")["Shards"]]
    kinesis.merge_shards(StreamName="merge", ShardToMerge=low, AdjacentShardToMerge=high)
    child = kinesis.list_shards(StreamName="merge", ShardFilter={"Type": "AT_LATEST"})["Shards"][0]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == (low, high)
    assert child["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}
    with pytest.raises(kinesis.exceptions.InvalidArgumentException, match="already been merged or split"):
        kinesis.merge_shards(StreamName="merge", ShardToMerge=low, AdjacentShardToMerge=high)


@pytest.mark.parametrize(("start", "target"), [(2, 4), (4, 2), (3, 5), (5, 3), (3, 6)])
def test_update_shard_count_reaches_the_target_and_covers_every_key(
    kinesis: Any, start: int, target: int
) -> None:
    name = f"count-{start}-{target}"
    kinesis.create_stream(StreamName=name, ShardCount=start)
    kinesis.update_shard_count(StreamName=name, TargetShardCount=target, ScalingType="UNIFORM_SCALING")
    shards = kinesis.list_shards(StreamName=name, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    spans = sorted(tuple(int(bound) for bound in shard["HashKeyRange"].values()) for shard in shards)
    assert len(spans) == target
    assert spans[0][0] == 0
    assert spans[-1][1] == 2**128 - 1
    assert all(left[1] + 1 == right[0] for left, right in pairwise(spans))
    with pytest.raises(botocore.exceptions.ClientError, match="LimitExceeded"):
        kinesis.update_shard_count(
            StreamName=name, TargetShardCount=target * 2 + 1, ScalingType="UNIFORM_SCALING"
        )


def test_puts_during_reshards_are_all_read_back(kinesis: Any) -> None:
    kinesis.create_stream(StreamName="busy", ShardCount=2)
    acknowledged: list[tuple[str, str, bytes]] = []

    def write(thread: int) -> None:
        for batch in range(30):
            values = [f"{thread}-{batch}-{i}".encode() for i in range(20)]
            entries = [{"Data": value, "PartitionKey": value.decode()} for value in values]
            answer = kinesis.put_records(StreamName="busy", Records=entries)
            assert answer["FailedRecordCount"] == 0
            places = ((r["ShardId"], r["SequenceNumber"]) for r in answer["Records"])
            acknowledged.extend((*place, value) for place, value in zip(places, values, strict=True))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for target in (4, 8, 4, 2, 3):
        time.sleep(0.1)
        kinesis.update_shard_count(StreamName="busy", TargetShardCount=target, ScalingType="UNIFORM_SCALING")
    for thread in threads:
        thread.join()
    assert len(acknowledged) == 4 * 30 * 20
    assert sorted(everything(kinesis, "busy")) == sorted(acknowledged)


@pytest.mark.parametrize(
    ("call", "arguments", "code"),
    [
        (
            "put_record",
            {"StreamName": "none", "PartitionKey": "a", "Data": b"x"},
            "ResourceNotFoundException",
        ),
        ("create_stream", {"StreamName": "bad", "ShardCount": 1}, "ResourceInUseException"),
        (
            "put_record",
            {"StreamName": "bad", "PartitionKey": "a", "Data": b"x" * (1 << 20)},
            "ValidationException",
        ),
        ("get_records", {"ShardIterator": "bm9uc2Vuc2U="}, "InvalidArgumentException"),
        (
            "get_shard_iterator",
            {"StreamName": "bad", "ShardId": "shardId-000000000099", "ShardIteratorType": "LATEST"},
            "ResourceNotFoundException",
        ),
        (
            "split_shard",
            {"StreamName": "bad", "ShardToSplit": "shardId-000000000000", "NewStartingHashKey": "0"},
            "InvalidArgumentException",
        ),
    ],
)
def test_bad_requests_get_the_error_that_aws_gives(
    kinesis: Any, call: str, arguments: dict[str, Any], code: str
) -> None:
    if "bad" not in kinesis.list_streams()["StreamNames"]:
        kinesis.create_stream(StreamName="bad", ShardCount=1)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        getattr(kinesis, call)(**arguments)
    assert caught.value.response["Error"]["Code"] == code


def test_a_shard_refuses_what_goes_over_its_limits_and_takes_it_later(tmp_path: Path) -> None:
    with stand_in(tmp_path) as server:
        kinesis = server.start()
        kinesis.create_stream(StreamName="s", ShardCount=1)
        entries = [{"Data": b"x" * 100_000, "PartitionKey": "a"}] * 20
        answer = kinesis.put_records(StreamName="s", Records=entries)
        codes = [record.get("ErrorCode") for record in answer["Records"]]
        assert answer["FailedRecordCount"] == codes.count("ProvisionedThroughputExceededException") >= 9
        time.sleep(1.1)
        assert kinesis.put_records(StreamName="s", Records=entries[:10])["FailedRecordCount"] == 0
        shard = {"StreamName": "s", "ShardId": "shardId-000000000000"}
        iterator = kinesis.get_shard_iterator(**shard, ShardIteratorType="LATEST")["ShardIterator"]
        with pytest.raises(kinesis.exceptions.ProvisionedThroughputExceededException):
            _read_without_retry(server.port, iterator)


def _read_without_retry(port: int, iterator: str) -> None:
    import boto3
    from botocore.config import Config

    once = boto3.client(
        "kinesis",
        endpoint_url=aws.endpoint(port),
        region_name=aws.REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}),
    )
    for _ in range(8):
        once.get_records(ShardIterator=iterator)


def test_a_kill_loses_no_acknowledged_record_and_numbers_go_on_rising(tmp_path: Path) -> None:
    with stand_in(tmp_path, limits=False) as server:
        kinesis = server.start()
        kinesis.create_stream(StreamName="s", ShardCount=2)
        acknowledged: list[tuple[str, str, bytes]] = []
        for round_number in range(3):
            writers = [_writer(server.port, f"{round_number}-{n}", acknowledged) for n in range(2)]
            time.sleep(0.5)
            server.kill()
            for writer in writers:
                writer.join()
            kinesis = server.start()
            if round_number == 1:
                kinesis.split_shard(
                    StreamName="s", ShardToSplit="shardId-000000000000", NewStartingHashKey=str(HALF // 2)
                )
        acknowledged += put(kinesis, "s", "last")
        read = everything(kinesis, "s")
    assert len(acknowledged) > 100
    # What was on its way when the process died may be there too: a producer sends it again.
    assert set(acknowledged) <= set(read)
    for shard in {shard for shard, _, _ in read}:
        numbers = [int(number) for found, number, _ in read if found == shard]
        assert numbers == sorted(set(numbers))


def _writer(port: int, name: str, acknowledged: list[tuple[str, str, bytes]]) -> threading.Thread:
    def write() -> None:
        kinesis = aws.client(port, "kinesis")
        number = 0
        try:
            while True:
                acknowledged.extend(put(kinesis, "s", f"{name}-{number}"))
                number += 1
        except botocore.exceptions.BotoCoreError:
            return

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_torn_tail_is_cut_off_and_written_over(tmp_path: Path) -> None:
    log = ShardLog(tmp_path)
    log.append([Stored(number, "key", b"x" * 100) for number in (1, 2, 3)])
    log.close()
    file = next(tmp_path.glob("*.log"))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    log = ShardLog(tmp_path)
    assert log.last == 2
    log.append([Stored(4, "key", b"y")])
    log.close()
    file.write_bytes(file.read_bytes() + b"\xff" * 50)
    assert [record.number for record in ShardLog(tmp_path).read(0, 100, 1 << 20)] == [1, 2, 4]


def test_segments_roll_and_old_ones_are_trimmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinesis_log, "SEGMENT_BYTES", 2_000)
    log = ShardLog(tmp_path)
    for number in range(1, 101):
        log.append([Stored(number * 10, "k", bytes(100))])
    assert len(list(tmp_path.glob("*.log"))) > 3
    reopened = ShardLog(tmp_path)
    for after in (0, 5, 10, 495, 500, 999, 1000):
        expected = [n * 10 for n in range(1, 101) if n * 10 > after]
        assert [record.number for record in reopened.read(after, 1000, 1 << 20)] == expected
    assert reopened.trim(500) > 0
    left = [record.number for record in reopened.read(0, 1000, 1 << 20)]
    assert left[-1] == 1000
    assert 0 < left[0] <= 500, "a segment goes only when all of it is too old"
    assert reopened.trim(5_000) > 0
    assert reopened.read(0, 10, 1 << 20) == []


def test_numbers_rise_even_when_everything_was_trimmed_and_the_clock_went_back(tmp_path: Path) -> None:
    kinesis = Kinesis(tmp_path, limits=False)
    kinesis.create("s", 1)
    first = kinesis.put("s", [("k", b"1", None)])[0].number
    stream = kinesis.stream("s")
    ahead = stream.last = stream.last + 10**15
    stream.retention_h = -(10**6)
    assert kinesis.trim() > 0
    kinesis.close()
    again = Kinesis(tmp_path, limits=False).put("s", [("k", b"2", None)])[0].number
    assert first is not None
    assert again is not None
    assert again > ahead > first


def test_a_full_disk_refuses_the_record_and_keeps_the_log_whole(tmp_path: Path) -> None:
    # A limit on the file size stands for the full disk: the write fails in the same place.
    program = """
import resource, signal, sys
from pathlib import Path
from fleetflow.local.kinesis_backend import Kinesis
from fleetflow.local.kinesis_errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
kinesis = Kinesis(Path(sys.argv[1]), limits=False)
kinesis.create("s", 1)
kinesis.put("s", [("k", b"x" * 3000, None)])
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    kinesis.put("s", [("k", b"y" * 3000, None)])
except StorageError as error:
    print(error)
kinesis.put("s", [("k", b"z" * 300, None)])
"""
    env = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=env, capture_output=True, text=True, check=True
    )
    assert "cannot be written: File too large" in done.stdout
    log = Kinesis(tmp_path).stream("s").shards[0].log
    assert [record.data[:1] for record in log.read(0, 10, 1 << 20)] == [b"x", b"z"]
