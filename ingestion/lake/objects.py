"""Raw objects on their way into the lake: fetched to scratch, held against the ledger, loaded as one table.

An object that is missing, has another number of rows than the ledger says, or lacks a required column is not loaded:
its batch is left out with the reason, and harms no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from domain.contracts.arrow import arrow_type
from domain.contracts.model import Choice, Column, Feed, Text
from ingestion.lake.fingerprint import Hashes, row_keys
from ingestion.lake.patience import persist
from ingestion.lake.schema import PROVENANCE

DAY_US = 86_400_000_000
_FETCHERS = 4
_MANY_DAYS = 100_000
_STREAMED = PROVENANCE[:2]


@dataclass(frozen=True)
class RawBatch:
    """A batch of the ledger: its object in the raw bucket, and how many rows the ledger says it has."""

    batch_id: int
    feed: str
    object_key: str | None
    rows: int


@dataclass(frozen=True)
class Span:
    """The first and last event time there is in one day, in microseconds since 1970."""

    first: int
    last: int


@dataclass(frozen=True)
class Fetched:
    """A batch whose object lies on this machine, whole, and the span of each day in it, by the day's number."""

    batch: RawBatch
    path: str
    spans: Mapping[int, Span]


@dataclass(frozen=True)
class LeftOut:
    """A batch that cannot be read, and why."""

    batch: RawBatch
    reason: str


def lake_type(column: Column, feed: Feed) -> pa.DataType:
    """Return how a column is held in memory: words that repeat as dictionaries, whole numbers as Iceberg has them."""
    if isinstance(column.type, Text | Choice) and column.name not in feed.key:
        return pa.dictionary(pa.int32(), pa.string())
    plain = arrow_type(column.type)
    return pa.int32() if pa.types.is_int16(plain) else plain


def lake_schema(feed: Feed, columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema in which rows of a feed are worked on."""
    return pa.schema([pa.field(column.name, lake_type(column, feed)) for column in columns])


class RawObjects:
    """The raw bucket, read through a scratch directory."""

    def __init__(self, files: Any, bucket: str, scratch: Path) -> None:
        """Read from `bucket` (a path in `files`); nothing is fetched yet."""
        self._files = files
        self._bucket = bucket
        self._scratch = scratch

    def fetch(self, feed: Feed, batches: Sequence[RawBatch]) -> tuple[list[Fetched], list[LeftOut], Hashes]:
        """Bring the objects of batches here, with a key of every row; those that cannot be read are left out.

        Raises:
            OSError: storage cannot be reached; it was tried for two minutes.
        """
        fetched: list[Fetched] = []
        left_out: list[LeftOut] = []
        keys: list[Hashes] = []
        with ThreadPoolExecutor(_FETCHERS) as pool:
            for result in pool.map(lambda batch: self._fetch(feed, batch), batches):
                if isinstance(result, LeftOut):
                    left_out.append(result)
                else:
                    fetched.append(result[0])
                    keys.append(result[1])
        return fetched, left_out, np.concatenate(keys) if keys else np.zeros(0, np.uint64)

    def _fetch(self, feed: Feed, batch: RawBatch) -> tuple[Fetched, Hashes] | LeftOut:
        if batch.object_key is None:
            return LeftOut(batch, "the ledger names no object")
        source = f"{self._bucket}/{batch.object_key}"
        try:
            path = self._bring(source, batch)
            file = open_object(feed, path)
        except FileNotFoundError:
            return LeftOut(batch, f"{batch.object_key} is not in the raw bucket")
        except pa.ArrowInvalid as broken:
            return LeftOut(batch, f"{batch.object_key} is no Parquet: {broken}")
        with file:
            fault = fault_of(feed, batch, file)
            if fault:
                return LeftOut(batch, fault)
            pair = file.read([feed.entity_key, feed.event_time], use_threads=False)
        keys = row_keys(pair[feed.entity_key], pair[feed.event_time])
        return Fetched(batch, path, spans_of(times_of(pair, feed))), keys

    def _bring(self, source: str, batch: RawBatch) -> str:
        if self._files.type_name == "local":
            return source
        target = self._scratch / f"{batch.batch_id}.parquet"

        def copy() -> None:
            with self._files.open_input_file(source) as file:
                target.write_bytes(file.read())

        persist(copy, f"reading {source}")
        return str(target)

    def drop(self, fetched: Sequence[Fetched]) -> None:
        """Free the scratch space of batches."""
        for one in fetched:
            path = Path(one.path)
            if path.parent == self._scratch:
                path.unlink(missing_ok=True)


def fault_of(feed: Feed, batch: RawBatch, file: pq.ParquetFile) -> str | None:
    """Return why an object is not what the ledger and the contract say, None if it is."""
    meta = file.metadata
    if meta.num_rows != batch.rows:
        return f"{batch.object_key} has {meta.num_rows} rows, the ledger says {batch.rows}"
    names = {meta.schema.column(i).name: i for i in range(meta.num_columns)}
    for column in feed.mirrored:
        if column.nullable:
            continue
        if column.name not in names:
            return f"{batch.object_key} lacks the required column {column.name}"
        if meta.schema.column(names[column.name]).max_definition_level and _has_nulls(
            meta, names[column.name]
        ):
            return f"{batch.object_key} has rows without {column.name}"
    return None


def _has_nulls(meta: pq.FileMetaData, index: int) -> bool:
    chunks = [meta.row_group(group).column(index).statistics for group in range(meta.num_row_groups)]
    return any(stats is None or not stats.has_null_count or stats.null_count for stats in chunks)


def open_object(feed: Feed, path: str, files: Any = None) -> pq.ParquetFile:
    """Open a Parquet file of a feed, raw or of the lake, so that words that repeat are read as dictionaries."""
    meta = pq.read_metadata(path, filesystem=files)
    there = {meta.schema.column(i).name for i in range(meta.num_columns)}
    schema = lake_schema(feed, _of_object(feed))
    words = [f.name for f in schema if pa.types.is_dictionary(f.type) and f.name in there]
    return pq.ParquetFile(
        path, metadata=meta, read_dictionary=words, filesystem=files, pre_buffer=files is not None
    )


def load(feed: Feed, fetched: Sequence[Fetched]) -> pa.Table:
    """Load batches one after the other: the contract's columns, then where each row came from."""
    schema = lake_schema(feed, _of_object(feed))
    return pa.concat_tables([_load(feed, schema, one) for one in fetched])


def _load(feed: Feed, schema: pa.Schema, one: Fetched) -> pa.Table:
    with open_object(feed, one.path) as file:
        there = set(file.schema_arrow.names)
        table = conform(file.read([name for name in schema.names if name in there]), schema)
    return table.append_column("batch_id", pa.array(np.full(table.num_rows, one.batch.batch_id, np.int64)))


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with exactly the columns of a schema; those that are younger than it are null."""
    columns = []
    for field in schema:
        if field.name not in table.schema.names:
            columns.append(pa.chunked_array([pa.nulls(table.num_rows, field.type)]))
        elif table.schema.field(field.name).type == field.type:
            columns.append(table[field.name])
        else:
            columns.append(table[field.name].cast(field.type))
    return pa.table(columns, schema=schema)


def pick(table: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    """Return some rows, chunk by chunk; a table's own filter would join the chunks of each column first."""
    batches, start = [], 0
    for batch in table.to_batches():
        batches.append(batch.filter(pa.array(mask[start : start + batch.num_rows])))
        start += batch.num_rows
    return pa.Table.from_batches(batches, table.schema)


def _of_object(feed: Feed) -> tuple[Column, ...]:
    return (*feed.mirrored, *_STREAMED)


def times_of(table: pa.Table, feed: Feed) -> npt.NDArray[np.int64]:
    """Return the event times in microseconds since 1970."""
    times: npt.NDArray[np.int64] = table[feed.event_time].cast(pa.int64()).to_numpy()
    return times


def spans_of(times: npt.NDArray[np.int64]) -> dict[int, Span]:
    """Return the span of each day, by its number since 1970."""
    day = times // DAY_US
    numbers = days_in(day)
    parts = {number: times if len(numbers) == 1 else times[day == number] for number in numbers}
    return {number: Span(int(mine.min()), int(mine.max())) for number, mine in parts.items()}


def days_in(day: npt.NDArray[np.int64]) -> list[int]:
    """Return the numbers of the days there are, in order."""
    low, high = int(day.min()), int(day.max())
    if high - low > _MANY_DAYS:
        return [int(number) for number in np.unique(day)]
    return [low + int(place) for place in np.flatnonzero(np.bincount(day - low))]


def in_parts(fetched: Sequence[Fetched], rows: int) -> Iterator[list[Fetched]]:
    """Cut batches into runs of at most so many rows, or of one batch."""
    part: list[Fetched] = []
    held = 0
    for one in fetched:
        if part and held + one.batch.rows > rows:
            yield part
            part, held = [], 0
        part.append(one)
        held += one.batch.rows
    if part:
        yield part
