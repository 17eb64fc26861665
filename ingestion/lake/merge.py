"""Merges files of one day into fewer and larger ones, sorted as a whole, in memory that does not grow with the day.

A distribution sort: entities are cut into ranges that each hold about a row group's rows (by a sample); every file is
read once, and its rows go to their range's file on scratch; then range after range is sorted and written. Scratch needs
about as much disk as the day has bytes, twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from domain.contracts.model import Feed
from ingestion.lake.files import (
    SMALL,
    Chosen,
    as_stored,
    file_schema,
    parquet_writer,
    sorted_by_entity,
    upload,
)
from ingestion.lake.objects import conform, lake_schema, open_object
from ingestion.lake.patience import persist
from ingestion.lake.schema import lake_columns
from ingestion.lake.tables import ROW_GROUP_ROWS, TARGET_FILE_BYTES, Lake

RANGE_ROWS = ROW_GROUP_ROWS
_MOST_RANGES = 500  # files that are open at a time
_SAMPLES_A_FILE = 8  # for each range; so a range is off by an eighth at most


def merge_files(
    lake: Lake, table: Table, feed: str, files: Sequence[DataFile], scratch: Path
) -> list[DataFile]:
    """Write the rows of files of one day anew, sorted by entity and event time; return the entries for a commit.

    Raises:
        OSError: storage refused for two minutes.
    """
    (day,) = {file.partition[0] for file in files}
    contract = lake.feeds[feed]
    merged: list[DataFile] = []
    with TemporaryDirectory(prefix="merge-", dir=scratch) as name:
        space = Path(name)
        parts = (space / "part").with_suffix(".parquet")
        ranges = _spill(lake, contract, files, space)
        group = next(ranges, None)
        while group is not None:
            words = [field.name for field in group.schema if pa.types.is_dictionary(field.type)]
            schema = file_schema(table, words)
            with parts.open("wb") as sink, parquet_writer(sink, schema, SMALL) as writer:
                while group is not None and sink.tell() < TARGET_FILE_BYTES:
                    writer.write_table(as_stored(group, schema), row_group_size=group.num_rows)
                    group = next(ranges, None)
            merged.append(upload(lake, table, parts, writer.writer.metadata, day, f"merged-{day}"))
            pa.default_memory_pool().release_unused()
    return merged


def _spill(lake: Lake, contract: Feed, files: Sequence[DataFile], space: Path) -> Iterator[pa.Table]:
    """Distribute the rows of files by ranges of entities on disk; yield range after range, sorted."""
    bounds = _bounds(lake, contract, files)
    paths = [space / f"{number}.arrow" for number in range(len(bounds) + 1)]
    schema = lake_schema(contract, lake_columns(contract))
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pa.ipc.new_stream(str(path), schema, options=options)) for path in paths
        ]
        for file in files:
            for rows in _row_groups(lake, contract, file, schema):
                for number, part in _by_range(contract, rows, bounds):
                    writers[number].write_table(part)
    for path in paths:
        with pa.ipc.open_stream(pa.OSFile(str(path))) as reader:
            rows = reader.read_all()
        path.unlink()
        if rows.num_rows:
            part = [Chosen(rows)]
            del rows
            yield sorted_by_entity(contract, part)


def _bounds(lake: Lake, contract: Feed, files: Sequence[DataFile]) -> list[str]:
    """Return the last entity of each range but the last, from a sample of every file."""
    total = sum(file.record_count for file in files)
    size = max(RANGE_ROWS, total // _MOST_RANGES)
    step = max(1, size // (_SAMPLES_A_FILE * len(files)))
    sample: list[str] = []
    for file in files:
        sample += persist(partial(_sample, lake, contract, file, step), f"reading {file.file_path}")
    sample.sort()
    return sorted(set(sample[size // step - 1 : -1 : size // step]))


def _sample(lake: Lake, contract: Feed, file: DataFile, step: int) -> list[str]:
    with open_object(contract, lake.path(file.file_path), lake.files) as parquet:
        column = parquet.read([contract.entity_key])[contract.entity_key]
    every = pa.array(np.arange(0, len(column), step))
    return [str(value) for value in column.unify_dictionaries().take(every).to_pylist()]


def _row_groups(lake: Lake, contract: Feed, file: DataFile, schema: pa.Schema) -> Iterator[pa.Table]:
    with open_object(contract, lake.path(file.file_path), lake.files) as parquet:
        names = [name for name in schema.names if name in parquet.schema_arrow.names]
        for group in range(parquet.num_row_groups):
            read = partial(_read_group, parquet, group, names)
            yield conform(persist(read, f"reading {file.file_path}"), schema)


def _read_group(parquet: pq.ParquetFile, group: int, names: list[str]) -> pa.Table:
    return parquet.read_row_group(group, columns=names)


def _by_range(contract: Feed, rows: pa.Table, bounds: list[str]) -> Iterator[tuple[int, pa.Table]]:
    """Cut rows into their ranges: slices, where the file is sorted, as ours are."""
    rows = rows.unify_dictionaries().combine_chunks()
    numbers = _ranges_of(rows[contract.entity_key].chunk(0), bounds)
    if (np.diff(numbers) < 0).any():
        order = np.argsort(numbers, kind="stable")
        rows, numbers = rows.take(pa.array(order)), numbers[order]
    cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    for start, end in pairwise(cuts):
        if end > start:
            yield int(numbers[start]), _own_words(rows.slice(start, end - start))


def _ranges_of(entities: pa.DictionaryArray, bounds: list[str]) -> npt.NDArray[np.int64]:
    of_word = np.asarray([bisect_left(bounds, word) for word in entities.dictionary.to_pylist()], np.int64)
    numbers: npt.NDArray[np.int64] = of_word[entities.indices.to_numpy()]
    return numbers


def _own_words(rows: pa.Table) -> pa.Table:
    """Return the rows with only the words that they use; else each slice would carry those of its whole file."""
    columns = [
        column.combine_chunks().dictionary_decode().dictionary_encode()
        if pa.types.is_dictionary(column.type)
        else column
        for column in rows.columns
    ]
    return pa.table(columns, schema=rows.schema)
