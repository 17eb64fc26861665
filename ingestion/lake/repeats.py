"""Which rows of a claim the lake must not take: their content came before, in the claim or in the days that it holds.

A repeat has the same entity and the same event time, so that a key of the two finds every candidate: over the whole
claim in memory (8 bytes a row), and over the files of the claim's days by reading two columns of those whose times
overlap. Only candidates are compared by content. Another content under the same event id is a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from domain.contracts.model import Feed
from ingestion.lake.fingerprint import Contents, Hashes, KeySet, contains, fingerprints, row_keys
from ingestion.lake.objects import Fetched, in_parts, lake_schema, load
from ingestion.lake.patience import persist
from ingestion.lake.read import DAY_US, data_files, time_bounds
from ingestion.lake.tables import Lake

KEY_ROWS = 1_000_000
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Span:
    """The first and last event time that a claim has in one day, in microseconds since 1970."""

    first: int
    last: int


class Repeats:
    """Tells the repeats of one claim, part after part, in the order in which `keys` saw the rows."""

    def __init__(self, feed: Feed, suspects: Mask, keys: Hashes, held: Contents) -> None:
        """Take which rows are candidates, the key of every row, and what the lake holds of the candidates."""
        self._content = feed.mirrored
        self._suspects = suspects
        self._keys = keys
        self._known = held
        self._at = 0

    def drop(self, part: pa.Table) -> pa.Table:
        """Return the next part of the claim without its repeats; of several alike the first one stays."""
        here = slice(self._at, self._at + part.num_rows)
        self._at = here.stop
        places = np.flatnonzero(self._suspects[here])
        if not len(places):
            return part
        prints = fingerprints(part.take(pa.array(places)), [column.name for column in self._content])
        new = self._known.take_new(self._keys[here][places], prints)
        keep = np.ones(part.num_rows, np.bool_)
        keep[places[~new]] = False
        return part.filter(pa.array(keep))


def find_repeats(lake: Lake, table: Table, feed: Feed, fetched: Sequence[Fetched]) -> tuple[Repeats, int]:
    """Look through a claim and through what the table holds of its days; return the judge, and the days there are."""
    keys, spans = _keys_of(feed, fetched)
    claimed = KeySet(keys)
    hits: list[Hashes] = [claimed.repeated]
    held: list[tuple[Hashes, Hashes]] = []
    for file in _overlapping(table, feed, spans):
        for found, prints in _held(lake, feed, file, claimed):
            hits.append(found)
            held.append((found, prints))
    suspects = np.unique(np.concatenate(hits))
    mask = contains(suspects, keys) if len(suspects) else np.zeros(len(keys), np.bool_)
    return Repeats(feed, mask, keys, Contents(held)), len(spans)


def _keys_of(feed: Feed, fetched: Sequence[Fetched]) -> tuple[Hashes, dict[int, Span]]:
    columns = (feed.column(feed.entity_key), feed.column(feed.event_time))
    keys: list[Hashes] = []
    spans: dict[int, Span] = {}
    for part in in_parts(fetched, KEY_ROWS):
        table = load(feed, part, columns)
        keys.append(row_keys(table[feed.entity_key], table[feed.event_time]))
        _widen(spans, times_of(table, feed))
    return np.concatenate(keys), spans


def _widen(spans: dict[int, Span], times: npt.NDArray[np.int64]) -> None:
    day = times // DAY_US
    for number in np.unique(day).tolist():
        mine = times[day == number]
        old = spans.get(number, Span(int(mine[0]), int(mine[0])))
        spans[number] = Span(min(old.first, int(mine.min())), max(old.last, int(mine.max())))


def times_of(table: pa.Table, feed: Feed) -> npt.NDArray[np.int64]:
    """Return the event times in microseconds since 1970."""
    times: npt.NDArray[np.int64] = table[feed.event_time].cast(pa.int64()).to_numpy()
    return times


def _overlapping(table: Table, feed: Feed, spans: dict[int, Span]) -> Iterator[DataFile]:
    """Yield the files of the claim's days whose event times overlap the claim's."""
    if table.current_snapshot() is None:
        return
    for file in data_files(table, feed.event_time):
        span = spans.get(file.partition[0])
        if span is not None:
            first, last = time_bounds(table, feed.event_time, file)
            if first <= span.last and last >= span.first:
                yield file


def _held(lake: Lake, feed: Feed, file: DataFile, claimed: KeySet) -> list[tuple[Hashes, Hashes]]:
    """Return key and fingerprint of a file's rows that have a key of the claim."""
    return persist(lambda: _read_held(lake, feed, file, claimed), f"reading {file.file_path}")


def _read_held(lake: Lake, feed: Feed, file: DataFile, claimed: KeySet) -> list[tuple[Hashes, Hashes]]:
    schema = lake_schema(feed, feed.mirrored)
    words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    found: list[tuple[Hashes, Hashes]] = []
    path = lake.path(file.file_path)
    with pq.ParquetFile(path, filesystem=lake.files, read_dictionary=words, pre_buffer=True) as parquet:
        for group in range(parquet.num_row_groups):
            pair = parquet.read_row_group(group, columns=[feed.entity_key, feed.event_time])
            keys = row_keys(pair[feed.entity_key], pair[feed.event_time])
            places = np.flatnonzero(claimed.holds(keys))
            if len(places):
                names = [name for name in schema.names if name in parquet.schema_arrow.names]
                rows = parquet.read_row_group(group, columns=names).take(pa.array(places))
                found.append((keys[places], fingerprints(conform(rows, schema), schema.names)))
    return found


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with exactly the columns of a schema; those that are younger than it are null."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.schema.names
        else pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        for field in schema
    ]
    return pa.table(columns, schema=schema)
