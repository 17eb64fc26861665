"""Outages in the middle of the load: Postgres gone, S3 failing, Kinesis throttled. Nothing lost, nothing twice, told.

The sender counts what it sends itself, with its own ids; the warehouse is counted by plain SQL. `fleetflow metrics`
watches meanwhile, and a webhook takes what it tells: each outage lasts until its alert is told, and each alert is
resolved after it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fleetflow.local import aws, outage, stack, worker
from fleetflow.local.errors import StackError
from fleetflow.local.state import load
from fleetflow.runtime import client
from fleetflow.settings import PROJECT_ROOT, Settings
from ingestion.streams.errors import ProducerFull
from ingestion.streams.producer import Producer
from ingestion.streams.stats import SendFailure
from tests.e2e.commands import fleetflow, rows
from tests.integration.alert_sinks import Hook, hook_server

RATE = 600
# Seconds that each outage lasts: its alert stands for 10, 30 and 60 s (a lag of 60 s) before it is told.
OUTAGES = {"postgres": 30, "s3": 55, "kinesis": 160}
ALERTS = {"postgres": "warehouse_unreachable", "s3": "aws_unreachable", "kinesis": "stream_lag"}
RESOLVED_WITHIN_S = 180  # a minute of calm, and a minute between two messages of one name
SPOOL_BYTES = 4 << 20  # of each producer; filled while Kinesis takes nothing


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with stack.running(tmp_path_factory.mktemp("outages"), ("postgres", "aws", "worker")) as found:
        yield found


class Load(threading.Thread):
    """Sends GPS and status lines at a steady rate through two producers; `sent` counts what they accepted.

    `full` counts how often one of them was full and refused for half a second.
    """

    def __init__(self, settings: Settings, spool: Path) -> None:
        super().__init__(daemon=True)
        self.sent = {"gps_location": 0, "shipment_event": 0}
        self.most_spooled = 0
        self.full = 0
        self.refused: set[str] = set()
        self.fault: BaseException | None = None
        self.over = threading.Event()
        self._settings, self._spool = settings, spool

    def run(self) -> None:
        try:
            self._send()
        except BaseException as fault:
            self.fault = fault

    def _send(self) -> None:
        kinesis = client(self._settings, "kinesis", max_attempts=1)
        with (
            self._producer(kinesis, self._settings.gps_stream) as gps,
            self._producer(kinesis, self._settings.status_stream) as status,
        ):
            started, number = time.monotonic(), 0
            while not self.over.is_set():
                while number < (time.monotonic() - started) * RATE:
                    self._send_one(gps, status, number)
                    number += 1
                self.most_spooled = max(
                    self.most_spooled, gps.stats().spool_bytes + status.stats().spool_bytes
                )
                time.sleep(0.02)
            assert gps.flush(60)
            assert status.flush(60)

    def _producer(self, kinesis: Any, stream: str) -> Producer:
        return Producer(kinesis, stream, self._spool, max_pending_bytes=SPOOL_BYTES, on_failure=self._note)

    def _send_until_taken(self, producer: Producer, key: str, line: dict[str, Any]) -> None:
        """What a gateway does: a line that a full producer refuses is offered again."""
        while True:
            try:
                return producer.send(key, json.dumps(line).encode(), timeout_s=0.5)
            except ProducerFull:
                self.full += 1

    def _note(self, failure: SendFailure) -> None:
        self.refused.add(failure.code)

    def _send_one(self, gps: Producer, status: Producer, number: int) -> None:
        now = int(time.time() * 1000)
        line: dict[str, Any] = {
            "tenant_id": "acme", "event_id": f"e{number}", "recorded_at": now, "schema_version": 1,
        }  # fmt: skip
        if number % 3:
            vehicle = f"v{number % 50}"
            line |= {
                "feed": "gps_location", "vehicle_id": vehicle, "fixed_at": now, "lat": 48.2, "lon": 16.4,
                "speed_kmh": 30, "heading_deg": 5,
            }  # fmt: skip
            self._send_until_taken(gps, vehicle, line)
        else:
            shipment = f"s{number % 200}"
            line |= {
                "feed": "shipment_event", "shipment_id": shipment, "status": "in_transit", "occurred_at": now,
                "origin": "device",
            }  # fmt: skip
            self._send_until_taken(status, shipment, line)
        self.sent[line["feed"]] += 1


def faults_of_worker(settings: Settings) -> set[str]:
    """The kinds of fault that the worker says it has retried."""
    port = load(settings.home).ports["worker"]
    with urllib.request.urlopen(worker.metrics(port), timeout=10) as answer:
        text = answer.read().decode()
    return set(re.findall(r'fleetflow_faults_total\{kind="(\w+)"\}', text))


@contextmanager
def watching(settings: Settings, hook: Hook) -> Iterator[None]:
    """Look at the platform every 3 s and tell the webhook, in a process of its own, for the time of a block."""
    told = {
        "FLEETFLOW_HOME": str(settings.home),
        "FLEETFLOW_ALERT_WEBHOOK_URL": f"http://127.0.0.1:{hook.port}/",
    }
    command = "from fleetflow.cli import main; main()"
    watcher = subprocess.Popen(
        [sys.executable, "-c", command, "metrics", "--port", "0", "--notify-every", "3"],
        env={**os.environ, **told},
        cwd=PROJECT_ROOT,
    )
    try:
        while not rows(settings, "select from ops.health_check"):
            assert watcher.poll() is None
            time.sleep(0.5)
        yield
        assert watcher.poll() is None, "it outlived every outage"
    finally:
        watcher.terminate()
        watcher.wait(20)


def told_of(hook: Hook, name: str) -> list[str]:
    """What the webhook was told of an alert, in order: raised, resolved."""
    return [a["notice"] for message in hook.messages if message["name"] == name for a in message["alerts"]]


def wait_for_notice(hook: Hook, name: str, notice: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while notice not in told_of(hook, name):
        assert time.monotonic() < deadline, f"{name} was not {notice}; told: {hook.messages}"
        time.sleep(0.5)


def wait_until_none_stands(settings: Settings, seconds: float) -> None:
    """Wait until the alerts of every shard are resolved, not only the first one."""
    standing = "select name, subject from ops.alert where resolved_at is null and name = any(%s)"
    deadline = time.monotonic() + seconds
    while left := rows(settings, standing, list(ALERTS.values())):
        assert time.monotonic() < deadline, left
        time.sleep(1)


@pytest.mark.timeout(900)
def test_outages_lose_nothing_and_double_nothing_and_are_told(settings: Settings, tmp_path: Path) -> None:
    load_thread = Load(settings, tmp_path / "spool")
    with hook_server() as hook, watching(settings, hook):
        load_thread.start()
        time.sleep(4)
        for kind, seconds in OUTAGES.items():
            assert told_of(hook, ALERTS[kind]) == []
            # A machine whose cores others take looks too seldom to see one outage stand: then there is another.
            for _ in range(3):
                outage.play(settings.home, kind, seconds)
                if "raised" in told_of(hook, ALERTS[kind]):
                    break
            wait_for_notice(hook, ALERTS[kind], "raised", 20)
        load_thread.over.set()
        load_thread.join(120)
        for name in ALERTS.values():
            wait_for_notice(hook, name, "resolved", RESOLVED_WITHIN_S)
        wait_until_none_stands(settings, 60)
    assert not load_thread.is_alive()
    assert load_thread.fault is None
    assert "ProvisionedThroughputExceededException" in load_thread.refused
    assert "OperationalError" in faults_of_worker(settings)
    assert aws.play_outage(load(settings.home).ports["aws"], {})["s3"] > 3
    assert load_thread.most_spooled > SPOOL_BYTES, "the spool held what Kinesis did not take"
    assert load_thread.full > 10, "and was full"

    fleetflow(settings, "land", "--until-idle", "3")
    for feed, sent in load_thread.sent.items():
        assert sent > RATE * sum(OUTAGES.values()) / 8
        assert rows(settings, f"select count(*), count(distinct event_id) from landing.{feed}") == [
            (sent, sent)
        ]
    assert rows(settings, "select count(*) from ops.rejected") == [(0,)]
    fleetflow(settings, "reconcile")
    running = {part.part: part.problem for part in stack.status(settings.home) if part.wanted}
    assert running == {"postgres": None, "aws": None, "worker": None}


def test_the_drill_command_says_what_it_does_not_know(settings: Settings) -> None:
    fleetflow(settings, "drill", "nothing", fine=2)
    port = load(settings.home).ports["aws"]
    with pytest.raises(ValueError, match="services are s3, kinesis"):
        aws.play_outage(port, {"sns": 5})
    with pytest.raises(ValueError, match="up to 600 s"):
        aws.play_outage(port, {"s3": 5000})
    with pytest.raises(StackError, match="there are postgres, s3, kinesis"):
        outage.play(settings.home, "disk", 1)
