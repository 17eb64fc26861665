"""The one transaction of a landing: rows by COPY, the ledger, the rejects and the checkpoint, or none of them.

Written over ADBC, which streams Arrow as binary COPY: rows, ledger and rejects go in as tables, one commit for all.
The fence is the last statement: `update ops.shard_lease ... where owner = me and epoch = mine`; no row updated means
that another worker holds the shard, and everything rolls back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.decode import Int64s, Refusal, Rows
from ingestion.landing.leases import Lease, LeaseLost

_US = pa.timestamp("us", "UTC")
_BATCH = pa.schema(
    [
        ("batch_id", pa.int64()),
        ("source", pa.string()),
        ("feed", pa.string()),
        ("stream", pa.string()),
        ("shard", pa.string()),
        ("first_sequence", pa.string()),
        ("last_sequence", pa.string()),
        ("records", pa.int32()),
        ("events_read", pa.int64()),
        ("accepted", pa.int64()),
        ("rejected", pa.int64()),
        ("object_key", pa.string()),
        ("object_bytes", pa.int64()),
        ("first_arrived_at", _US),
        ("last_arrived_at", _US),
        ("min_event_time", _US),
        ("max_event_time", _US),
        ("worker", pa.string()),
        ("epoch", pa.int64()),
        ("partner_file_id", pa.int64()),
    ]
)
_REJECTED = pa.schema(
    [
        ("batch_id", pa.int64()),
        ("feed", pa.string()),
        ("rule", pa.string()),
        ("detail", pa.string()),
        ("raw", pa.binary()),
        ("stream", pa.string()),
        ("shard", pa.string()),
        ("sequence_number", pa.string()),
        ("sub_sequence", pa.int32()),
        ("arrived_at", _US),
    ]
)


@dataclass(frozen=True)
class BatchEntry:
    """One feed's part of a cut, as it goes into the ledger. `rows` is None where every event was refused."""

    source: str
    feed: str
    stream: str | None
    shard: str | None
    first_sequence: str | None
    last_sequence: str | None
    records: int
    worker: str
    epoch: int | None
    rows: Rows | None
    refusals: Sequence[Refusal]
    object_key: str | None = None
    object_bytes: int | None = None

    @property
    def accepted(self) -> int:
        """Rows that go to landing."""
        return self.rows.table.num_rows if self.rows else 0


@dataclass(frozen=True)
class Cut:
    """What the entries of one transaction share: the records' sequence numbers and arrivals (microseconds)."""

    sequences: Sequence[str]
    arrived_us: Int64s


class Ledger:
    """One ADBC connection to the warehouse, as the loader."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._conn: Any = None

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Yield a cursor; commit at the end, roll back and reconnect next time on any fault."""
        if self._conn is None:
            self._conn = adbc.connect(self._dsn)
        cursor = self._conn.cursor()
        try:
            yield cursor
            self._conn.commit()
        except BaseException:
            self.close()
            raise
        finally:
            cursor.close()

    def close(self) -> None:
        """Drop the connection; an open transaction is rolled back by the server."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.close()


def announce_cut(ledger: Ledger, lease: Lease, last_sequence: str, lease_s: float) -> None:
    """Record, before any object is written, where the next cut ends.

    Raises:
        LeaseLost: another worker holds the shard.
    """
    with ledger.transaction() as cursor:
        cursor.execute(
            "update ops.shard_lease set cut_to = $1, updated_at = clock_timestamp(),"
            " expires_at = clock_timestamp() + $2 * interval '1 second'"
            " where stream = $3 and shard = $4 and owner = $5 and epoch = $6 returning 1",
            (last_sequence, float(lease_s), lease.stream, lease.shard, lease.owner, lease.epoch),
        )
        _require_row(cursor, lease)


def new_batch_ids(cursor: Any, count: int) -> list[int]:
    """Return batch ids that nothing else has, ascending."""
    cursor.execute("select nextval('ops.batch_id_seq') from generate_series(1, $1)", (count,))
    return [int(row[0]) for row in cursor.fetchall()]


def copy_rows(cursor: Any, entries: Sequence[BatchEntry], cut: Cut) -> list[int]:
    """Append the accepted rows to landing; return a new batch id for each entry. The caller commits."""
    ids = new_batch_ids(cursor, len(entries))
    for batch_id, entry in zip(ids, entries, strict=True):
        if entry.rows is not None and entry.accepted:
            table = _landing_table(entry.rows, batch_id, cut)
            cursor.adbc_ingest(entry.feed, table, mode="append", db_schema_name="landing")
    return ids


def write_entries(cursor: Any, ids: Sequence[int], entries: Sequence[BatchEntry], cut: Cut) -> None:
    """Append the ledger entries and their rejects. The caller commits."""
    pairs = list(zip(ids, entries, strict=True))
    append_batches(cursor, [_batch_row(i, e, cut) for i, e in pairs])
    append_rejects(cursor, [_reject_row(i, e, r, cut) for i, e in pairs for r in e.refusals])


def append_batches(cursor: Any, rows: list[dict[str, Any]]) -> None:
    """Append rows to ops.batch, columns by their names; what a row leaves out is null. The caller commits."""
    _ingest(cursor, "batch", _BATCH, rows)


def append_rejects(cursor: Any, rows: list[dict[str, Any]]) -> None:
    """Append rows to ops.rejected, if there are any; what a row leaves out is null. The caller commits."""
    if rows:
        _ingest(cursor, "rejected", _REJECTED, rows)


def advance_checkpoint(
    cursor: Any, lease: Lease, last_sequence: str | None, *, ended: bool, lease_s: float
) -> None:
    """Move the shard's checkpoint under the fence; `ended` closes a drained shard.

    Raises:
        LeaseLost: another worker holds the shard; the caller's transaction rolls back.
    """
    cursor.execute(
        "update ops.shard_lease set checkpoint = coalesce(nullif($1, ''), checkpoint), cut_to = null, ended = $2,"
        " owner = case when $2 then null else owner end, updated_at = clock_timestamp(),"
        " expires_at = clock_timestamp() + $3 * interval '1 second'"
        " where stream = $4 and shard = $5 and owner = $6 and epoch = $7 returning 1",
        (last_sequence or "", ended, float(lease_s), lease.stream, lease.shard, lease.owner, lease.epoch),
    )
    _require_row(cursor, lease)


def _require_row(cursor: Any, lease: Lease) -> None:
    if cursor.fetchone() is None:
        raise LeaseLost(
            f"{lease.stream}/{lease.shard}: epoch {lease.epoch} of {lease.owner} is no longer the holder"
        )


def _landing_table(rows: Rows, batch_id: int, cut: Cut) -> pa.Table:
    count = rows.table.num_rows
    arrived = pa.array(cut.arrived_us[rows.record], pa.int64()).cast(_US)
    return (
        rows.table.replace_schema_metadata(None)
        .append_column("batch_id", pa.array(np.full(count, batch_id, dtype=np.int64)))
        .append_column("line", pa.array(np.arange(count, dtype=np.int32)))
        .append_column("arrived_at", arrived)
    )


def _batch_row(batch_id: int, entry: BatchEntry, cut: Cut) -> dict[str, Any]:
    first, last = _event_times(entry)
    arrivals = cut.arrived_us
    return {
        "batch_id": batch_id,
        "source": entry.source,
        "feed": entry.feed,
        "stream": entry.stream,
        "shard": entry.shard,
        "first_sequence": entry.first_sequence,
        "last_sequence": entry.last_sequence,
        "records": entry.records,
        "events_read": entry.accepted + len(entry.refusals),
        "accepted": entry.accepted,
        "rejected": len(entry.refusals),
        "object_key": entry.object_key,
        "object_bytes": entry.object_bytes,
        "first_arrived_at": int(arrivals.min()),
        "last_arrived_at": int(arrivals.max()),
        "min_event_time": first,
        "max_event_time": last,
        "worker": entry.worker,
        "epoch": entry.epoch,
    }


def _event_times(entry: BatchEntry) -> tuple[datetime | None, datetime | None]:
    if entry.rows is None or not entry.accepted:
        return None, None
    bounds = pc.min_max(entry.rows.table[entry.rows.feed.event_time])
    return bounds["min"].as_py(), bounds["max"].as_py()


def _reject_row(batch_id: int, entry: BatchEntry, refusal: Refusal, cut: Cut) -> dict[str, Any]:
    return {
        "batch_id": batch_id,
        "feed": refusal.feed,
        "rule": str(refusal.rule),
        "detail": refusal.detail[:500].replace("\0", "\\0"),
        "raw": refusal.raw,
        "stream": entry.stream,
        "shard": entry.shard,
        "sequence_number": cut.sequences[refusal.record],
        "sub_sequence": refusal.sub,
        "arrived_at": int(cut.arrived_us[refusal.record]),
    }


def _ingest(cursor: Any, table: str, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    cursor.adbc_ingest(table, pa.Table.from_pylist(rows, schema=schema), mode="append", db_schema_name="ops")
