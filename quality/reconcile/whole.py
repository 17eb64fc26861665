"""Does everything add up? Holds what landed against arms outside the lineage, feed by feed.

Arms: the sender's own truth (files that the landing never touched), the ledger, the rows in landing, the rejects, and
the footers of the raw Parquet objects. A side that cannot be counted is a failure, never a pass.
Reads only. What partners sent in files is read and landed like the rest, but no sender of the streams answers for it;
what a backfill landed again is in the ledger and in landing, and is no new row. `sent <= read` where a sender
repeated itself after a crash; the repeats are counted, and exactness is held by the distinct event ids. Landing keeps
its days only so long: rows of dropped days are taken from the ledger's word and the raw objects, and distinct ids
are held against the sender's only while no day is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from quality.reconcile.ledger import KEPT_OF_A_FILE
from quality.reconcile.sent import Sent

Connection = psycopg.Connection[tuple[Any, ...]]
CountRows = Callable[[str], int]


@dataclass(frozen=True)
class FeedReconciliation:
    """One feed's counts on every arm, and what does not add up."""

    feed: str
    sent: int | None
    read: int
    accepted: int
    rejected: int
    landed: int
    dropped: int
    distinct: int
    duplicates: int
    rejected_kept: int
    raw_rows: int | None
    repeated_by_sender: int | None
    replayed: int
    faults: tuple[str, ...]
    from_partners: int = 0
    relanded: int = 0

    @property
    def adds_up(self) -> bool:
        """Whether every arm agrees."""
        return not self.faults


def reconcile(
    conn: Connection, feeds: Sequence[str], sent: Mapping[str, Sent], count_rows: CountRows
) -> list[FeedReconciliation]:
    """Reconcile every feed, and `unknown` for events that name none.

    Args:
        conn: the warehouse, as a role that reads `ops` and `landing` of every tenant; in a repeatable-read
            transaction, or what lands meanwhile is counted on one arm and not on another.
        feeds: the feeds that have a landing table.
        sent: the senders' truth by feed; a feed that is missing was not accounted for by any sender.
        count_rows: returns the row count in the footer of a raw object; raises OSError if it cannot.
    """
    names = [*feeds, *(name for name in _other_feeds(conn, feeds, sent))]
    return [_reconcile_feed(conn, name, name in feeds, sent.get(name), count_rows) for name in names]


def _other_feeds(conn: Connection, feeds: Sequence[str], sent: Mapping[str, Sent]) -> list[str]:
    rows = conn.execute(
        "select distinct feed from ops.batch where source <> 'cdc' and feed <> all(%s)", (list(feeds),)
    ).fetchall()
    return sorted({row[0] for row in rows} | {name for name in sent if name not in feeds})


@dataclass(frozen=True)
class _Ledger:
    """The ledger's sums of a feed; `read` and `accepted` are of the stream, `whole` is accepted of every source.

    Batches that retention has dropped count by their totals; `expired` is what was accepted in them.
    """

    read: int
    accepted: int
    rejected: int
    replayed: int
    read_of_partners: int
    of_partners: int
    relanded: int
    whole: int
    with_object: int
    expired: int


def _ledger(conn: Connection, feed: str) -> _Ledger:
    return _Ledger(
        *_one(
            conn,
            "select coalesce(sum(events_read) filter (where source = 'stream'), 0),"
            " coalesce(sum(accepted) filter (where source = 'stream'), 0),"
            " coalesce(sum(rejected), 0),"
            " coalesce(sum(accepted) filter (where source = 'replay'), 0),"
            " coalesce(sum(events_read) filter (where source = 'partner'), 0),"
            " coalesce(sum(accepted) filter (where source = 'partner'), 0),"
            " coalesce(sum(accepted) filter (where source = 'backfill'), 0),"
            " coalesce(sum(accepted), 0),"
            " coalesce(sum(accepted) filter (where kept and source <> 'backfill' and object_expired_at is null), 0),"
            " coalesce(sum(accepted) filter (where not kept), 0)"
            " from (select source, events_read, accepted, rejected, object_expired_at, true as kept"
            "  from ops.batch where feed = %(feed)s union all"
            "  select source, events_read, accepted, rejected, null, false"
            "  from ops.batch_total where feed = %(feed)s) as b where source <> 'cdc'",
            {"feed": feed},
        )
    )


def _reconcile_feed(
    conn: Connection, feed: str, has_table: bool, sent: Sent | None, count_rows: CountRows
) -> FeedReconciliation:
    ledger = _ledger(conn, feed)
    rows, landed, distinct, of_streams = _landed(conn, feed) if has_table else (0, 0, 0, 0)
    dropped, row_faults = _rows_of_batches(conn, feed) if has_table else (0, [])
    dropped += ledger.expired
    kept = _one(conn, "select count(*) from ops.rejected where feed = %s", (feed,))[0]
    raw_rows, raw_faults = _raw_rows(conn, feed, count_rows)
    faults = [
        *raw_faults,
        *_differs("rows in landing", rows, "accepted in the ledger", ledger.whole - dropped),
        *row_faults,
        *_differs(
            "rejects kept", kept, "rejected in the ledger and to be kept", _rejects_to_keep(conn, feed)
        ),
        *_overlaps(conn, feed),
    ]
    if raw_rows is not None:
        faults += _differs("rows in raw objects", raw_rows, "accepted in the ledger", ledger.with_object)
    if sent is not None:
        faults += _against_sender(
            conn, feed, sent, ledger.read, None if dropped else of_streams, ledger.replayed
        )
    return FeedReconciliation(
        feed,
        sent.sent if sent else None,
        ledger.read + ledger.read_of_partners,
        ledger.accepted + ledger.of_partners,
        ledger.rejected,
        landed,
        dropped,
        distinct,
        landed - distinct,
        kept,
        raw_rows,
        ledger.read - sent.sent if sent else None,
        ledger.replayed,
        tuple(faults),
        ledger.of_partners,
        ledger.relanded,
    )


def _rejects_to_keep(conn: Connection, feed: str) -> int:
    """Sum the rejects whose rows must be there: of a partner's file the first, of days that retention dropped none."""
    return _one(
        conn,
        "select coalesce(sum(case when b.source = 'partner' then least(b.rejected, %(most)s) else b.rejected end), 0)"
        " from ops.batch as b where b.feed = %(feed)s and b.source <> 'cdc' and b.rejected > 0"
        " and not exists (select from ops.retention_action as a where a.area = 'rejects' and a.action = 'dropped'"
        "  and a.subject = 'rejects.' || b.feed || '_' || to_char(b.first_arrived_at at time zone 'UTC', 'YYYYMMDD'))",
        {"feed": feed, "most": KEPT_OF_A_FILE},
    )[0]


def _landed(conn: Connection, feed: str) -> tuple[int, int, int, int]:
    """Count all rows; without what a backfill landed again, rows and distinct ids; distinct ids of streams alone."""
    others = [
        row[0]
        for row in conn.execute(
            "select batch_id from ops.batch where feed = %s and source in ('partner', 'backfill')", (feed,)
        ).fetchall()
    ]
    table = sql.Identifier("landing", feed)
    if not others:
        rows, distinct = _one(
            conn, sql.SQL("select count(*), count(distinct event_id) from {}").format(table), ()
        )
        return rows, rows, distinct, distinct
    query = sql.SQL(
        "select count(*), count(*) filter (where b.source <> 'backfill'),"
        " count(distinct event_id) filter (where b.source <> 'backfill'),"
        " count(distinct event_id) filter (where b.source in ('stream', 'replay'))"
        " from {} as l left join ops.batch as b using (batch_id)"
    ).format(table)
    rows, landed, distinct, of_streams = _one(conn, query, ())
    return rows, landed, distinct, of_streams


def _rows_of_batches(conn: Connection, feed: str) -> tuple[int, list[str]]:
    """Hold each batch's rows against the ledger; return how many went with the days that landing has dropped."""
    batches = conn.execute(
        sql.SQL(
            "with kept as (select batch_id, count(*) as found from {table} group by 1),"
            " oldest as ("
            "  select min(to_date(right(c.relname, 8), 'YYYYMMDD'))::timestamp at time zone 'UTC' as kept_from"
            "  from pg_inherits as i join pg_class as c on c.oid = i.inhrelid"
            "  where i.inhparent = {name}::regclass and c.relname ~ '_[0-9]{{8}}$')"
            " select batch_id, coalesce(b.accepted, 0), coalesce(k.found, 0),"
            "  coalesce(b.first_arrived_at < oldest.kept_from, false)"
            " from (select * from ops.batch where feed = {feed} and source <> 'cdc') as b"
            " full join kept as k using (batch_id) cross join oldest"
            " where coalesce(b.accepted, 0) <> coalesce(k.found, 0)"
        ).format(
            table=sql.Identifier("landing", feed),
            name=sql.Literal(f'landing."{feed}"'),
            feed=sql.Literal(feed),
        )
    ).fetchall()
    dropped, faults = 0, []
    for batch_id, accepted, found, old in batches:
        if old and found < accepted:
            dropped += accepted - found
        else:
            faults += _differs(
                f"rows of batch {batch_id} in landing", found, "accepted in the ledger", accepted
            )
    return dropped, faults


def _raw_rows(conn: Connection, feed: str, count_rows: CountRows) -> tuple[int | None, list[str]]:
    """Count the rows of every object in the ledger by its footer; each must hold what the ledger says."""
    batches = conn.execute(
        "select object_key, accepted from ops.batch where feed = %s and object_key is not null"
        " and source <> 'cdc' and object_expired_at is null",
        (feed,),
    ).fetchall()
    faults: list[str] = []
    total: int | None = 0
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda batch: _count_or_fault(count_rows, batch[0]), batches))
    for (key, accepted), counted in zip(batches, counts, strict=True):
        if isinstance(counted, str):
            faults.append(counted)
            total = None
            continue
        faults += _differs(f"rows in {key}", counted, "accepted in the ledger", accepted)
        total = None if total is None else total + counted
    return total, faults


def _count_or_fault(count_rows: CountRows, key: str) -> int | str:
    try:
        return count_rows(key)
    except (OSError, ValueError) as fault:
        return f"could not count {key}: {fault}"


def _overlaps(conn: Connection, feed: str) -> list[str]:
    """A record of a shard lies in one batch of a feed, or something landed twice."""
    rows = conn.execute(
        "select stream, shard, first_sequence from ("
        "  select stream, shard, first_sequence, lag(last_sequence::numeric) over ("
        "    partition by stream, shard order by first_sequence::numeric) as before"
        "  from ops.batch where feed = %s and source = 'stream') as ranges"
        " where first_sequence::numeric <= before",
        (feed,),
    ).fetchall()
    return [
        f"{stream}/{shard}: the batch from {first} overlaps the one before" for stream, shard, first in rows
    ]


def _against_sender(
    conn: Connection, feed: str, sent: Sent, read: int, distinct: int | None, replayed: int
) -> list[str]:
    faults = [f"the sender sent {sent.sent}, only {read} were read"] if read < sent.sent else []
    of_streams = (
        "ops.rejected as r join ops.batch as b using (batch_id) where r.feed = %s and b.source <> 'partner'"
    )
    refused = _one(conn, f"select count(distinct r.raw) from {of_streams} and r.state = 'open'", (feed,))[0]
    if distinct is not None and distinct + refused < sent.most_distinct:
        faults.append(f"one sender sent {sent.most_distinct} different events, {distinct + refused} arrived")
    if distinct is not None and sent.valid_distinct is not None and not replayed:
        faults += _differs(
            "distinct events landed", distinct, "valid distinct events sent", sent.valid_distinct
        )
    if sent.invalid and read == sent.sent:
        rows = conn.execute(f"select r.rule, count(*) from {of_streams} group by r.rule", (feed,)).fetchall()
        kept = {rule: int(count) for rule, count in rows}
        for rule in sorted({*kept, *sent.invalid}):
            faults += _differs(
                f"rejected by {rule}", kept.get(rule, 0), "injected", sent.invalid.get(rule, 0)
            )
    return faults


def _differs(one: str, value: int, other: str, expected: int) -> list[str]:
    return [] if value == expected else [f"{one}: {value}, {other}: {expected}"]


def _one(conn: Connection, query: Any, parameters: tuple[Any, ...] | Mapping[str, Any]) -> tuple[int, ...]:
    row = conn.execute(query, parameters).fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return tuple(int(value) for value in row)
