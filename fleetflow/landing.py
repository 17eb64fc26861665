"""Puts a landing worker together from the settings."""

from __future__ import annotations

import os
import socket

from domain.contracts import FEEDS
from domain.contracts.model import Feed
from fleetflow.runtime import client, connect
from fleetflow.settings import Settings
from ingestion.landing.lander import FlushLimits
from ingestion.landing.metrics import Metrics
from ingestion.landing.worker import LandingPlan, Worker


def feeds_of(settings: Settings) -> dict[str, list[Feed]]:
    """Return the feeds that each stream carries."""
    names = {
        "gps": settings.gps_stream,
        "status": settings.status_stream,
        "telemetry": settings.telemetry_stream,
    }
    return {name: [feed for feed in FEEDS.values() if feed.stream == role] for role, name in names.items()}


def landing_worker(settings: Settings, name: str | None = None) -> Worker:
    """Return a worker for the streams of the settings; nothing is opened yet."""
    plan = LandingPlan(
        worker=name or f"{socket.gethostname()}-{os.getpid()}",
        streams=feeds_of(settings),
        bucket=settings.raw_bucket,
        limits=FlushLimits(settings.flush_rows, settings.flush_bytes, settings.flush_seconds),
        lease_s=settings.lease_seconds,
    )
    loader = settings.dsn("loader")
    kinesis = client(settings, "kinesis", max_attempts=1)
    return Worker(plan, kinesis, client(settings, "s3"), loader, lambda: connect(loader), Metrics())
