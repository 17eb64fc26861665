"""What the landing's tests share: lines, streams of their own on the stack, a worker on them, counts by plain SQL."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psycopg

from domain.contracts import FEEDS
from fleetflow.landing import landing_worker
from fleetflow.runtime import client
from fleetflow.settings import Settings
from ingestion.landing.lander import FlushLimits
from ingestion.landing.worker import Worker


def gps_line(event_id: str, vehicle: str = "v1", **changes: Any) -> bytes:
    now = int(time.time() * 1000)
    event = {
        "feed": "gps_location", "tenant_id": "acme", "event_id": event_id, "recorded_at": now, "schema_version": 1,
        "vehicle_id": vehicle, "fixed_at": now, "lat": 48.2, "lon": 16.4, "speed_kmh": 30, "heading_deg": 5,
    }  # fmt: skip
    return json.dumps(event | changes).encode()


def status_line(event_id: str, shipment: str = "s1", **changes: Any) -> bytes:
    now = int(time.time() * 1000)
    event = {
        "feed": "shipment_event", "tenant_id": "acme", "event_id": event_id, "recorded_at": now, "schema_version": 1,
        "shipment_id": shipment, "status": "created", "occurred_at": now, "origin": "device",
    }  # fmt: skip
    return json.dumps(event | changes).encode()


class LandingStack:
    """A GPS and a status stream of a test's own, an empty ledger, and workers on them."""

    def __init__(self, settings: Settings, shards: int = 2) -> None:
        tag = secrets.token_hex(4)
        names = {f"{role}_stream": f"{role}-{tag}" for role in ("gps", "status", "telemetry")}
        self.settings = replace(settings, **names)
        self.kinesis = client(settings, "kinesis")
        self.s3 = client(settings, "s3")
        for stream in self.settings.streams:
            self.kinesis.create_stream(StreamName=stream, ShardCount=shards)
        with psycopg.connect(settings.dsn("owner"), autocommit=True) as conn:
            conn.execute("truncate ops.shard_lease, ops.batch, ops.worker cascade")
            for feed in FEEDS:
                conn.execute(f"truncate landing.{feed}".encode())
        for entry in self.objects():
            self.s3.delete_object(Bucket=settings.raw_bucket, Key=entry)

    def put(self, stream: str, records: Sequence[bytes]) -> None:
        for data in records:
            self.kinesis.put_record(StreamName=stream, Data=data, PartitionKey=secrets.token_hex(4))

    def worker(self, name: str = "w1", **limits: float) -> Worker:
        worker = landing_worker(self.settings, name)
        chosen = {"rows": 1000, "size_bytes": 1 << 20, "seconds": 0.3, **limits}
        flush = FlushLimits(int(chosen["rows"]), int(chosen["size_bytes"]), chosen["seconds"])
        worker.plan = replace(worker.plan, limits=flush, lease_s=2.0)
        return worker

    def sql(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.settings.dsn("owner"), autocommit=True) as conn:
            return conn.execute(query.encode(), parameters).fetchall()

    def objects(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.raw_bucket, Prefix="raw/"
        )
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def landed_ids(self, feed: str) -> list[str]:
        return sorted(row[0] for row in self.sql(f"select event_id from landing.{feed}"))
