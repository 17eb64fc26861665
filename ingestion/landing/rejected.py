"""Refused events: look at them, and land what passes now, once.

A replay decodes the kept bytes with today's contracts. What passes becomes a batch of source `replay`, landed by the
same transaction that marks its rejects `replayed`; what is still refused stays open with its latest reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa

from domain.contracts.decode import Decoded, Decoder, Refusal, Rows
from domain.contracts.model import Feed
from ingestion.landing.ledger import BatchEntry, Cut, Ledger, copy_rows, write_entries
from ingestion.landing.raw_object import ObjectPlace, encode_rows
from ingestion.landing.records import CorruptRecord, split_record

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class RejectFilter:
    """Which rejects are meant; None means any. Times are of the rejection."""

    feed: str | None = None
    rule: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: str | None = "open"
    reject_id: int | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """The filter as query parameters."""
        return dict(vars(self))


@dataclass(frozen=True)
class Reject:
    """One refused event and where it came from."""

    reject_id: int
    feed: str
    rule: str
    detail: str
    raw: bytes
    stream: str | None
    shard: str | None
    sequence_number: str | None
    sub_sequence: int | None
    rejected_at: datetime
    state: str
    attempts: int
    object_batch: int


@dataclass(frozen=True)
class Replayed:
    """What a replay did: rejects tried, landed now, still refused by rule."""

    tried: int
    landed: int
    refused: Mapping[str, int]


_WHERE = """
    (%(feed)s::text is null or feed = %(feed)s) and (%(rule)s::text is null or rule = %(rule)s)
    and (%(since)s::timestamptz is null or rejected_at >= %(since)s)
    and (%(until)s::timestamptz is null or rejected_at < %(until)s)
    and (%(state)s::text is null or state = %(state)s)
    and (%(reject_id)s::bigint is null or reject_id = %(reject_id)s)
"""


def list_rejects(conn: Connection, which: RejectFilter, limit: int) -> list[Reject]:
    """Return the newest rejects of a filter."""
    rows = conn.execute(
        "select reject_id, feed, rule, detail, raw, stream, shard, sequence_number, sub_sequence, rejected_at, state,"
        f" attempts, batch_id from ops.rejected where {_WHERE} order by reject_id desc limit %(limit)s",
        {**which.parameters, "limit": limit},
    ).fetchall()
    return [Reject(*row) for row in rows]


def count_rejects(
    conn: Connection, which: RejectFilter
) -> list[tuple[str, str, str, int, datetime, datetime]]:
    """Return feed, rule, state, how many, first and last time."""
    return conn.execute(
        "select feed, rule, state, count(*), min(rejected_at), max(rejected_at) from ops.rejected"
        f" where {_WHERE} group by feed, rule, state order by count(*) desc, feed, rule",
        which.parameters,
    ).fetchall()


def replay(
    ledger: Ledger,
    conn: Connection,
    which: RejectFilter,
    streams: Mapping[str, Sequence[Feed]],
    put_object: Callable[[str, bytes], None],
    worker: str,
    batch_size: int = 20_000,
) -> Replayed:
    """Try every reject of a filter once; safe to repeat and to run twice at once. A reject lands whole or stays.

    Raises:
        adbc Error, ClientError: the warehouse or the bucket failed; batches before that are landed.
    """
    decoders = {stream: Decoder(list(feeds)) for stream, feeds in streams.items()}
    tried = landed = 0
    refused: dict[str, int] = {}
    ids = [
        row[0]
        for row in conn.execute(
            f"select reject_id from ops.rejected where {_WHERE} order by 1",
            {**which.parameters, "state": "open"},
        ).fetchall()
    ]
    conn.rollback()
    for start in range(0, len(ids), batch_size):
        for stream, decoder in decoders.items():
            part = _replay_batch(ledger, ids[start : start + batch_size], stream, decoder, put_object, worker)
            tried, landed = tried + part.tried, landed + part.landed
            for rule, count in part.refused.items():
                refused[rule] = refused.get(rule, 0) + count
    return Replayed(tried, landed, refused)


def _replay_batch(
    ledger: Ledger,
    ids: Sequence[int],
    stream: str,
    decoder: Decoder,
    put_object: Callable[[str, bytes], None],
    worker: str,
) -> Replayed:
    with ledger.transaction() as cursor:
        cursor.execute(
            "update ops.rejected set attempts = attempts + 1 where state = 'open' and stream = $1"
            " and reject_id = any ($2::text::bigint[]) returning reject_id, raw, sequence_number",
            (stream, _array(ids)),
        )
        rejects = sorted(cursor.fetchall())
        if not rejects:
            return Replayed(0, 0, {})
        now = datetime.now(UTC)
        cut = Cut(
            [row[2] or str(row[0]) for row in rejects],
            np.full(len(rejects), int(now.timestamp() * 1_000_000), dtype=np.int64),
        )
        decoded = decoder.decode([_lines(row[1]) for row in rejects], cut.arrived_us)
        place = ObjectPlace("", "replay", stream, str(rejects[0][0]), str(rejects[-1][0]), now)
        whole = _without_halves(decoded)
        entries = [_entry(rows, place, cut, put_object, worker) for rows in whole if rows.table.num_rows]
        _resolve(cursor, entries, rejects, cut, decoded.refusals)
    refused: dict[str, int] = {}
    for refusal in decoded.refusals:
        refused[str(refusal.rule)] = refused.get(str(refusal.rule), 0) + 1
    return Replayed(len(rejects), sum(entry.accepted for entry in entries), refused)


def _without_halves(decoded: Decoded) -> list[Rows]:
    """Leave out the rows of rejects that do not pass whole: they stay open, and would land again at each replay."""
    still = np.asarray([refusal.record for refusal in decoded.refusals], dtype=np.int64)
    found = []
    for rows in decoded.rows:
        keep = ~np.isin(rows.record, still)
        found.append(Rows(rows.feed, rows.table.filter(pa.array(keep)), rows.record[keep], rows.sub[keep]))
    return found


def _entry(
    rows: Rows, place: ObjectPlace, cut: Cut, put_object: Callable[[str, bytes], None], worker: str
) -> BatchEntry:
    place = replace(place, feed=rows.feed.name)
    body = encode_rows(rows, list(cut.sequences), place)
    put_object(place.key, body)
    return BatchEntry(
        source="replay",
        feed=rows.feed.name,
        stream=place.shard,
        shard=None,
        first_sequence=place.first_sequence,
        last_sequence=place.last_sequence,
        records=len(set(rows.record.tolist())),
        worker=worker,
        epoch=None,
        rows=rows,
        refusals=(),
        object_key=place.key,
        object_bytes=len(body),
    )


def _resolve(
    cursor: Any,
    entries: Sequence[BatchEntry],
    rejects: Sequence[tuple[Any, ...]],
    cut: Cut,
    refusals: Sequence[Refusal],
) -> None:
    """Land the entries, mark what landed whole, keep the latest reason of the rest."""
    still = {refusal.record: refusal for refusal in refusals}
    if entries:
        ids = copy_rows(cursor, entries, cut)
        write_entries(cursor, ids, entries, cut)
        for batch_id, entry in zip(ids, entries, strict=True):
            assert entry.rows is not None
            landed = [rejects[i][0] for i in sorted(set(entry.rows.record.tolist()))]
            cursor.execute(
                "update ops.rejected set state = 'replayed', replayed_at = clock_timestamp(), replay_batch_id = $1"
                " where reject_id = any ($2::text::bigint[])",
                (batch_id, _array(landed)),
            )
    for index, refusal in still.items():
        cursor.execute(
            "update ops.rejected set rule = $1, detail = $2 where reject_id = $3",
            (str(refusal.rule), refusal.detail[:500].replace("\0", "\\0"), rejects[index][0]),
        )


def _lines(raw: bytes) -> list[bytes]:
    try:
        return split_record(raw) or [raw]
    except CorruptRecord:
        return [raw]


def _array(ids: Sequence[int]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"
