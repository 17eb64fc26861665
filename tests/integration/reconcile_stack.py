"""What the reconciliation's tests share: events landed by a real worker, brought to the lake and to the marts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from fleetflow import transform
from fleetflow.lake import compact
from fleetflow.reconciliation import Plan, reconcile_windows
from fleetflow.settings import Settings
from fleetflow.vehicles.run import run_vehicles
from quality.reconcile import Attempt
from tests.integration.landing_stack import LandingStack, gps_line, status_line

LIFE = ("created", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered")
FEEDS = ("gps_location", "shipment_event", "driver_assignment_event")


class ReconcileStack(LandingStack):
    """Streams of its own, an empty ledger, and everything behind it brought up to date on demand."""

    spent = False
    """Whether a test has taken from it what it cannot put back."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, 1)
        home = settings.home / self.settings.gps_stream
        self.settings = replace(self.settings, home=home)
        self.settings.sent_dir.mkdir(parents=True, exist_ok=True)
        with psycopg.connect(settings.dsn("owner"), autocommit=True) as conn:
            conn.execute(
                "truncate ops.reconciliation, ops.verified_through, ops.retention_action, ops.legal_hold,"
                " ops.batch_total"
            )

    def order(self, tag: str, shipments: int = 20) -> None:
        """Let the order system know the shipments, as delivered as their events say."""
        with psycopg.connect(self.settings.orders_dsn.reveal(), autocommit=True) as orders:
            orders.execute(
                "insert into sites (site_id, tenant_id, name, kind, region, country, city, lat, lon, timezone)"
                " values ('H1', 'acme', 'Hub', 'hub', 'Nord', 'DE', 'Kiel', 54, 10, 'UTC') on conflict do nothing"
            )
            orders.execute(
                "insert into shipments select %(tag)s || 'S' || n, 'acme', %(tag)s || n, 'c', 'own', 'express', 'road',"
                " 'H1', 'H1', 1, 5, 100, 'EUR', 'delivered', now(), now() + interval '1 day', null"
                " from generate_series(0, %(last)s) as n",
                {"tag": tag, "last": shipments - 1},
            )

    def fill(self, tag: str = "a", shipments: int = 20, *, spoilt: int = 2) -> None:
        """Send, land, compact and transform: gps and status events, a few of them refused."""
        self.put(self.settings.gps_stream, [gps_line(f"{tag}g{n}") for n in range(50)])
        self.put(self.settings.gps_stream, [gps_line(f"{tag}x{n}", lat=95) for n in range(spoilt)])
        now = int(datetime.now(UTC).timestamp() * 1000)
        for s in range(shipments):
            lines = [
                status_line(f"{tag}s{s}-{n}", f"{tag}S{s}", status=status, sequence=n,
                            occurred_at=now - 60_000 + n, driver_id="D1")
                for n, status in enumerate(LIFE)
            ]  # fmt: skip
            self.put(self.settings.status_stream, [b"\n".join(lines)])
        self.land()
        self.downstream()

    def land(self) -> None:
        assert self.worker("w", seconds=0.1).run(until_idle_s=1.0)

    def downstream(self) -> None:
        for _ in compact(self.settings):
            pass
        while transform.run_pipeline(self.settings):
            pass
        while run_vehicles(self.settings):
            pass

    def check(self, grain: str = "hour", **options: Any) -> dict[str, Attempt]:
        """Reconcile what is closed in three hours or two days; return the newest attempt by feed."""
        ahead = timedelta(hours=3) if grain == "hour" else timedelta(days=2)
        step = options.pop("step", lambda _: None)
        plan = Plan(grain, feeds=FEEDS, now=datetime.now(UTC) + ahead, **options)
        return {
            a.window.feed: a for a in reconcile_windows(self.settings, plan, step=step) if a.counts["batches"]
        }

    def words(self, attempt: Attempt) -> str:
        return "; ".join(d.words for d in attempt.differences)

    def truth(self, run: str, feeds: dict[str, Any], **more: Any) -> None:
        (self.settings.sent_dir / f"{run}.json").write_text(json.dumps({"run": run, "feeds": feeds, **more}))

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.settings.dsn("owner"), autocommit=True) as conn:
            for statement in statements:
                conn.execute(statement.encode())

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.s3.delete_object(Bucket=self.settings.raw_bucket, Key=key)

    def forget_stream(self) -> None:
        """The records are past the stream's retention: it answers, and has nothing."""
        for stream in self.settings.streams:
            self.kinesis.delete_stream(StreamName=stream)
            self.kinesis.create_stream(StreamName=stream, ShardCount=1)

    def body(self, key: str) -> bytes:
        found: bytes = self.s3.get_object(Bucket=self.settings.raw_bucket, Key=key)["Body"].read()
        return found

    def check_all(self, **options: Any) -> list[Attempt]:
        plan = Plan("hour", feeds=FEEDS, now=datetime.now(UTC) + timedelta(hours=3), **options)
        now = datetime.now(UTC)
        plan = replace(plan, from_at=now - timedelta(hours=2), to_at=now + timedelta(hours=2))
        return reconcile_windows(self.settings, plan)

    def check_with(self, **changes: Any) -> dict[str, Attempt]:
        """Check with other settings."""
        mine = self.settings
        self.settings = replace(mine, **changes)
        try:
            return self.check(repair=False)
        finally:
            self.settings = mine
