"""What the backfill's tests share: landed shipments with their bounds in the ledger, and a look at a backfill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from transform_warehouse import NOW, land, mirror, population, transform

from domain.contracts import FEEDS
from fleetflow.backfill import Outcome, Request, run_backfill
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from ingestion.backfill.model import Span

EVENTS = ("shipment_event", "driver_assignment_event")
ENTITIES = ("sites", "drivers", "vehicles", "shipments")
MIDNIGHT = datetime(NOW.year, NOW.month, NOW.day, tzinfo=UTC)
# The middle of the population's three days: most shipments of it have events before and after.
DAY = Span(MIDNIGHT - timedelta(days=2), MIDNIGHT - timedelta(days=1))


def land_with_bounds(conn: Connection, feed: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Land one batch whose ledger entry says between which event times it lies."""
    batch = land(conn, feed, rows)
    times = [row[FEEDS[feed].event_time] for row in rows]
    conn.execute(
        "update ops.batch set min_event_time = %s, max_event_time = %s where batch_id = %s",
        (min(times), max(times), batch),
    )
    return batch


def fill(settings: Settings, shipments: int, seed: int = 7) -> dict[str, list[dict[str, Any]]]:
    """Land a population, day by day, and transform it."""
    rows = population(shipments, seed)
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for entity in ENTITIES:
            mirror(conn, entity, rows[entity])
        for feed in EVENTS:
            at = FEEDS[feed].event_time
            days = sorted({row[at].date() for row in rows[feed]})
            for day in days:
                land_with_bounds(conn, feed, [row for row in rows[feed] if row[at].date() == day])
    transform(settings)
    return rows


def backfill(settings: Settings, feed: str = "shipment_event", span: Span = DAY, **options: Any) -> Outcome:
    """Do a backfill as the command does."""
    request = {"rows_per_chunk": options.pop("rows_per_chunk", 200), "in_flight": options.pop("in_flight", 2)}
    return run_backfill(settings, Request(feed, span, "test", **request), **options)


def standing(conn: Connection) -> list[Any]:
    """How every backfill and chunk stands."""
    return conn.execute(
        "select b.state, c.state, c.arm, c.rows_expected, c.rows_landed, c.content_hash"
        " from ops.backfill as b left join ops.backfill_chunk as c using (backfill_id) order by backfill_id, c.chunk"
    ).fetchall()
