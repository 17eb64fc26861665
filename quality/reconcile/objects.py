"""The raw objects of a window: those that are listed, their sizes, and the rows their Parquet footers tell.

The listing costs one call per thousand objects, a footer two small reads; footers are read by many threads at once.
An object that no ledger row names is what a landing that never committed left behind: it is named, and is no fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from quality.reconcile.ledger import values
from quality.reconcile.model import Cause, Connection, CouldNotCount, Counted, Difference, Mend, Note

READERS = 32
CHUNK = 4096
_SETTLED = timedelta(minutes=15)


class RawStore(Protocol):
    """The bucket of raw objects."""

    def listing(self, prefix: str) -> Mapping[str, tuple[int, datetime]]:
        """Return size and time of change of each object below a prefix, by key.

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


def count_objects(conn: Connection, counted: Counted, store: RawStore) -> None:
    """Hold each raw object of the window against the ledger: it is there, as large, and of as many rows."""
    try:
        listed = _listing(store, counted)
    except CouldNotCount as fault:
        counted.differences.append(Difference("raw objects", Cause.NOT_COUNTED, str(fault)))
        counted.counts |= {"objects": None, "raw_rows": None, "raw_bytes": None}
        return
    objects = rows = size = expired = 0
    batches = _batches(conn, counted)
    with ThreadPoolExecutor(READERS) as pool:
        while chunk := list(islice(batches, CHUNK)):
            for batch, found in zip(chunk, pool.map(lambda b: _look(store, b, listed), chunk), strict=True):
                if batch[5] is not None:
                    expired += 1
                elif isinstance(found, Difference):
                    counted.differences.append(found)
                else:
                    objects, rows = objects + 1, rows + found
                    size += batch[3] or 0
    counted.counts |= {"objects": objects, "raw_rows": rows, "raw_bytes": size}
    if expired:
        counted.counts["objects_expired"] = expired
    _note_leftovers(conn, counted, listed)


def _batches(conn: Connection, counted: Counted) -> Iterator[tuple[Any, ...]]:
    """Yield batch id, key, rows, bytes, source and when the object expired; by a cursor, for a day has many."""
    with conn.cursor(name="reconcile_objects") as cursor:
        cursor.itersize = CHUNK
        cursor.execute(
            "select b.batch_id, b.object_key, b.accepted, b.object_bytes, b.source, b.object_expired_at"
            " from ops.batch as b where b.feed = %(feed)s and b.source not in ('cdc', 'backfill') and b.accepted > 0"
            " and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s order by b.batch_id",
            values(counted.window),
        )
        yield from cursor


def _listing(store: RawStore, counted: Counted) -> dict[str, tuple[int, datetime]]:
    window = counted.window
    found: dict[str, tuple[int, datetime]] = {}
    at = window.start
    while at < window.end:
        prefix = f"raw/{window.feed}/arrival_date={at:%Y-%m-%d}/arrival_hour={at:%H}/"
        found.update(store.listing(prefix))
        at += timedelta(hours=1)
    return found


def _look(
    store: RawStore, batch: tuple[Any, ...], listed: Mapping[str, tuple[int, datetime]]
) -> Difference | int:
    batch_id, key, accepted, size, _, expired_at = batch
    if expired_at is not None:
        return 0
    if key is None:
        return _missing(
            batch_id, f"batch {batch_id}: the ledger names no object for its {accepted} rows", accepted, None
        )
    try:
        rows = store.rows(key)
    except FileNotFoundError:
        return _missing(batch_id, f"batch {batch_id}: {key} is gone, {accepted} rows", accepted)
    except ValueError as fault:
        words = f"batch {batch_id}: {key} is damaged: {fault}"
        return Difference("raw objects", Cause.CHANGED, words, accepted, Mend.OBJECT, batch_id)
    except OSError as fault:
        return Difference("raw objects", Cause.NOT_COUNTED, f"could not count {key}: {fault}")
    known = listed.get(key)
    if rows != accepted:
        words = f"batch {batch_id}: {rows} rows in {key}, the ledger says {accepted}"
    elif known is not None and size is not None and known[0] != size:
        words = f"batch {batch_id}: {key} has {known[0]} bytes, the ledger says {size}"
    else:
        return rows
    return Difference("raw objects", Cause.CHANGED, words, abs(rows - accepted) or 1, Mend.OBJECT, batch_id)


def _missing(batch_id: int, words: str, rows: int, mend: Mend | None = Mend.OBJECT) -> Difference:
    return Difference("raw objects", Cause.MISSING, words, rows, mend, batch_id)


def _note_leftovers(conn: Connection, counted: Counted, listed: Mapping[str, tuple[int, datetime]]) -> None:
    """Name objects that no ledger row does; what was written just now may be about to be committed."""
    if len(listed) == counted.counts["objects"]:
        return
    old = [key for key, (_, changed_at) in listed.items() if changed_at < counted.at - _SETTLED]
    rows = conn.execute(
        "select k.key from unnest(%s::text[]) as k (key) where not exists ("
        " select from ops.batch as b where b.feed = %s and b.object_key = k.key"
        "  and b.first_arrived_at >= %s - interval '1 day' and b.first_arrived_at < %s + interval '1 day')",
        (old, counted.window.feed, counted.window.start, counted.window.end),
    ).fetchall()
    if rows:
        words = f"objects of no ledger row, left by landings that never committed, for example {rows[0][0]}"
        counted.notes.append(Note(Cause.EXTRA, words, len(rows)))
