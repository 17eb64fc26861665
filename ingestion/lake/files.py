"""Writes one day's rows as one sorted Parquet file, and describes it as Iceberg wants it described.

The file goes up only when it is whole, under a name that no other run uses; until a commit names it, no reader sees
it, and maintenance removes it if none ever does.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from ingestion.lake.patience import persist
from ingestion.lake.read import DAY_US
from ingestion.lake.tables import ROW_GROUP_ROWS, Lake

_TIME_BITS = 37  # a day has fewer than 2^37 microseconds


def sorted_by_entity(feed: Feed, rows: pa.Table) -> pa.Table:
    """Return rows of one day by entity, then event time, then as they came."""
    rows = rows.unify_dictionaries().combine_chunks()
    order = pa.array(_order(feed, rows))
    names, taken = rows.schema.names, []
    while rows.num_columns:  # column by column, so that only one of them is held twice
        column, rows = rows.column(0), rows.remove_column(0)
        taken.append(column.take(order))
    return pa.table(taken, names=names)


def _order(feed: Feed, rows: pa.Table) -> npt.NDArray[np.int64]:
    entities = rows[feed.entity_key].chunk(0) if rows.num_rows else None
    if entities is None:
        return np.zeros(0, np.int64)
    alphabetical = pc.sort_indices(entities.dictionary).to_numpy()
    rank = np.empty(len(alphabetical), np.int64)
    rank[alphabetical] = np.arange(len(alphabetical))
    times = rows[feed.event_time].chunk(0).cast(pa.int64()).to_numpy() % DAY_US
    return np.argsort((rank[entities.indices.to_numpy()] << _TIME_BITS) | times, kind="stable")


def write_day(lake: Lake, table: Table, rows: pa.Table, day: int, name: str) -> DataFile:
    """Write sorted rows of one day (days since 1970) as one file; return its entry for a commit.

    Raises:
        OSError: storage refused for two minutes.
    """
    encoded, meta = _encode(table, rows)
    key = _key(table, day)
    location = table.location_provider().new_data_location(f"{name}-{uuid4()}.parquet", key)
    persist(lambda: _put(lake, location, encoded), f"writing {location}")
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=meta,
        stats_columns=compute_statistics_plan(table.schema(), table.metadata.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(table.schema()),
    )
    return DataFile.from_args(
        content=DataFileContent.DATA,
        file_path=location,
        file_format=FileFormat.PARQUET,
        partition=key.partition,
        file_size_in_bytes=encoded.size,
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


def parquet_writer(where: Any, schema: pa.Schema) -> pq.ParquetWriter:
    """Open a writer as all files of the lake are written: zstd, dictionaries only where words repeat."""
    words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    # Without Arrow's own schema in it a file looks the same to every reader.
    return pq.ParquetWriter(
        where, schema, compression="zstd", compression_level=3, use_dictionary=words, store_schema=False
    )


def _encode(table: Table, rows: pa.Table) -> tuple[pa.Buffer, pq.FileMetaData]:
    words = [field.name for field in rows.schema if pa.types.is_dictionary(field.type)]
    schema = file_schema(table, words)
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.schema.names
        else pa.nulls(rows.num_rows, field.type)
        for field in schema
    ]
    sink = pa.BufferOutputStream()
    with parquet_writer(sink, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema), row_group_size=ROW_GROUP_ROWS)
    return sink.getvalue(), writer.writer.metadata


def _put(lake: Lake, location: str, encoded: pa.Buffer) -> None:
    path = lake.path(location)
    if lake.files.type_name == "local":
        lake.files.create_dir(path.rpartition("/")[0], recursive=True)
    with lake.files.open_output_stream(path) as stream:
        stream.write(encoded)


def _key(table: Table, day: int) -> PartitionKey:
    (field,) = table.spec().fields
    return PartitionKey([PartitionFieldValue(field, day)], table.spec(), table.schema())
