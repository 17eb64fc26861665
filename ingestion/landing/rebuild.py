"""Mends one arm of the landing from another: a raw object from landing or the stream, landing's rows from the object.

The stream, while it retains a batch's records, gives everything again: the same object to the byte, each row's own
arrival. Landing does not know a row's place in its stream, so an object made from it leaves `stream_sequence` and
`sub_sequence` null (and a partner's line hashes 0: a later correction lands its lines again), and its metadata says
`fleetflow.rebuilt_from: landing`. An object does not know arrivals, so rows from it get their batch's first arrival.
Safe to repeat and to kill: an object is put whole; rows go in one transaction that first looks which are there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from domain.contracts.decode import Decoder, Int64s, Rows
from domain.contracts.model import Feed
from ingestion.landing.ledger import Ledger
from ingestion.landing.raw_object import ObjectPlace, encode_rows
from ingestion.landing.records import Record, read_record

_US = pa.timestamp("us", "UTC")
_HASHES = ("line_hash", "content_hash")
_READS = 2000

Step = Callable[[str], None]
PutObject = Callable[[str, bytes], None]


class ArmGone(Exception):
    """The arm that a repair needs does not hold the batch; the message says what it holds."""


@dataclass(frozen=True)
class LandedBatch:
    """A batch as the ledger knows it."""

    batch_id: int
    source: str
    feed: str
    stream: str | None
    shard: str | None
    first_sequence: str
    last_sequence: str
    accepted: int
    object_key: str
    first_arrived_at: datetime


@dataclass(frozen=True)
class Recovered:
    """A batch's rows, out of the stream: as they were decoded, with their records' sequence numbers and arrivals."""

    rows: Rows
    sequences: list[str]
    arrived_us: Int64s


def read_batch(cursor: Any, batch_id: int) -> LandedBatch:
    """Read a batch that has an object from the ledger.

    Raises:
        ArmGone: there is no such batch.
    """
    cursor.execute(
        "select batch_id, source, feed, stream, shard, coalesce(first_sequence, ''), coalesce(last_sequence, ''),"
        " accepted, object_key, first_arrived_at from ops.batch where batch_id = $1 and object_key is not null",
        (batch_id,),
    )
    row = cursor.fetchone()
    if row is None:
        raise ArmGone(f"batch {batch_id} has no object in the ledger")
    return LandedBatch(*row)


def recover(kinesis: Any, batch: LandedBatch, feeds: Sequence[Feed]) -> Recovered | None:
    """Read a batch's records from its shard once more; None where the stream does not hold all of them any more.

    Args:
        kinesis: a client.
        batch: what to recover.
        feeds: the feeds that the stream carries: all of them tell an event of one from an event of another.
    """
    if batch.source != "stream" or batch.stream is None or batch.shard is None:
        return None
    records = _read_range(kinesis, batch)
    if (
        not records
        or records[0].sequence != batch.first_sequence
        or records[-1].sequence != batch.last_sequence
    ):
        return None
    arrived = np.asarray([int(r.arrived_at.timestamp() * 1_000_000) for r in records], dtype=np.int64)
    decoded = Decoder(list(feeds)).decode([record.lines for record in records], arrived)
    for rows in decoded.rows:
        if rows.feed.name == batch.feed and rows.table.num_rows == batch.accepted:
            return Recovered(rows, [record.sequence for record in records], arrived)
    return None


def _read_range(kinesis: Any, batch: LandedBatch) -> list[Record]:
    found: list[Record] = []
    try:
        iterator = kinesis.get_shard_iterator(
            StreamName=batch.stream, ShardId=batch.shard, ShardIteratorType="AT_SEQUENCE_NUMBER",
            StartingSequenceNumber=batch.first_sequence,
        )["ShardIterator"]  # fmt: skip
        while iterator is not None:
            answer = kinesis.get_records(ShardIterator=iterator, Limit=_READS)
            for entry in answer["Records"]:
                if int(entry["SequenceNumber"]) > int(batch.last_sequence):
                    return found
                found.append(read_record(entry))
            done = found and int(found[-1].sequence) >= int(batch.last_sequence)
            if done or (not answer["Records"] and not answer.get("MillisBehindLatest")):
                return found
            iterator = answer.get("NextShardIterator")
    except ClientError:
        return []  # trimmed, deleted or refused: the stream is no arm then
    return found


def rebuild_object(
    ledger: Ledger, batch: LandedBatch, recovered: Recovered | None, put: PutObject, step: Step
) -> str:
    """Write a batch's raw object again, under its key and with its rows; return which arm they came from.

    Raises:
        ArmGone: neither the stream nor landing holds the rows.
    """
    if recovered is not None:
        body, arm = _encode_recovered(batch, recovered), "the stream"
    else:
        body, arm = _encode_landed(batch, _landed_rows(ledger, batch)), "landing"
    step("before object")
    put(batch.object_key, body)
    step("after object")
    with ledger.transaction() as cursor:
        cursor.execute(
            "update ops.batch set object_bytes = $1, object_expired_at = null where batch_id = $2",
            (len(body), batch.batch_id),
        )
    return arm


def _encode_recovered(batch: LandedBatch, found: Recovered) -> bytes:
    place = ObjectPlace(
        batch.feed,
        str(batch.stream),
        str(batch.shard),
        batch.first_sequence,
        batch.last_sequence,
        batch.first_arrived_at,
    )
    return encode_rows(found.rows, found.sequences, place)


def _landed_rows(ledger: Ledger, batch: LandedBatch) -> pa.Table:
    feed = FEEDS[batch.feed]
    names = ", ".join(f'"{name}"' for name in arrow_schema(feed).names)
    with ledger.transaction() as cursor:
        cursor.execute(
            f'select {names} from landing."{feed.name}" where batch_id = $1 order by line', (batch.batch_id,)
        )
        table = cursor.fetch_arrow_table()
    if table.num_rows != batch.accepted:
        raise ArmGone(
            f"batch {batch.batch_id}: landing holds {table.num_rows} of its {batch.accepted} rows, and the stream none"
        )
    return pa.table([table[f.name].cast(f.type) for f in arrow_schema(feed)], schema=arrow_schema(feed))


def _encode_landed(batch: LandedBatch, table: pa.Table) -> bytes:
    count = table.num_rows
    facts = {
        b"fleetflow.feed": batch.feed.encode(),
        b"fleetflow.rebuilt_from": b"landing",
        b"fleetflow.first_sequence": batch.first_sequence.encode(),
        b"fleetflow.last_sequence": batch.last_sequence.encode(),
    }
    if batch.stream:
        facts[b"fleetflow.shard"] = f"{batch.stream}/{batch.shard}".encode()
    table = table.append_column("stream_sequence", pa.nulls(count, pa.string())).append_column(
        "sub_sequence", pa.nulls(count, pa.int32())
    )
    if batch.source == "partner":
        for name in _HASHES:
            table = table.append_column(name, pa.array(np.zeros(count, np.int64)))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **facts})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", compression_level=3)
    return buffer.getvalue()


def reland_rows(
    ledger: Ledger,
    batch: LandedBatch,
    recovered: Recovered | None,
    read_object: Callable[[str], pa.Table],
    step: Step,
) -> tuple[int, str]:
    """Put a batch's missing rows back under its id, in one transaction; return how many, and the arm they came from.

    Row n of the object is line n of the batch, so exactly those lines go in that are not there.

    Raises:
        ArmGone: neither the stream nor the object holds the rows.
    """
    if recovered is not None:
        table, arm = recovered.rows.table, "the stream"
        arrived = pa.array(recovered.arrived_us[recovered.rows.record], pa.int64()).cast(_US)
    else:
        table, arm = _object_rows(batch, read_object), "the raw object"
        arrived = pa.array([batch.first_arrived_at] * table.num_rows, _US)
    with ledger.transaction() as cursor:
        cursor.execute("select pg_advisory_xact_lock(hashtextextended('reland', $1))", (batch.batch_id,))
        cursor.fetchone()
        cursor.execute(
            "select ops.create_landing_day($1, d::date) from generate_series($2::date, $3::date, '1 day') as d",
            (batch.feed, *_days(arrived)),
        )
        cursor.fetchall()
        cursor.execute(f'select line from landing."{batch.feed}" where batch_id = $1', (batch.batch_id,))
        there = cursor.fetch_arrow_table()["line"].to_numpy()
        missing = np.setdiff1d(np.arange(batch.accepted, dtype=np.int32), there)
        cursor.adbc_ingest(
            batch.feed,
            _landing_table(table, batch, arrived, missing),
            mode="append",
            db_schema_name="landing",
        )
        step("rows before commit")
    step("rows after commit")
    return len(missing), arm


def _days(arrived: pa.Array) -> tuple[str, str]:
    days = [at.date().isoformat() for at in arrived.to_pylist()[:: max(len(arrived) - 1, 1)]]
    return min(days), max(days)


def _object_rows(batch: LandedBatch, read_object: Callable[[str], pa.Table]) -> pa.Table:
    schema = arrow_schema(FEEDS[batch.feed])
    try:
        table = read_object(batch.object_key)
    except (OSError, ValueError) as fault:
        raise ArmGone(
            f"batch {batch.batch_id}: {batch.object_key} cannot be read, and the stream holds none of it: {fault}"
        ) from fault
    if table.num_rows != batch.accepted:
        raise ArmGone(
            f"batch {batch.batch_id}: {batch.object_key} has {table.num_rows} rows, not {batch.accepted}"
        )
    columns = [
        table[f.name].cast(f.type) if f.name in table.column_names else pa.nulls(table.num_rows, f.type)
        for f in schema
    ]
    return pa.table(columns, schema=schema)


def _landing_table(table: pa.Table, batch: LandedBatch, arrived: pa.Array, lines: Int64s) -> pa.Table:
    at = pa.array(lines, pa.int64())
    return (
        table.replace_schema_metadata(None)
        .take(at)
        .append_column("batch_id", pa.array(np.full(len(lines), batch.batch_id, dtype=np.int64)))
        .append_column("line", pa.array(lines.astype(np.int32)))
        .append_column("arrived_at", arrived.take(at))
    )


def queue_again(ledger: Ledger, pipeline: str, batch_ids: Sequence[int], *, refold: bool) -> None:
    """Hand batches to a pipeline once more, in one transaction.

    `refold` also distrusts what is stored of their entities: these are folded again from their first event.
    """
    ids = "{" + ",".join(map(str, batch_ids)) + "}"
    with ledger.transaction() as cursor:
        cursor.execute(
            "delete from ops.transformed_batch where pipeline = $1 and batch_id = any($2::text::bigint[])",
            (pipeline, ids),
        )
        cursor.execute(
            "insert into ops.pending_batch (pipeline, batch_id, priority) select $1, unnest($2::text::bigint[]), $3"
            " on conflict do nothing",
            (pipeline, ids, 1 if refold else 0),
        )


def frontier(
    kinesis: Any, stream: str, checkpoints: Mapping[str, str | None], shards: Sequence[str]
) -> dict[str, datetime | None]:
    """Ask the stream, shard by shard, when the oldest record beyond the checkpoint arrived; None where there is none.

    Raises:
        botocore.exceptions.ClientError: the stream is missing or refuses.
    """
    return {shard: _oldest_after(kinesis, stream, shard, checkpoints.get(shard)) for shard in shards}


def _oldest_after(kinesis: Any, stream: str, shard: str, checkpoint: str | None) -> datetime | None:
    place = (
        {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": checkpoint}
        if checkpoint
        else {"ShardIteratorType": "TRIM_HORIZON"}
    )
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, **place)["ShardIterator"]
    while iterator is not None:
        answer = kinesis.get_records(ShardIterator=iterator, Limit=1)
        if answer["Records"]:
            at: datetime = answer["Records"][0]["ApproximateArrivalTimestamp"]
            return at
        if not answer.get("MillisBehindLatest"):
            return None
        iterator = answer.get("NextShardIterator")
    return None
