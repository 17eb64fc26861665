"""What the warehouse remembers of a slot: where it stands, each pull, each batch, each change of schema.

Writes ops.cdc_source, ops.cdc_pull, ops.batch and ops.schema_change. A table's known layout is the `after` of
its latest schema change that was followed: the log of changes is the state, nothing can contradict it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from ingestion.cdc.errors import AlreadyRunningError, SchemaDriftError
from ingestion.cdc.layout import Layout
from ingestion.cdc.lsn import format_lsn, parse_lsn

Connection = psycopg.Connection[tuple[Any, ...]]

_REFUSED = "refused: "


@dataclass(frozen=True)
class Source:
    """A slot in the ledger; `applied_lsn` is None while its snapshot is unfinished."""

    slot: str
    publication: str
    epoch: int
    applied_lsn: int | None
    snapshot_at: datetime | None


def require_idle(connection: Connection, name: str) -> None:
    """Refuse a connection that is inside a transaction: what is committed here would not be."""
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise ValueError(f"the {name} connection is inside a transaction; hand in an idle one")


@contextmanager
def exclusive(warehouse: Connection, slot: str) -> Iterator[None]:
    """Keep every other pull or snapshot of the slot out; the lock ends with the connection at the latest.

    Raises:
        AlreadyRunningError: somebody else is at work.
        ValueError: the connection is inside a transaction, so nothing could be committed on its own.
    """
    require_idle(warehouse, "warehouse")
    key = f"fleetflow.cdc.{slot}"
    with warehouse.transaction():
        row = warehouse.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)).fetchone()
    if row is None or not row[0]:
        raise AlreadyRunningError(f"another pull or snapshot of slot {slot} is at work")
    try:
        yield
    finally:
        if not warehouse.closed:
            with warehouse.transaction():
                warehouse.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))


def read_source(warehouse: Connection, slot: str) -> Source | None:
    """Return what is known of the slot."""
    with warehouse.transaction():
        row = warehouse.execute(
            "select publication, epoch, applied_lsn::text, snapshot_at from ops.cdc_source where slot = %s",
            (slot,),
        ).fetchone()
    if row is None:
        return None
    return Source(slot, row[0], row[1], parse_lsn(row[2]) if row[2] else None, row[3])


def announce_snapshot(warehouse: Connection, slot: str, publication: str) -> int:
    """Write down, before the slot is made, that one will be; return the epoch that it opens.

    Whoever finds a slot and this note, but no position, knows that the slot is an orphan of a crash.
    """
    with warehouse.transaction():
        row = warehouse.execute(
            "insert into ops.cdc_source as known (slot, publication) values (%s, %s)"
            " on conflict (slot) do update set publication = excluded.publication, applied_lsn = null,"
            " epoch = known.epoch + (known.applied_lsn is not null)::int, updated_at = clock_timestamp()"
            " returning epoch",
            (slot, publication),
        ).fetchone()
    assert row is not None
    return int(row[0])


def record_snapshot(warehouse: Connection, slot: str, lsn: int) -> None:
    """Note, in the snapshot's own transaction, that it is complete."""
    position = format_lsn(lsn)
    warehouse.execute(
        "update ops.cdc_source set applied_lsn = %s::text::pg_lsn, snapshot_lsn = %s::text::pg_lsn,"
        " snapshot_at = clock_timestamp(), updated_at = clock_timestamp() where slot = %s",
        (position, position, slot),
    )


def record_applied(warehouse: Connection, source: Source, before: int, after: int) -> None:
    """Move the applied position, in the transaction that applied the changes.

    Raises:
        AlreadyRunningError: the position is no longer the one this pull started from; nothing may be
            committed.
    """
    moved = warehouse.execute(
        "update ops.cdc_source set applied_lsn = %s::text::pg_lsn, updated_at = clock_timestamp()"
        " where slot = %s and epoch = %s and applied_lsn = %s::text::pg_lsn",
        (format_lsn(after), source.slot, source.epoch, format_lsn(before)),
    ).rowcount
    if moved != 1:
        raise AlreadyRunningError(f"slot {source.slot} moved on from {format_lsn(before)} under another hand")


def next_batch_id(warehouse: Connection) -> int:
    """Reserve a batch id, so that rows can carry it before their count is known."""
    row = warehouse.execute("select nextval('ops.batch_id_seq')").fetchone()
    assert row is not None
    return int(row[0])


@dataclass(frozen=True)
class Batch:
    """The changes of one entity that one transaction brought; times in microseconds since 2000-01-01 UTC."""

    batch_id: int
    entity: str
    changes: int
    first_lsn: int
    last_lsn: int
    first_us: int
    last_us: int


def record_batch(warehouse: Connection, slot: str, epoch: int, worker: str, batch: Batch) -> None:
    """Enter the batch; the ledger's trigger hands it to the pipelines that want the entity."""
    warehouse.execute(
        "with times as (select timestamptz '2000-01-01 00:00:00Z' as zero)"
        " insert into ops.batch (batch_id, source, feed, stream, first_sequence, last_sequence, records,"
        " events_read, accepted, rejected, first_arrived_at, last_arrived_at,"
        " min_event_time, max_event_time, worker, epoch)"
        " select %(id)s, 'cdc', %(entity)s, %(slot)s, %(first)s, %(last)s, %(changes)s,"
        " %(changes)s, %(changes)s, 0, now(), now(), zero + %(first_us)s * interval '1 microsecond',"
        " zero + %(last_us)s * interval '1 microsecond', %(worker)s, %(epoch)s from times",
        {
            "id": batch.batch_id, "entity": batch.entity, "slot": slot, "first": format_lsn(batch.first_lsn),
            "last": format_lsn(batch.last_lsn), "changes": batch.changes, "first_us": batch.first_us,
            "last_us": batch.last_us, "worker": worker, "epoch": epoch,
        },
    )  # fmt: skip


@dataclass(frozen=True)
class Pull:
    """One line of ops.cdc_pull."""

    kind: str
    started_at: datetime
    seconds: float
    changes: int
    from_lsn: int | None
    to_lsn: int
    lag_bytes: int
    retained_bytes: int


def record_pull(warehouse: Connection, slot: str, epoch: int, pull: Pull) -> None:
    """Enter a finished pull or snapshot."""
    with warehouse.transaction():
        warehouse.execute(
            "insert into ops.cdc_pull (slot, epoch, kind, started_at, seconds, changes, from_lsn, to_lsn,"
            " lag_bytes, retained_bytes) values (%s, %s, %s, %s, %s, %s, %s::text::pg_lsn, %s::text::pg_lsn, %s, %s)",
            (
                slot, epoch, pull.kind, pull.started_at, pull.seconds, pull.changes,
                None if pull.from_lsn is None else format_lsn(pull.from_lsn), format_lsn(pull.to_lsn),
                pull.lag_bytes, pull.retained_bytes,
            ),
        )  # fmt: skip


def read_layouts(warehouse: Connection, slot: str) -> dict[str, Layout]:
    """Return each entity's layout as of the applied position."""
    rows = warehouse.execute(
        "select distinct on (entity) entity, after from ops.schema_change"
        " where source = %s and not starts_with(change, %s) order by entity, schema_change_id desc",
        (slot, _REFUSED),
    ).fetchall()
    return {entity: Layout.from_json(after) for entity, after in rows}


def record_change(
    warehouse: Connection,
    slot: str,
    entity: str,
    change: tuple[str, str],
    layouts: tuple[Layout | None, Layout],
    lsn: int,
) -> None:
    """Enter a change that was followed: what it was, in words, and the layouts before and after it."""
    before, after = layouts
    warehouse.execute(
        "insert into ops.schema_change (source, entity, change, detail, before, after, lsn)"
        " values (%s, %s, %s, %s, %s, %s, %s::text::pg_lsn)",
        (slot, entity, *change, before and Jsonb(before.to_json()), Jsonb(after.to_json()), format_lsn(lsn)),
    )


def record_refusal(warehouse: Connection, slot: str, drift: SchemaDriftError) -> None:
    """Enter, once, a change that the mirror does not follow."""
    values: Mapping[str, Any] = {
        "slot": slot,
        "entity": drift.entity,
        "change": f"{_REFUSED}{drift.change}",
        "detail": drift.detail,
        "lsn": format_lsn(drift.lsn),
    }
    with warehouse.transaction():
        warehouse.execute(
            "insert into ops.schema_change (source, entity, change, detail, lsn)"
            " select %(slot)s, %(entity)s, %(change)s, %(detail)s, %(lsn)s::text::pg_lsn where not exists ("
            " select from ops.schema_change where source = %(slot)s and entity = %(entity)s"
            " and change = %(change)s and lsn = %(lsn)s::text::pg_lsn)",
            values,
        )


def read_departed(warehouse: Connection, slot: str) -> list[str]:
    """Return the entities that were found gone from the publication since the last snapshot.

    What changed meanwhile was never in the stream; only a new snapshot brings it, even if the table is back.
    """
    rows = warehouse.execute(
        "select distinct c.entity from ops.schema_change as c join ops.cdc_source as s on s.slot = c.source"
        " where c.source = %s and c.change = %s and c.seen_at > s.snapshot_at order by 1",
        (slot, f"{_REFUSED}drop table"),
    ).fetchall()
    return [entity for (entity,) in rows]


def last_pull(warehouse: Connection, slot: str) -> datetime | None:
    """Return when the latest finished pull or snapshot of the slot began."""
    with warehouse.transaction():
        row = warehouse.execute(
            "select max(started_at) from ops.cdc_pull where slot = %s", (slot,)
        ).fetchone()
    return row[0] if row else None
