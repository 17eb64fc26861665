"""The raw objects of a window: those that are listed, their sizes, and the rows their Parquet footers tell.

Hour by hour, so that a day's objects are never held at once. A listing costs one call per thousand objects, a footer
two small reads; footers are read by many threads at once, and only of what has changed: where every object of an hour
has the key, size and tag, and every batch the ledger's entry, that an earlier count found right, that count stands.
An object that no ledger row names is what a landing that never committed left behind: it is named, and is no fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from quality.reconcile.model import Cause, Connection, CouldNotCount, Counted, Difference, Mend, Note

READERS = 32
MOST = 10_000
"""So many differences of a window are named and mended at a time; the others are counted, and come next."""
_HOUR = timedelta(hours=1)
_SETTLED = timedelta(minutes=15)


class Listed(NamedTuple):
    """What a listing says of an object; the tag (S3's ETag) changes with its content."""

    size: int
    changed_at: datetime
    tag: str


class RawStore(Protocol):
    """The bucket of raw objects."""

    def listing(self, prefix: str) -> Mapping[str, Listed]:
        """Return what is said of each object below a prefix, by key.

        Raises:
            CouldNotCount: the bucket cannot be listed.
        """

    def rows(self, key: str) -> int:
        """Return the rows that the footer of an object tells.

        Raises:
            FileNotFoundError: there is no such object.
            ValueError: it is no whole Parquet file.
            OSError: it cannot be read.
        """


class _Batch(NamedTuple):
    """A batch that has, or should have, an object."""

    batch_id: int
    key: str | None
    accepted: int
    size: int | None
    expired_at: datetime | None


@dataclass
class _Totals:
    """What the hours of a window come to."""

    objects: int = 0
    rows: int = 0
    size: int = 0
    expired: int = 0
    footers: int = 0
    unnamed: int = 0
    leftovers: list[str] = field(default_factory=list)
    left: int = 0


def count_objects(conn: Connection, counted: Counted, store: RawStore) -> None:
    """Hold each raw object of the window against the ledger: it is there, as large, and of as many rows.

    Ends the connection's transaction before it reads objects, so that nothing waits for that in the warehouse.
    """
    totals, at = _Totals(), counted.window.start
    try:
        while at < counted.window.end:
            _count_hour(conn, counted, store, at, totals)
            at += _HOUR
    except CouldNotCount as fault:
        counted.differences.append(Difference("raw objects", Cause.NOT_COUNTED, str(fault)))
        counted.counts |= {"objects": None, "raw_rows": None, "raw_bytes": None}
        counted.objects_digest = None
        return
    counted.counts |= {
        "objects": totals.objects,
        "raw_rows": totals.rows,
        "raw_bytes": totals.size,
        "footers_read": totals.footers,
    }
    if totals.expired:
        counted.counts["objects_expired"] = totals.expired
    if totals.unnamed:
        words = f"{totals.unnamed} more raw objects differ"
        counted.differences.append(Difference("raw objects", Cause.CHANGED, words, totals.unnamed))
    if totals.left:
        words = f"objects of no ledger row, left by landings that never committed, for example {totals.leftovers[0]}"
        counted.notes.append(Note(Cause.EXTRA, words, totals.left))
    if counted.window.end - counted.window.start != _HOUR or _differ(counted):
        counted.objects_digest = None


def _differ(counted: Counted) -> bool:
    return any(difference.arm == "raw objects" for difference in counted.differences)


def _count_hour(
    conn: Connection, counted: Counted, store: RawStore, start: datetime, totals: _Totals
) -> None:
    feed = counted.window.feed
    listed = store.listing(f"raw/{feed}/arrival_date={start:%Y-%m-%d}/arrival_hour={start:%H}/")
    batches = _batches(conn, feed, start)
    counted.objects_digest = digest = _digest(feed, start, batches, listed)
    trusted = _was_counted(conn, feed, digest)
    left = _leftovers(conn, counted, start, batches, listed)
    conn.commit()
    totals.leftovers += left[:1]
    totals.left += len(left)
    there = [batch for batch in batches if batch.expired_at is None]
    totals.expired += len(batches) - len(there)
    kept = {batch.batch_id for batch in there if trusted and batch.key in listed}
    asked = [batch for batch in there if batch.batch_id not in kept]
    totals.footers += len(asked)
    totals.objects += len(kept)
    totals.rows += sum(batch.accepted for batch in there if batch.batch_id in kept)
    totals.size += sum(batch.size or 0 for batch in there if batch.batch_id in kept)
    with ThreadPoolExecutor(READERS) as pool:
        for batch, found in zip(asked, pool.map(lambda one: _look(store, one, listed), asked), strict=True):
            if isinstance(found, int):
                totals.objects, totals.rows = totals.objects + 1, totals.rows + found
                totals.size += batch.size or 0
            elif len(counted.differences) < MOST:
                counted.differences.append(found)
            else:
                totals.unnamed += 1


def _batches(conn: Connection, feed: str, start: datetime) -> list[_Batch]:
    rows = conn.execute(
        "select b.batch_id, b.object_key, b.accepted, b.object_bytes, b.object_expired_at"
        " from ops.batch as b where b.feed = %s and b.source not in ('cdc', 'backfill') and b.accepted > 0"
        " and b.first_arrived_at >= %s and b.first_arrived_at < %s order by b.batch_id",
        (feed, start, start + _HOUR),
    ).fetchall()
    return [_Batch(*row) for row in rows]


def _digest(feed: str, start: datetime, batches: Sequence[_Batch], listed: Mapping[str, Listed]) -> str:
    """Return a digest of everything that a count of the hour's objects depends on, but for their content itself."""
    sums = hashlib.sha256(f"{feed} {start.isoformat()}".encode())
    for batch in batches:
        entry = listed.get(batch.key or "")
        said = (batch.batch_id, batch.key, batch.accepted, batch.size, batch.expired_at is not None)
        sums.update(repr((*said, entry and entry.size, entry and entry.tag)).encode())
    return sums.hexdigest()


def _was_counted(conn: Connection, feed: str, digest: str) -> bool:
    """Whether an earlier attempt has counted exactly this and found nothing to differ; only such ones keep a digest."""
    row = conn.execute(
        "select exists (select from ops.reconciliation where objects_digest = %s and feed = %s)",
        (digest, feed),
    ).fetchone()
    return bool(row and row[0])


def _look(store: RawStore, batch: _Batch, listed: Mapping[str, Listed]) -> Difference | int:
    number, key, accepted = batch.batch_id, batch.key, batch.accepted
    if key is None:
        words = f"batch {number}: the ledger names no object for its {accepted} rows"
        return Difference("raw objects", Cause.MISSING, words, accepted, None, number)
    try:
        rows = store.rows(key)
    except FileNotFoundError:
        words = f"batch {number}: {key} is gone, {accepted} rows"
        return Difference("raw objects", Cause.MISSING, words, accepted, Mend.OBJECT, number)
    except ValueError as fault:
        words = f"batch {number}: {key} is damaged: {fault}"
        return Difference("raw objects", Cause.CHANGED, words, accepted, Mend.OBJECT, number)
    except OSError as fault:
        return Difference("raw objects", Cause.NOT_COUNTED, f"could not count {key}: {fault}")
    known = listed.get(key)
    if rows != accepted:
        words = f"batch {number}: {rows} rows in {key}, the ledger says {accepted}"
    elif known is not None and batch.size is not None and known.size != batch.size:
        words = f"batch {number}: {key} has {known.size} bytes, the ledger says {batch.size}"
    else:
        return rows
    return Difference("raw objects", Cause.CHANGED, words, abs(rows - accepted) or 1, Mend.OBJECT, number)


def _leftovers(
    conn: Connection,
    counted: Counted,
    start: datetime,
    batches: Sequence[_Batch],
    listed: Mapping[str, Listed],
) -> list[str]:
    """Return the objects that no ledger row names; what was written just now may be about to be committed."""
    named = {batch.key for batch in batches}
    old = [
        key for key, entry in listed.items() if key not in named and entry.changed_at < counted.at - _SETTLED
    ]
    if not old:
        return []
    rows = conn.execute(
        "select k.key from unnest(%s::text[]) as k (key) where not exists ("
        " select from ops.batch as b where b.feed = %s and b.object_key = k.key"
        "  and b.first_arrived_at >= %s - interval '1 day' and b.first_arrived_at < %s + interval '1 day')",
        (old, counted.window.feed, start, start + _HOUR),
    ).fetchall()
    return [row[0] for row in rows]
