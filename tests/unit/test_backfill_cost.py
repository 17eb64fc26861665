"""The estimate of a dry run, and the words for what it rests on."""

from __future__ import annotations

from datetime import UTC, datetime

from ingestion.backfill.cost import estimate
from ingestion.backfill.model import Chunk, Span
from ingestion.backfill.plan import Plan

SPAN = Span(datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC))


def plan(arm: str, rows: int, objects: int = 0, size_bytes: int = 0) -> Plan:
    return Plan("shipment_event", SPAN, (Chunk(1, SPAN, arm, rows),), 1, objects, size_bytes)


def test_lake_rows_are_copied_and_transformed() -> None:
    told = estimate(plan("lake", 3_000_000, objects=500, size_bytes=1000 * (8 << 20)), transformed=True)
    assert (told.copy_s, told.transform_s, told.seconds) == (20.0, 150.0, 170.0)
    assert (told.gets, told.usd) == (2000, 0.0008)
    assert told.basis.startswith(
        "copying at 150,000 rows/s, transforming at 20,000 rows/s: benchmarks on 2 cores"
    )
    assert "0.0004 USD per 1,000 (us-east-1, looked up 2026-11-21)" in told.basis


def test_nothing_to_copy_is_not_nothing_to_transform() -> None:
    told = estimate(plan("landing", 0), transformed=True)
    assert (told.seconds, told.usd) == (0.0, 0.0)
    assert told.basis.startswith("nothing to copy, transforming at")


def test_a_feed_without_a_pipeline() -> None:
    told = estimate(plan("lake", 150_000), transformed=False)
    assert told.seconds == 1.0
    assert "no pipeline makes tables of the feed" in told.basis
