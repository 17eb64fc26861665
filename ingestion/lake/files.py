"""Writes one day's rows as one sorted Parquet file, and describes it as Iceberg wants it described.

The file goes up only when it is whole, under a name that no other run uses; until a commit names it, no reader sees
it, and maintenance removes it if none ever does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import Table

from domain.contracts.model import Feed
from ingestion.lake.objects import DAY_US
from ingestion.lake.patience import persist
from ingestion.lake.tables import Lake

Places = npt.NDArray[np.int64]

QUICK, SMALL = 1, 3
"""Levels of zstd: for files that will be merged, and for merged ones (a third slower, 6 % smaller)."""
_BLOCK_BYTES = 8 << 20
_WRITE_BATCH_ROWS = 1 << 16  # a third less time than with Arrow's 1,024
_TIME_BITS = 37  # a day has fewer than 2^37 microseconds


@dataclass(frozen=True)
class Chosen:
    """Some rows of a table, by their places; all of them if None. The others are never copied."""

    table: pa.Table
    places: Places | None = None

    @property
    def rows(self) -> int:
        """How many are chosen."""
        return int(self.table.num_rows) if self.places is None else len(self.places)


def sorted_by_entity(feed: Feed, parts: list[Chosen]) -> pa.Table:
    """Return the chosen rows, all of one day, by entity, then event time; `parts` is emptied.

    Column by column, so that the rows are not held twice.
    """
    places = _joined(parts)
    rows = pa.concat_tables([part.table for part in parts]).unify_dictionaries()
    parts.clear()
    order = _order(feed, rows, places)
    names, taken = rows.schema.names, []
    while rows.num_columns:
        column, rows = rows.column(0), rows.remove_column(0)
        taken.append(_take(_whole(column), order))
    return pa.table(taken, names=names)


def _joined(parts: Sequence[Chosen]) -> Places | None:
    """Return the places of the chosen rows in the parts put together; None if all are chosen."""
    if all(part.places is None for part in parts):
        return None
    starts = np.cumsum([0, *(part.table.num_rows for part in parts)])
    return np.concatenate(
        [
            start + (np.arange(part.table.num_rows) if part.places is None else part.places)
            for start, part in zip(starts, parts, strict=False)
        ]
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _take(values: pa.Array, order: Places) -> pa.Array:
    """Return the values in another order; texts that are all of one length, as ids are, go as blocks."""
    if pa.types.is_string(values.type) and not values.null_count and len(values):
        offsets = np.frombuffer(values.buffers()[1], np.int32, len(values) + 1, values.offset * 4)
        width = int(offsets[1] - offsets[0])
        if width and (np.diff(offsets) == width).all():
            blocks = np.frombuffer(values.buffers()[2], f"V{width}", len(values), int(offsets[0]))
            evenly = np.arange(len(order) + 1, dtype=np.int32) * width
            data = pa.py_buffer(blocks.take(order).view(np.uint8))
            return pa.StringArray.from_buffers(len(order), pa.py_buffer(evenly), data)
    return values.take(pa.array(order))


def _order(feed: Feed, rows: pa.Table, places: Places | None) -> Places:
    entities = _whole(rows[feed.entity_key])
    alphabetical = pc.sort_indices(entities.dictionary).to_numpy()
    rank = np.empty(len(alphabetical), np.int64)
    rank[alphabetical] = np.arange(len(alphabetical))
    codes = entities.indices.to_numpy()
    times = rows[feed.event_time].cast(pa.int64()).to_numpy()
    if places is not None:
        codes, times = codes[places], times[places]
    order = np.argsort((rank[codes] << _TIME_BITS) | (times % DAY_US))
    return order if places is None else places[order]


def write_day(lake: Lake, table: Table, rows: pa.Table, day: int, name: str) -> DataFile:
    """Write sorted rows of one day (days since 1970) as one file; return its entry for a commit.

    Packed quickly: maintenance packs them again, and better, when the day is closed.

    Raises:
        OSError: storage refused for two minutes.
    """
    encoded, meta = _encode(table, rows)
    location = _location(table, day, name)
    persist(lambda: _put(lake, location, encoded), f"writing {location}")
    return _entry(table, location, encoded.size, meta, day)


def upload(lake: Lake, table: Table, path: Path, meta: pq.FileMetaData, day: int, name: str) -> DataFile:
    """Bring a Parquet file from this machine into the table's place; return its entry for a commit.

    Raises:
        OSError: storage refused for two minutes.
    """
    location = _location(table, day, name)

    def put() -> None:
        with path.open("rb") as source, _open_output(lake, location) as stream:
            while block := source.read(_BLOCK_BYTES):
                stream.write(block)

    persist(put, f"writing {location}")
    return _entry(table, location, path.stat().st_size, meta, day)


def _location(table: Table, day: int, name: str) -> str:
    return str(table.location_provider().new_data_location(f"{name}-{uuid4()}.parquet", _key(table, day)))


def _entry(table: Table, location: str, size: int, meta: pq.FileMetaData, day: int) -> DataFile:
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=meta,
        stats_columns=compute_statistics_plan(table.schema(), table.metadata.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(table.schema()),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=_key(table, day).partition,
        file_size_in_bytes=size,
        sort_order_id=table.metadata.default_sort_order_id,
        spec_id=table.metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def file_schema(table: Table, dictionaries: Sequence[str]) -> pa.Schema:
    """Return the schema of a data file: the table's, with its field ids, some columns as dictionaries."""
    fields = []
    for field in schema_to_pyarrow(table.schema(), include_field_ids=True):
        if field.name in dictionaries:
            field = field.with_type(pa.dictionary(pa.int32(), pa.string()))
        elif pa.types.is_large_string(field.type):
            field = field.with_type(pa.string())
        fields.append(field)
    return pa.schema(fields)


def parquet_writer(where: Any, schema: pa.Schema, level: int) -> pq.ParquetWriter:
    """Open a writer as all files of the lake are written: zstd, dictionaries only where words repeat."""
    words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    # Without Arrow's own schema in it a file looks the same to every reader.
    return pq.ParquetWriter(
        where,
        schema,
        compression="zstd",
        compression_level=level,
        use_dictionary=words,
        store_schema=False,
        write_batch_size=_WRITE_BATCH_ROWS,
    )


def as_stored(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in the schema of a data file; a column that only the table has is null."""
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _encode(table: Table, rows: pa.Table) -> tuple[pa.Buffer, pq.FileMetaData]:
    words = [field.name for field in rows.schema if pa.types.is_dictionary(field.type)]
    schema = file_schema(table, words)
    sink = pa.BufferOutputStream()
    with parquet_writer(sink, schema, QUICK) as writer:
        writer.write_table(as_stored(rows, schema), row_group_size=max(rows.num_rows, 1))
    return sink.getvalue(), writer.writer.metadata


def _put(lake: Lake, location: str, encoded: pa.Buffer) -> None:
    with _open_output(lake, location) as stream:
        stream.write(encoded)


def _open_output(lake: Lake, location: str) -> Any:
    path = lake.path(location)
    if lake.files.type_name == "local":
        lake.files.create_dir(path.rpartition("/")[0], recursive=True)
    return lake.files.open_output_stream(path)


def _key(table: Table, day: int) -> PartitionKey:
    (field,) = table.spec().fields
    return PartitionKey([PartitionFieldValue(field, day)], table.spec(), table.schema())
