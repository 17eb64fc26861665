"""dbt's sources: the landing tables, the CDC mirrors with their histories, and the ledger that models read.

Required columns of landing tables and keys of mirrors are held by Postgres itself. Tests stand only where it
holds nothing and a scan is cheap: on the mirrors of the small entities, whose columns are nullable there
because the order database may drop one.
"""

from __future__ import annotations

from typing import Any

from domain.contracts.model import Choice, Column, Feed, Integer, Text, Timestamp
from domain.contracts.postgres import LANDING_COLUMNS, postgres_type

# Thousands of rows at most per tenant; every other entity grows with the business.
SMALL_ENTITIES = frozenset({"sites", "drivers", "vehicles"})

_LSN = "Position in the order database's log at which the row became so"
MIRROR_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("_lsn", "pg_lsn", _LSN),
    ("_committed_at", "timestamp with time zone", "When the order database committed it"),
    ("_deleted", "boolean", "The order database has deleted the row"),
    ("batch_id", "bigint", "The batch in ops.batch that brought the row"),
)
HISTORY_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("_op", "character(1)", "s snapshot, i insert, u update, d delete, t truncate"),
    ("_lsn", "pg_lsn", _LSN),
    ("_seq", "bigint", "Order of the changes within one transaction"),
    ("_committed_at", "timestamp with time zone", "When the order database committed it"),
    ("batch_id", "bigint", "The batch in ops.batch that brought the row"),
)
LEDGER: dict[str, tuple[str, tuple[Column, ...]]] = {
    "batch": (
        "The ledger: one row per feed and landed cut. Every landed or mirrored row names its batch.",
        (
            Column("batch_id", Integer(64), "The batch"),
            Column("source", Choice(("stream", "replay", "cdc", "partner", "backfill")), "What brought it"),
            Column("feed", Text(), "The feed or entity"),
            Column("events_read", Integer(64), "Events read: accepted + rejected", unit="events"),
            Column("accepted", Integer(64), "Events landed, repeats included", unit="events"),
            Column("rejected", Integer(64), "Events refused; each is a row in ops.rejected", unit="events"),
            Column("min_event_time", Timestamp(), "Earliest event time among the accepted", nullable=True),
            Column("max_event_time", Timestamp(), "Latest event time among the accepted", nullable=True),
            Column("landed_at", Timestamp(), "When the batch became visible"),
        ),
    ),
    "pending_batch": (
        "Batches that a pipeline has not transformed yet; run_id says which run has claimed one.",
        (
            Column("pipeline", Text(), "The pipeline"),
            Column("batch_id", Integer(64), "The batch that waits"),
            Column("run_id", Text(), "The run in ops.transform_run that claimed it", nullable=True),
        ),
    ),
}

_FRESHNESS = {
    "warn_after": {"count": 5, "period": "minute"},
    "error_after": {"count": 30, "period": "minute"},
    # Keeps the look at two of the daily partitions.
    "filter": "arrived_at >= now() - interval '1 day'",
}


def sources(feeds: dict[str, Feed], entities: dict[str, Feed]) -> dict[str, Any]:
    """Return the content of dbt's `_sources.yml`."""
    mirrors = [table for entity in entities.values() for table in (_mirror(entity), _history(entity))]
    ledger = [_ledger(name, doc, columns) for name, (doc, columns) in LEDGER.items()]
    return {
        "version": 2,
        "sources": [
            _source(
                "landing",
                "Accepted events as they arrived, repeats included; append-only, kept seven days.",
                [_landing(feed) for feed in feeds.values()],
            ),
            _source("source", "The order database as CDC mirrors it, without personal data.", mirrors),
            _source("ops", "The ledger that drives every transform run.", ledger),
        ],
    }


def describe(column: Column) -> str:
    """Return one line: meaning, unit, and range or vocabulary."""
    parts = [column.doc]
    if column.unit:
        parts.append(f"unit: {column.unit}")
    if column.between:
        parts.append(f"range: {bounds(column.between)}")
    if isinstance(column.type, Choice):
        parts.append(f"one of: {', '.join(column.type.values)}")
    return "; ".join(parts)


def bounds(between: tuple[float | None, float | None]) -> str:
    """Return a range as people read it: `0 to 250`, `from 0`, `up to 9000`."""
    low, high = (None if bound is None else str(bound) for bound in between)
    if low is not None and high is not None:
        return f"{low} to {high}"
    return f"from {low}" if low is not None else f"up to {high}"


def _source(name: str, doc: str, tables: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "schema": name, "description": doc, "tables": tables}


def _landing(feed: Feed) -> dict[str, Any]:
    config: dict[str, Any] = {"loaded_at_field": "arrived_at"}
    if feed.stream:  # when a partner's file is due, its declaration says
        config["freshness"] = _FRESHNESS
    return {
        "name": feed.name,
        "description": feed.doc,
        "config": config,
        "columns": [_column(column) for column in (*feed, *LANDING_COLUMNS)],
    }


def _mirror(entity: Feed) -> dict[str, Any]:
    held_by_postgres = {*entity.key, "tenant_id"}
    columns = [
        _column(column, tested=not column.nullable and column.name not in held_by_postgres)
        if entity.name in SMALL_ENTITIES
        else _column(column)
        for column in entity.mirrored
    ]
    return {
        "name": entity.name,
        "description": f"{entity.doc} As it is now, deleted rows kept and marked.",
        "columns": [*columns, *map(_extra, MIRROR_COLUMNS)],
    }


def _history(entity: Feed) -> dict[str, Any]:
    return {
        "name": f"{entity.name}_history",
        "description": f"{entity.doc} Every change of it, in the order of (_lsn, _seq).",
        "columns": [*map(_column, entity.mirrored), *map(_extra, HISTORY_COLUMNS)],
    }


def _ledger(name: str, doc: str, columns: tuple[Column, ...]) -> dict[str, Any]:
    typed = [_column(column) for column in columns]
    for column in typed:
        if column["name"] == "run_id":
            column["data_type"] = "uuid"
    return {"name": name, "description": doc, "columns": typed}


def _column(column: Column, *, tested: bool = False) -> dict[str, Any]:
    declared = {
        "name": column.name,
        "description": describe(column),
        "data_type": postgres_type(column.type),
    }
    return {**declared, "data_tests": ["not_null"]} if tested else declared


def _extra(column: tuple[str, str, str]) -> dict[str, Any]:
    name, data_type, doc = column
    return {"name": name, "description": doc, "data_type": data_type}
