"""Merges sorted files of one day into fewer and larger ones, in memory that does not grow with the day.

DuckDB sorts, and spills to disk what it cannot hold; the result streams into files of the target size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ingestion.lake.files import SMALL, file_schema, parquet_writer, upload
from ingestion.lake.objects import lake_schema
from ingestion.lake.read import BATCH_ROWS, dataset
from ingestion.lake.schema import lake_columns
from ingestion.lake.tables import ROW_GROUP_ROWS, TARGET_FILE_BYTES, Lake

_SORT_MEMORY = "256MB"


def merge_files(
    lake: Lake, table: Table, feed: str, files: Sequence[DataFile], scratch: Path
) -> list[DataFile]:
    """Write the rows of files of one day anew, sorted by entity and event time; return the entries for a commit.

    Raises:
        OSError: storage refused for two minutes.
    """
    (day,) = {file.partition[0] for file in files}
    contract = lake.feeds[feed]
    words = [f.name for f in lake_schema(contract, lake_columns(contract)) if pa.types.is_dictionary(f.type)]
    schema = file_schema(table, words)
    merged: list[DataFile] = []
    with TemporaryDirectory(prefix="merge-", dir=scratch) as space:
        groups = _row_groups(_sorted(lake, table, feed, files, Path(space)), schema)
        group = next(groups, None)
        while group is not None:
            path = Path(space) / f"{len(merged)}.parquet"
            with path.open("wb") as sink, parquet_writer(sink, schema, SMALL) as writer:
                while group is not None and sink.tell() < TARGET_FILE_BYTES:
                    writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                    group = next(groups, None)
            merged.append(upload(lake, table, path, writer.writer.metadata, day, f"merged-{day}"))
            path.unlink()
    return merged


def _sorted(
    lake: Lake, table: Table, feed: str, files: Sequence[DataFile], space: Path
) -> Iterator[pa.RecordBatch]:
    contract = lake.feeds[feed]
    scanner = dataset(lake, table, files).scanner(
        batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1
    )
    with duckdb.connect() as engine:
        engine.execute("set memory_limit = ?", [_SORT_MEMORY])
        engine.execute("set temp_directory = ?", [str(space)])
        engine.execute("set TimeZone = 'UTC'")
        engine.execute("set preserve_insertion_order = false")
        engine.register("rows", scanner.to_reader())
        by = ", ".join(f'"{name}"' for name in (contract.entity_key, contract.event_time))
        result: pa.RecordBatchReader = engine.sql(f"select * from rows order by {by}").to_arrow_reader(
            BATCH_ROWS
        )
        yield from result


def _row_groups(batches: Iterator[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= ROW_GROUP_ROWS:
            yield _encoded(held, schema)
            held, rows = [], 0
    if rows:
        yield _encoded(held, schema)


def _encoded(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    rows = pa.Table.from_batches(batches)
    columns = []
    for field in schema:
        values = rows[field.name].combine_chunks()
        dictionary = pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(values.type)
        columns.append((values.dictionary_encode() if dictionary else values).cast(field.type))
    return pa.table(columns, schema=schema)
