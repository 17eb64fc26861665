"""Raw objects on their way into the lake: fetched to scratch, held against the ledger, loaded as one table.

An object that is missing, has another number of rows than the ledger says, or lacks a required column is not loaded:
its batch is left out with the reason, and harms no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from domain.contracts.arrow import arrow_type
from domain.contracts.model import Choice, Column, Feed, Text
from ingestion.lake.patience import persist
from ingestion.lake.schema import PROVENANCE

_FETCHERS = 8
_STREAMED = PROVENANCE[:2]


@dataclass(frozen=True)
class RawBatch:
    """A batch of the ledger: its object in the raw bucket, and how many rows the ledger says it has."""

    batch_id: int
    feed: str
    object_key: str | None
    rows: int


@dataclass(frozen=True)
class Fetched:
    """A batch whose object lies on this machine, whole."""

    batch: RawBatch
    path: str


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

    def fetch(self, feed: Feed, batches: Sequence[RawBatch]) -> tuple[list[Fetched], list[LeftOut]]:
        """Bring the objects of batches here; those that cannot be read are left out.

        Raises:
            OSError: storage cannot be reached; it was tried for two minutes.
        """
        with ThreadPoolExecutor(_FETCHERS) as pool:
            results = list(pool.map(lambda batch: self._fetch(feed, batch), batches))
        return (
            [found for found in results if isinstance(found, Fetched)],
            [missing for missing in results if isinstance(missing, LeftOut)],
        )

    def _fetch(self, feed: Feed, batch: RawBatch) -> Fetched | LeftOut:
        if batch.object_key is None:
            return LeftOut(batch, "the ledger names no object")
        source = f"{self._bucket}/{batch.object_key}"
        try:
            path = self._bring(source, batch)
            fault = fault_of(feed, batch, pq.ParquetFile(path))
        except FileNotFoundError:
            return LeftOut(batch, f"{batch.object_key} is not in the raw bucket")
        except pa.ArrowInvalid as broken:
            return LeftOut(batch, f"{batch.object_key} is no Parquet: {broken}")
        return LeftOut(batch, fault) if fault else Fetched(batch, path)

    def _bring(self, source: str, batch: RawBatch) -> str:
        if self._files.type_name == "local":
            if not Path(source).exists():
                raise FileNotFoundError(source)
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


def load(feed: Feed, fetched: Sequence[Fetched], columns: Sequence[Column] | None = None) -> pa.Table:
    """Load batches one after the other, with the columns asked for; all, and the place of each row, if left out."""
    chosen = (*feed.mirrored, *_STREAMED) if columns is None else tuple(columns)
    schema = lake_schema(feed, chosen)
    dictionaries = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    form = ds.ParquetFileFormat(dictionary_columns=dictionaries)
    table = ds.dataset([one.path for one in fetched], schema=schema, format=form).to_table()
    if columns is not None:
        return table
    counts = [one.batch.rows for one in fetched]
    ids = np.repeat(np.asarray([one.batch.batch_id for one in fetched], np.int64), counts)
    lines = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    return table.append_column("batch_id", pa.array(ids)).append_column("line", pa.array(lines))


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
