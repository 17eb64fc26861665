"""Outages in the middle of the load: Postgres gone, S3 failing, Kinesis throttled. Nothing lost, nothing twice.

The sender counts what it sends itself, with its own ids; the warehouse is counted by plain SQL.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleetflow.local import aws, outage, stack, worker
from fleetflow.local.errors import StackError
from fleetflow.local.state import load
from fleetflow.runtime import client
from fleetflow.settings import Settings
from ingestion.streams.producer import Producer
from ingestion.streams.stats import SendFailure
from tests.e2e.commands import fleetflow, rows

RATE = 600
LOAD_S = 55
POSTGRES_S, S3_S, KINESIS_S = 20, 8, 8


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with stack.running(tmp_path_factory.mktemp("outages"), ("postgres", "aws", "worker")) as found:
        yield found


class Load(threading.Thread):
    """Sends GPS and status lines at a steady rate through two producers; `sent` counts what they accepted."""

    def __init__(self, settings: Settings, spool: Path) -> None:
        super().__init__(daemon=True)
        self.sent = {"gps_location": 0, "shipment_event": 0}
        self.most_spooled = 0
        self.refused: set[str] = set()
        self.fault: BaseException | None = None
        self._settings, self._spool = settings, spool

    def run(self) -> None:
        try:
            self._send()
        except BaseException as fault:
            self.fault = fault

    def _send(self) -> None:
        kinesis = client(self._settings, "kinesis", max_attempts=1)
        with (
            Producer(kinesis, self._settings.gps_stream, self._spool, on_failure=self._note) as gps,
            Producer(kinesis, self._settings.status_stream, self._spool, on_failure=self._note) as status,
        ):
            started, number = time.monotonic(), 0
            while (elapsed := time.monotonic() - started) < LOAD_S:
                while number < elapsed * RATE:
                    self._send_one(gps, status, number)
                    number += 1
                self.most_spooled = max(
                    self.most_spooled, gps.stats().spool_bytes + status.stats().spool_bytes
                )
                time.sleep(0.02)
            assert gps.flush(60)
            assert status.flush(60)

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
            gps.send(vehicle, json.dumps(line).encode())
        else:
            shipment = f"s{number % 200}"
            line |= {
                "feed": "shipment_event", "shipment_id": shipment, "status": "in_transit", "occurred_at": now,
                "origin": "device",
            }  # fmt: skip
            status.send(shipment, json.dumps(line).encode())
        self.sent[line["feed"]] += 1


def faults_of_worker(settings: Settings) -> set[str]:
    """The kinds of fault that the worker says it has retried."""
    port = load(settings.home).ports["worker"]
    with urllib.request.urlopen(worker.metrics(port), timeout=10) as answer:
        text = answer.read().decode()
    return set(re.findall(r'fleetflow_faults_total\{kind="(\w+)"\}', text))


def test_outages_lose_nothing_and_double_nothing(settings: Settings, tmp_path: Path) -> None:
    load_thread = Load(settings, tmp_path / "spool")
    load_thread.start()
    time.sleep(4)
    outage.play(settings.home, "postgres", POSTGRES_S)
    time.sleep(2)
    outage.play(settings.home, "s3", S3_S)
    time.sleep(2)
    outage.play(settings.home, "kinesis", KINESIS_S)
    load_thread.join(120)
    assert not load_thread.is_alive()
    assert load_thread.fault is None
    assert "ProvisionedThroughputExceededException" in load_thread.refused
    assert "OperationalError" in faults_of_worker(settings)
    assert aws.play_outage(load(settings.home).ports["aws"], {})["s3"] > 3
    assert load_thread.most_spooled > RATE * (KINESIS_S - 2) * 100, "the spool held what Kinesis did not take"

    fleetflow(settings, "land", "--until-idle", "3")
    for feed, sent in load_thread.sent.items():
        assert sent > RATE * LOAD_S / 4
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
