"""Where a parsed file waits to be landed: two local files, and the counts of what went into them.

Rows are an Arrow IPC file (lz4), a record batch a block, which costs a third of Parquet; refusals are Parquet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingestion.partners.declare.model import Declaration
from ingestion.partners.read.block import LineRefusal

REFUSALS = pa.schema(
    [("line", pa.int64()), ("rule", pa.string()), ("detail", pa.string()), ("raw", pa.binary())]
)
"""What a spooled refusal holds."""


class Spool:
    """The two files of a parsed file, and the counts of what went into them."""

    def __init__(self, rows_path: Path, refusals_path: Path, declaration: Declaration) -> None:
        self.rows_path, self.refusals_path = rows_path, refusals_path
        self._event_time = declaration.contract.event_time
        self._rows: pa.ipc.RecordBatchFileWriter | None = None
        self._refusals = pq.ParquetWriter(refusals_path, REFUSALS, compression="zstd")
        self.accepted = self.rejected = 0
        self.rules: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.min_time: datetime | None = None
        self.max_time: datetime | None = None

    def open(self, schema: pa.Schema) -> None:
        """Begin the rows' file."""
        self._rows = pa.ipc.new_file(
            str(self.rows_path), schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
        )

    def add(self, table: pa.Table, refused: Sequence[LineRefusal]) -> None:
        """Add the rows and refusals of one block."""
        assert self._rows is not None
        if table.num_rows:
            self._rows.write_table(table)
            bounds = pc.min_max(table[self._event_time])
            low, high = bounds["min"].as_py(), bounds["max"].as_py()
            self.min_time = low if self.min_time is None else min(self.min_time, low)
            self.max_time = high if self.max_time is None else max(self.max_time, high)
            self.accepted += table.num_rows
        if refused:
            rows = [vars(refusal) for refusal in refused]
            self._refusals.write_table(pa.Table.from_pylist(rows, schema=REFUSALS))
            self.rejected += len(rows)
            for row in rows:
                rule = str(row["rule"])
                self.rules[rule] += 1
                self.examples.setdefault(rule, f"line {row['line']}: {row['detail']}")

    def close(self) -> None:
        """Finish both files."""
        if self._rows is not None:
            self._rows.close()
        self._refusals.close()

    def discard(self) -> None:
        """Close and remove both files."""
        self.close()
        self.rows_path.unlink(missing_ok=True)
        self.refusals_path.unlink(missing_ok=True)


def read_rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Give spooled rows batch by batch, all columns or some; not mapped, so that memory does not grow with the file."""
    with pa.OSFile(str(path)) as file:
        schema = pa.ipc.open_file(file).schema
        chosen = [schema.get_field_index(name) for name in columns or ()] or None
        reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=chosen))
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
