"""Reads the lake: counts and rows by event time, the days there are, and tables as Arrow datasets.

Everything goes by one snapshot's list of files. A file lies in one day, so a reader that asks for days opens only their
files; within these, Parquet's own statistics prune. Memory does not grow with the range that is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.conversions import from_bytes
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.table import ALWAYS_TRUE, Table
from pyiceberg.types import LongType

from ingestion.lake.objects import DAY_US
from ingestion.lake.tables import Lake

BATCH_ROWS = 1 << 16
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@dataclass(frozen=True)
class DayFiles:
    """One day of one feed: how many files, rows and bytes its current snapshot holds."""

    day: date
    files: int
    rows: int
    size_bytes: int


def count_rows(lake: Lake, feed: str, from_at: datetime, to_at: datetime) -> int:
    """Return how many rows lie in `from_at <= event time < to_at`, by the newest snapshot.

    Files that lie inside are counted by their metadata; only those at the edges are read, one column of them.
    """
    table = lake.find(feed)
    if table is None:
        return 0
    inside, edges = 0, []
    for file in data_files(table, event_time(lake, feed), from_at, to_at):
        first, last = time_bounds(table, event_time(lake, feed), file)
        if first >= microseconds(from_at) and last < microseconds(to_at):
            inside += int(file.record_count)
        else:
            edges.append(file)
    wanted = _between(event_time(lake, feed), from_at, to_at)
    return inside + (int(dataset(lake, table, edges).count_rows(filter=wanted)) if edges else 0)


def scan_rows(
    lake: Lake,
    feed: str,
    from_at: datetime,
    to_at: datetime,
    *,
    columns: Sequence[str] | None = None,
    where: pc.Expression | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows with `from_at <= event time < to_at` by the snapshot that is newest at the first one.

    `where`: only rows that it holds for; row groups whose statistics rule it out are not read, so that a condition on
    the entity, by which files are sorted, leaves most of them out.
    File after file in the order of days; within a file by entity and time, in no order between files. Every batch has
    the table's schema: a column that is younger than a file is null.
    """
    table = lake.find(feed)
    if table is None:
        return
    files = data_files(table, event_time(lake, feed), from_at, to_at)
    wanted = _between(event_time(lake, feed), from_at, to_at)
    wanted = wanted if where is None else wanted & where
    names = None if columns is None else list(columns)
    for file in sorted(files, key=lambda file: (file.partition[0], file.file_path)):
        whole = dataset(lake, table, [file])
        for fragment in whole.get_fragments():
            # One row group at a time: a scan of the file would read ahead as far as memory goes.
            for group in fragment.split_by_row_group(wanted, schema=whole.schema):
                rows = group.to_table(schema=whole.schema, columns=names, filter=wanted)
                yield from (batch for batch in rows.to_batches(max_chunksize=BATCH_ROWS) if batch.num_rows)


def days(lake: Lake, feed: str) -> list[DayFiles]:
    """Return the days that the newest snapshot holds, oldest first."""
    table = lake.find(feed)
    found: dict[date, list[DataFile]] = {}
    for file in data_files(table, event_time(lake, feed)) if table else []:
        found.setdefault(day_of(file), []).append(file)
    return [
        DayFiles(
            day, len(files), sum(f.record_count for f in files), sum(f.file_size_in_bytes for f in files)
        )
        for day, files in sorted(found.items())
    ]


def event_time(lake: Lake, feed: str) -> str:
    """Return the name of a feed's event time."""
    return lake.feeds[feed].event_time


def data_files(
    table: Table,
    time_column: str,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    snapshot_id: int | None = None,
) -> list[DataFile]:
    """Return the files of a snapshot, the newest if left out, that may hold rows of a range of event times."""
    wanted = []
    if from_at is not None:
        wanted.append(f"{time_column} >= '{from_at.astimezone(UTC).isoformat()}'")
    if to_at is not None:
        wanted.append(f"{time_column} < '{to_at.astimezone(UTC).isoformat()}'")
    scan = table.scan(row_filter=" and ".join(wanted) or ALWAYS_TRUE, snapshot_id=snapshot_id)
    return [task.file for task in scan.plan_files()]


def dataset(
    lake: Lake, table: Table, files: Sequence[DataFile], schema: Schema | None = None
) -> ds.FileSystemDataset:
    """Return files of a table as one Arrow dataset that knows the day of each, and opens none that is not asked for."""
    fields = table.schema() if schema is None else schema
    time_column = table.schema().find_field(table.spec().fields[0].source_id).name
    form = ds.ParquetFileFormat()
    fragments = [
        form.make_fragment(
            lake.path(file.file_path), filesystem=lake.files, partition_expression=_of_day(time_column, file)
        )
        for file in files
    ]
    return ds.FileSystemDataset(fragments, arrow_schema(fields), form, lake.files)


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a table, with plain strings."""
    wide = schema_to_pyarrow(schema, include_field_ids=False)
    return pa.schema(
        [f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in wide]
    ).remove_metadata()


def day_of(file: DataFile) -> date:
    """Return the day of a file's partition."""
    return date(1970, 1, 1) + timedelta(days=file.partition[0])


def time_bounds(table: Table, time_column: str, file: DataFile) -> tuple[int, int]:
    """Return the first and last event time in a file, in microseconds since 1970; its day's bounds if unknown."""
    field = table.schema().find_field(time_column).field_id
    lower, upper = file.lower_bounds.get(field), file.upper_bounds.get(field)
    first = file.partition[0] * DAY_US if lower is None else int(from_bytes(LongType(), lower))
    last = (file.partition[0] + 1) * DAY_US - 1 if upper is None else int(from_bytes(LongType(), upper))
    return first, last


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since 1970."""
    return (at - _EPOCH) // _US


def _between(time_column: str, from_at: datetime, to_at: datetime) -> Any:
    first, end = (pa.scalar(microseconds(at), pa.timestamp("us", "UTC")) for at in (from_at, to_at))
    return (pc.field(time_column) >= first) & (pc.field(time_column) < end)


def _of_day(time_column: str, file: DataFile) -> Any:
    start = _EPOCH + timedelta(days=file.partition[0])
    return _between(time_column, start, start + timedelta(days=1))
