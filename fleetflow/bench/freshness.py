"""Seconds from sending a shipment status to its being in the marts, at a peak rate, everything on one machine.

The simulator, the producer, the AWS stand-in, the landing worker, Postgres and Airflow share the cores here; on AWS
each has its own.
"""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetflow.freshness import landing_freshness, marts_freshness
from fleetflow.local import stack
from fleetflow.runtime import client, connect
from fleetflow.settings import Settings
from fleetflow.simulator.plan import SimulationPlan
from fleetflow.simulator.run import run_simulation
from fleetflow.simulator.sinks import Streams
from ingestion.streams.producer import Producer

_BYTES_PER_EVENT = 320
_SHARD_BYTES_PER_S = 1 << 20
_VEHICLES = 20_000
_OPEN_SHIPMENTS = 60_000  # their past (some 400 K events) is sent before the clock runs


def shards_for(rate: float) -> stack.Shards:
    """Return shards enough for the rate's bytes, a quarter to spare."""
    needed = rate * _BYTES_PER_EVENT * 1.25 / _SHARD_BYTES_PER_S
    return stack.Shards(gps=max(2, math.ceil(needed * 0.65)), status=max(2, math.ceil(needed * 0.35)))


def run_bench(home: Path, rate: float, seconds: float) -> dict[str, Any]:
    """Stream at `rate` for `seconds`, wait until all is in the marts, and measure; everything is stopped at the end."""
    try:
        settings = stack.up(home, stack.PARTS, shards_for(rate))
        started = datetime.now(UTC)
        sent, live_rate = _stream(settings, home, rate, seconds)
        drained_s = _await_marts(settings, sent, 600)
        with connect(settings.dsn("ops")) as conn:
            marts, landed = marts_freshness(conn, started), landing_freshness(conn, started)
            runs = conn.execute(
                "select events, extract(epoch from finished_at - started_at)::float from ops.transform_run"
                " where state = 'done' order by started_at"
            ).fetchall()
    finally:
        stack.down(home)
    return {
        "benchmark": "freshness",
        "wanted_rate": rate,
        "rate": round(live_rate),
        "events": sent,
        "marts": asdict(marts),
        "landing": asdict(landed),
        "drained_s": round(drained_s, 1),
        "cores": os.cpu_count(),
        "micro_batches": [{"events": events, "seconds": round(s, 1)} for events, s in runs],
    }


def _stream(settings: Settings, home: Path, rate: float, seconds: float) -> tuple[int, float]:
    plan = SimulationPlan(
        start=datetime.now(UTC), rate=rate, seconds=seconds, history_days=0,
        vehicles=_VEHICLES, shipments=_OPEN_SHIPMENTS,
    )  # fmt: skip
    kinesis = client(settings, "kinesis", max_attempts=1)
    with (
        connect(settings.orders_dsn.reveal(), autocommit=True) as orders,
        Producer(kinesis, settings.gps_stream, home / "spool") as gps,
        Producer(kinesis, settings.status_stream, home / "spool") as status,
    ):
        truth = run_simulation(plan, orders, Streams(gps, status), home)
    return truth.sent, (truth.sent - truth.history_sent) / truth.live_seconds


def _await_marts(settings: Settings, sent: int, timeout_s: float) -> float:
    """Wait until everything is landed and transformed; return the seconds that it took after the last event."""
    start = time.monotonic()
    query = (
        "select coalesce(sum(events_read), 0) >= %s and not exists (select from ops.pending_batch)"
        " from ops.batch where source = 'stream'"
    )
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        while time.monotonic() - start < timeout_s:
            row = conn.execute(query, (sent,)).fetchone()
            if row and row[0]:
                return time.monotonic() - start
            time.sleep(0.5)
    raise TimeoutError(f"not everything was in the marts {timeout_s:.0f} s after the last event")
