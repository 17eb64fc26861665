"""What the producer's tests share: the AWS stand-in, a reader of all shards, a proxy that breaks calls."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import random
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from fleetflow.local import aws
from fleetflow.local.process import pick_port, stop


@contextlib.contextmanager
def stand_in(home: Path, *, limits: bool) -> Iterator[str]:
    """Run the AWS stand-in; gives its address."""
    (home / "logs").mkdir()
    (home / "aws").mkdir()
    port = pick_port(None, None, "PORT")
    proc = aws.start(home, port, os.environ, limits=limits)
    try:
        yield aws.endpoint(port)
    finally:
        stop(proc, grace_s=5.0)


def kinesis(url: str) -> Any:
    """Return a client without retries of its own: each failure reaches the producer."""
    return boto3.client(
        "kinesis", endpoint_url=url, region_name=aws.REGION,
        aws_access_key_id="local", aws_secret_access_key="local",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10),
    )  # fmt: skip


def make_stream(url: str, shards: int, name: str | None = None) -> str:
    """Create a stream and wait until it takes records."""
    client = kinesis(url)
    name = name or f"s-{secrets.token_hex(4)}"
    client.create_stream(StreamName=name, ShardCount=shards)
    await_active(client, name)
    return name


def await_active(client: Any, stream: str) -> None:
    for _ in range(200):
        summary = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]
        if summary["StreamStatus"] == "ACTIVE":
            return
        time.sleep(0.05)
    raise AssertionError(f"stream {stream} did not become active")


def event(key: int, seq: int, size: int = 250) -> bytes:
    """Return a line of about `size` bytes that names its entity and its place in the order of `send`."""
    head = f'{{"vehicle_id":"V{key:04d}","seq":{seq},"pad":"'
    return (head + "x" * (size - len(head) - 2) + '"}').encode()


def read_shard(url: str, stream: str, shard: str) -> list[dict[str, Any]]:
    """Return a shard's events in order, at a pace that the limits allow."""
    client = kinesis(url)
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    token: str | None = iterator["ShardIterator"]
    found: list[dict[str, Any]] = []
    while token:
        try:
            page = client.get_records(ShardIterator=token, Limit=10_000)
        except client.exceptions.ProvisionedThroughputExceededException:
            time.sleep(0.25)
            continue
        for record in page["Records"]:
            found += [json.loads(line) for line in record["Data"].split(b"\n") if line]
        if not page["Records"] and not page["MillisBehindLatest"]:
            break
        token = page.get("NextShardIterator")
    return found


def read_events(url: str, stream: str) -> list[dict[str, Any]]:
    """Return all events, parents before children, each shard's in order."""
    shards = kinesis(url).list_shards(StreamName=stream)["Shards"]
    events: list[dict[str, Any]] = []
    for shard in shards:  # ids count up, and a child is younger than its parents
        events += read_shard(url, stream, shard["ShardId"])
    return events


def assert_all_in_order(events: list[dict[str, Any]], wanted: int) -> int:
    """Each seq 0 .. wanted - 1 is there, and each entity's first occurrences ascend; gives the duplicates."""
    seen: set[int] = set()
    firsts: dict[str, list[int]] = defaultdict(list)
    for item in events:
        if item["seq"] not in seen:
            seen.add(item["seq"])
            firsts[item["vehicle_id"]].append(item["seq"])
    assert seen == set(range(wanted)), f"{wanted - len(seen)} lost, {len(seen - set(range(wanted)))} unknown"
    wrong = [entity for entity, order in firsts.items() if order != sorted(order)]
    assert not wrong, f"order broken for {wrong}"
    return len(events) - wanted


class Faults(http.server.ThreadingHTTPServer):
    """A proxy before the stand-in that spoils a share of the PutRecords calls, in one of four ways."""

    daemon_threads = True

    def __init__(self, upstream: str, share: float, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream.removeprefix("http://")
        self.share = share
        self.random = random.Random(seed)
        self.injected: dict[str, int] = defaultdict(int)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def pick(self) -> str | None:
        if self.random.random() >= self.share:
            return None
        kind = self.random.choice(("lose_request", "lose_answer", "error", "throttle"))
        self.injected[kind] += 1
        return kind


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faults

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self.server.pick() if self.headers["X-Amz-Target"].endswith(".PutRecords") else None
        if fault == "error":
            return self._answer(500, b'{"__type":"InternalFailure","message":"injected"}')
        if fault == "throttle":
            return self._answer(
                400, b'{"__type":"ProvisionedThroughputExceededException","message":"injected"}'
            )
        if fault != "lose_request":
            upstream = http.client.HTTPConnection(self.server.upstream, timeout=10)
            upstream.request("POST", self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            status, content = answer.status, answer.read()
            upstream.close()
        if fault in {"lose_request", "lose_answer"}:
            self.close_connection = True
            return None
        return self._answer(status, content)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextlib.contextmanager
def faults(upstream: str, share: float, seed: int) -> Iterator[Faults]:
    """Run the spoiling proxy."""
    proxy = Faults(upstream, share, seed)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
