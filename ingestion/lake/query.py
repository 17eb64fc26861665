"""SQL over the lake: DuckDB on the tables' files, read only, bounded in time and memory.

A table is there under its feed's name, at its newest snapshot or at an earlier one. DuckDB hands the columns and the
conditions that it can to Arrow's scan of the files, which knows the day of each: a query by event time opens the files
of its days.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.table import Table

from ingestion.lake.read import BATCH_ROWS, data_files, dataset, event_time
from ingestion.lake.tables import Lake

MEMORY = "400MB"
At = int | datetime | None
"""A snapshot's id, an instant, or the newest."""


class QueryError(ValueError):
    """The query cannot be run as it stands; the message says why."""


class QueryTimeoutError(RuntimeError):
    """The query ran longer than it may."""


@contextmanager
def run_query(
    lake: Lake, query: str, at: At = None, timeout_s: float = 300.0
) -> Iterator[pa.RecordBatchReader]:
    """Yield the rows of one SELECT; tables are read as they were `at` a snapshot or an instant.

    Raises:
        QueryError: the statement is none that reads, names an unknown table or column, or `at` is before everything.
        QueryTimeoutError: it did not end in time, be it while the rows are read.
    """
    with TemporaryDirectory(prefix="fleetflow-sql-") as scratch, duckdb.connect() as engine:
        _require_select(engine, query)
        for feed, rows in _tables(lake, at).items():
            engine.register(feed, rows)
        _restrict(engine, Path(scratch))
        expired = threading.Event()

        def end() -> None:
            expired.set()
            engine.interrupt()

        clock = threading.Timer(timeout_s, end)
        clock.daemon = True
        clock.start()
        try:
            result: pa.RecordBatchReader = engine.sql(query).to_arrow_reader(BATCH_ROWS)
            yield result
        except (duckdb.Error, OSError) as fault:
            if expired.is_set() or isinstance(fault, duckdb.InterruptException):
                raise QueryTimeoutError(f"the query did not end within {timeout_s:g} s") from fault
            raise QueryError(_words(fault, lake)) from fault
        finally:
            clock.cancel()


def tables_at(lake: Lake, at: At) -> dict[str, tuple[Table, int | None]]:
    """Return each feed's table with the snapshot to read; None where it had none yet.

    Given a snapshot of one table, the others are read as they were when it was made.

    Raises:
        QueryError: no table has that snapshot.
    """
    found = {feed: table for feed in lake.feeds if (table := lake.find(feed)) is not None}
    if at is None:
        return {feed: (table, table.metadata.current_snapshot_id) for feed, table in found.items()}
    if isinstance(at, datetime):
        millis = int(at.timestamp() * 1000)
    else:
        made = [s.timestamp_ms for table in found.values() if (s := table.snapshot_by_id(at)) is not None]
        if not made:
            raise QueryError(f"no table has snapshot {at}; `fleetflow lake status` names the newest of each")
        millis = made[0]
    return {feed: (table, _snapshot_at(table, at, millis)) for feed, table in found.items()}


def _snapshot_at(table: Table, at: At, millis: int) -> int | None:
    if isinstance(at, int) and table.snapshot_by_id(at) is not None:
        return at
    before = table.snapshot_as_of_timestamp(millis)
    return None if before is None else before.snapshot_id


def _tables(lake: Lake, at: At) -> Mapping[str, Any]:
    chosen = tables_at(lake, at)
    if isinstance(at, datetime) and chosen and all(snapshot is None for _, snapshot in chosen.values()):
        raise QueryError(f"no snapshot is as old as {at:%Y-%m-%d %H:%M:%S} UTC")
    rows: dict[str, Any] = {}
    for feed, (table, snapshot) in chosen.items():
        files = [] if snapshot is None else data_files(table, event_time(lake, feed), snapshot_id=snapshot)
        rows[feed] = dataset(lake, table, files)
    return rows


def _require_select(engine: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        statements = engine.extract_statements(query)
    except duckdb.Error as fault:
        raise QueryError(str(fault)) from fault
    kinds = [statement.type for statement in statements]
    if len(kinds) != 1 or kinds[0] not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        found = ", ".join(kind.name for kind in kinds) or "nothing"
        raise QueryError(f"the lake is read by one SELECT statement; this is {found}")


def _restrict(engine: duckdb.DuckDBPyConnection, scratch: Path) -> None:
    """Bound the memory, and keep the query to the registered tables: no files, no network, no settings."""
    engine.execute("set memory_limit = ?", [MEMORY])
    engine.execute("set temp_directory = ?", [str(scratch)])
    engine.execute("set TimeZone = 'UTC'")
    engine.execute("set python_enable_replacements = false")
    engine.execute("set enable_external_access = false")
    engine.execute("set lock_configuration = true")


def _words(fault: Exception, lake: Lake) -> str:
    unknown = re.search(r"Table with name (\S+) does not exist", str(fault))
    if unknown:
        known = sorted(feed for feed in lake.feeds if lake.find(feed) is not None)
        there = ", ".join(known) if known else "none yet: nothing was compacted"
        return f"there is no table {unknown.group(1)} in the lake; there are: {there}"
    return str(fault).strip()
