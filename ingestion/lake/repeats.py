"""Which rows of a claim the lake must not take: their content came before, in the claim or in the days that it holds.

A repeat has the same entity and the same event time, so that a key of the two finds every candidate: over the whole
claim in memory (8 bytes a row), and over the files of the claim's days by reading two columns of those whose times
overlap. Only candidates are compared by content. Another content under the same event id is a row of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from domain.contracts.model import Feed
from ingestion.lake.fingerprint import Contents, Hashes, KeySet, contains, fingerprints, row_keys
from ingestion.lake.objects import Fetched, Span, conform, lake_schema, open_object, pick
from ingestion.lake.patience import persist
from ingestion.lake.read import data_files, time_bounds
from ingestion.lake.tables import Lake

Mask = npt.NDArray[np.bool_]


class Repeats:
    """Tells the repeats of one claim, part after part, in the order in which `keys` saw the rows."""

    def __init__(self, feed: Feed, suspects: Mask, keys: Hashes, held: Contents) -> None:
        """Take which rows are candidates, the keys of these, and what the lake holds of their contents."""
        self._content = feed.mirrored
        self._suspects = suspects
        self._keys = keys
        self._known = held
        self._at = self._judged = 0

    def new_rows(self, part: pa.Table) -> Mask | None:
        """Return which rows of the claim's next part are no repeats, the first of several alike; None if all are."""
        here = slice(self._at, self._at + part.num_rows)
        self._at = here.stop
        suspects = self._suspects[here]
        places = np.flatnonzero(suspects)
        if not len(places):
            return None
        prints = fingerprints(pick(part, suspects), [column.name for column in self._content])
        new = self._known.take_new(self._keys[self._judged : self._judged + len(places)], prints)
        self._judged += len(places)
        keep = np.ones(part.num_rows, np.bool_)
        keep[places[~new]] = False
        return None if new.all() else keep


def find_repeats(
    lake: Lake, table: Table, feed: Feed, fetched: Sequence[Fetched], keys: Hashes
) -> tuple[Repeats, int]:
    """Look through a claim and through what the table holds of its days; return the judge, and the days there are."""
    spans = _joined(one.spans for one in fetched)
    claimed = KeySet(keys)
    hits: list[Hashes] = [claimed.repeated]
    held: list[tuple[Hashes, Hashes]] = []
    for file in _overlapping(table, feed, spans):
        for found, prints in _held(lake, feed, file, claimed):
            hits.append(found)
            held.append((found, prints))
    suspects = np.unique(np.concatenate(hits))
    mask = contains(suspects, keys) if len(suspects) else np.zeros(len(keys), np.bool_)
    return Repeats(feed, mask, keys[mask], Contents(held)), len(spans)


def _joined(parts: Iterable[Mapping[int, Span]]) -> dict[int, Span]:
    whole: dict[int, Span] = {}
    for spans in parts:
        for day, span in spans.items():
            other = whole.get(day, span)
            whole[day] = Span(min(span.first, other.first), max(span.last, other.last))
    return whole


def _overlapping(table: Table, feed: Feed, spans: Mapping[int, Span]) -> Iterator[DataFile]:
    """Yield the files of the claim's days whose event times overlap the claim's."""
    if table.current_snapshot() is None:
        return
    for file in persist(lambda: data_files(table, feed.event_time), f"reading the files of {feed.name}"):
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
    found: list[tuple[Hashes, Hashes]] = []
    with open_object(feed, lake.path(file.file_path), lake.files) as parquet:
        for group in range(parquet.num_row_groups):
            pair = parquet.read_row_group(group, columns=[feed.entity_key, feed.event_time])
            keys = row_keys(pair[feed.entity_key], pair[feed.event_time])
            places = np.flatnonzero(claimed.holds(keys))
            if len(places):
                names = [name for name in schema.names if name in parquet.schema_arrow.names]
                rows = parquet.read_row_group(group, columns=names).take(pa.array(places))
                found.append((keys[places], fingerprints(conform(rows, schema), schema.names)))
    return found
