"""A landing worker is killed twenty times, at random moments, while a load runs and the stream is resharded."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetflow.local.stack import Shards, running
from fleetflow.runtime import client
from fleetflow.settings import PROJECT_ROOT, Settings
from tests.integration.landing_stack import gps_line, status_line

EVENTS = 20_000
KILLS = 20
FLEETFLOW = [sys.executable, "-c", "from fleetflow.cli import main; main()"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    home = tmp_path_factory.mktemp("kill")
    choices = {
        "FLEETFLOW_KINESIS_LIMITS": "0",
        "FLEETFLOW_LEASE_SECONDS": "1.5",
        "FLEETFLOW_FLUSH_ROWS": "500",
    }
    with running(home, ("postgres", "aws"), Shards(2, 2), env=choices) as found:
        yield found


def test_twenty_kills_and_a_reshard_lose_nothing_and_double_nothing(settings: Settings) -> None:
    rnd = random.Random(20)
    env = {**os.environ, "FLEETFLOW_HOME": str(settings.home), "FLEETFLOW_LEASE_SECONDS": "1.5",
           "FLEETFLOW_FLUSH_ROWS": "500", "FLEETFLOW_FLUSH_SECONDS": "0.3"}  # fmt: skip
    sending = threading.Thread(target=send, args=(settings, rnd.getrandbits(32)))
    sending.start()
    moments = []
    for _ in range(KILLS):
        worker = subprocess.Popen([*FLEETFLOW, "land"], env=env, cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL)
        moments.append(wait_until_landing(settings, worker, rnd))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    sending.join(120)
    assert not sending.is_alive()
    last = subprocess.run([*FLEETFLOW, "land", "--until-idle", "3"], env=env, cwd=PROJECT_ROOT, check=False,
                          capture_output=True, text=True, timeout=120)  # fmt: skip
    assert last.returncode == 0, last.stderr[-2000:]
    told = subprocess.run([*FLEETFLOW, "reconcile", "--json"], env=env, cwd=PROJECT_ROOT, check=False,
                          capture_output=True, text=True)  # fmt: skip
    answer = json.loads(told.stdout)
    assert answer["adds_up"], answer
    assert told.returncode == 0
    counts = {feed["feed"]: (feed["sent"], feed["distinct"], feed["rejected"]) for feed in answer["feeds"]}
    assert counts["gps_location"] == (EVENTS, EVENTS - EVENTS // 100, EVENTS // 100)
    assert counts["shipment_event"] == (EVENTS // 10, EVENTS // 10, 0)
    assert any(moments), "no kill hit a worker that had landed something"


def wait_until_landing(settings: Settings, worker: subprocess.Popen[bytes], rnd: random.Random) -> bool:
    """Wait a random while, half of the time until the worker surely lands; say whether it did."""
    import psycopg

    before = time.monotonic()
    with psycopg.connect(settings.dsn("owner"), autocommit=True) as conn:
        query = "select count(*) from ops.shard_lease where owner like %s"
        while time.monotonic() - before < 15 and worker.poll() is None:
            row = conn.execute(query, (f"%-{worker.pid}",)).fetchone()
            if row and row[0]:
                time.sleep(rnd.uniform(0, 1.2))
                return True
            time.sleep(0.05)
    return False


def send(settings: Settings, seed: int) -> None:
    """Send both feeds over some forty seconds, reshard in the middle, and leave the sender's truth."""
    kinesis = client(settings, "kinesis")
    rnd = random.Random(seed)
    lines = [
        gps_line(f"g{i}", vehicle=f"v{i % 200}", **({"lat": 95} if i % 100 == 0 else {}))
        for i in range(EVENTS)
    ]
    statuses = [status_line(f"s{i}", shipment=f"p{i % 300}") for i in range(EVENTS // 10)]
    batches = 200
    for part in range(batches):
        if part == batches // 2:
            for stream, shards in ((settings.gps_stream, 3), (settings.status_stream, 1)):
                kinesis.update_shard_count(
                    StreamName=stream, TargetShardCount=shards, ScalingType="UNIFORM_SCALING"
                )
        for stream, all_lines in ((settings.gps_stream, lines), (settings.status_stream, statuses)):
            size = len(all_lines) // batches
            mine = all_lines[part * size : (part + 1) * size]
            entries = [
                {"Data": b"\n".join(mine[i : i + 10]), "PartitionKey": str(rnd.random())}
                for i in range(0, len(mine), 10)
            ]
            answer = kinesis.put_records(StreamName=stream, Records=entries)
            assert answer["FailedRecordCount"] == 0
        time.sleep(0.2)
    truth = {
        "gps_location": {"sent": EVENTS, "distinct": EVENTS, "valid_distinct": EVENTS - EVENTS // 100,
                         "invalid": {"out_of_range": EVENTS // 100}},
        "shipment_event": {"sent": EVENTS // 10, "distinct": EVENTS // 10, "valid_distinct": EVENTS // 10,
                           "invalid": {}},
    }  # fmt: skip
    Path(settings.sent_dir).mkdir(exist_ok=True)
    (settings.sent_dir / "kill-test.json").write_text(json.dumps({"run": "kill-test", "feeds": truth}))
