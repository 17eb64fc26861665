"""Compaction of one feed's part of a claim: fetch, find repeats, write sorted files, announce, commit.

The steps, and what a crash between them leaves:
1. `fetched`, `planned`: nothing.
2. `file_written`, `files_written`: files that no snapshot names; maintenance removes them.
3. `announced`: the announcement. The table has no snapshot of the run: the next run takes the batches anew.
4. `committed`: a snapshot of the run. The next run settles it (`settle_announced`) and leaves its batches alone.
Two runs that hold the same batches (one froze, and lost its claim) cannot both commit: a commit goes on top of the
snapshot that its rows were held against, or fails.
Memory is bounded by constants: for a claim some 20 bytes a row of keys, then three parts of the rows themselves. What a
part has used is given back, or the allocators would keep it, thread by thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Semaphore
from uuid import UUID

import numpy as np
import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from domain.contracts.model import Feed
from ingestion.lake.commit import append, snapshot_of
from ingestion.lake.files import Chosen, sorted_by_entity, write_day
from ingestion.lake.ledger import Connection, Intake, announce, announced, settle
from ingestion.lake.objects import (
    DAY_US,
    Fetched,
    LeftOut,
    RawBatch,
    RawObjects,
    days_in,
    in_parts,
    load,
    pick,
    times_of,
)
from ingestion.lake.patience import persist
from ingestion.lake.repeats import Repeats, find_repeats
from ingestion.lake.tables import Lake

STEPS = ("claimed", "fetched", "planned", "file_written", "files_written", "announced", "committed", "marked")
READ_ROWS = 100_000
FILE_ROWS = 250_000
BUFFER_ROWS = 350_000
_WRITERS = 2

Step = Callable[[str], None]


@dataclass(frozen=True)
class FeedResult:
    """What became of one feed's part of a claim."""

    intake: Intake
    snapshot_id: int | None
    left_out: tuple[LeftOut, ...] = ()
    files: int = 0
    size_bytes: int = 0


@dataclass(frozen=True)
class Work:
    """What a compaction works with. `check` raises where the run has lost its claim; `step` is told every step."""

    lake: Lake
    objects: RawObjects
    run_id: UUID
    conn: Connection
    check: Callable[[], None]
    step: Step = field(default=lambda _: None)


def open_tables(lake: Lake, feeds: Sequence[str]) -> dict[str, Table]:
    """Load the tables of feeds; made, or brought in line with their contracts, where they must be."""
    return {feed: persist(partial(lake.table, feed), f"loading {feed}") for feed in feeds}


def settle_announced(lake: Lake, conn: Connection) -> list[Intake]:
    """Settle the commits whose runs died before they could record them; return them."""
    settled = []
    for intake in announced(conn):
        table = persist(partial(lake.find, intake.feed), f"loading {intake.feed}")
        snapshot = snapshot_of(table, intake.run_id) if table is not None else None
        if snapshot is not None:
            settle(conn, intake, snapshot.snapshot_id)
            settled.append(intake)
    return settled


def compact_feed(work: Work, feed: Feed, table: Table, batches: Sequence[RawBatch]) -> FeedResult:
    """Take batches of one feed into its table, in one commit; what cannot be read is left out.

    `table` was loaded before the announced commits were settled: one that came through later makes this one fail.

    Raises:
        OvertakenError: another run has added rows meanwhile; nothing was committed.
        OSError: storage or the catalog refused for too long.
    """
    started = time.perf_counter()
    fetched, left_out, keys = work.objects.fetch(feed, batches)
    work.step("fetched")
    try:
        repeats, days = find_repeats(work.lake, table, feed, fetched, keys) if fetched else (None, 0)
        del keys
        work.step("planned")
        files = _write_files(work, feed, table, fetched, repeats) if repeats else []
    finally:
        work.objects.drop(fetched)
    work.step("files_written")
    intake = Intake(
        run_id=work.run_id,
        feed=feed.name,
        batch_ids=tuple(one.batch.batch_id for one in fetched),
        rows_read=sum(one.batch.rows for one in fetched),
        rows_added=sum(int(file.record_count) for file in files),
        days=days,
        seconds=time.perf_counter() - started,
    )
    snapshot_id = None
    if files:
        announce(work.conn, intake)
        work.step("announced")
        snapshot_id = append(work.lake, table, files, work.run_id, work.check)
        work.step("committed")
    size = sum(int(file.file_size_in_bytes) for file in files)
    return FeedResult(intake, snapshot_id, tuple(left_out), len(files), size)


def _write_files(
    work: Work, feed: Feed, table: Table, fetched: Sequence[Fetched], repeats: Repeats
) -> list[DataFile]:
    """Write the claim's rows without repeats, day by day; two files are made at a time while the next rows are read."""
    slots = Semaphore(_WRITERS)
    writing: list[Future[DataFile]] = []

    def write(day: int, parts: list[Chosen]) -> DataFile:
        try:
            file = write_day(work.lake, table, sorted_by_entity(feed, parts), day, str(work.run_id))
        finally:
            slots.release()
            pa.default_memory_pool().release_unused()
        work.step("file_written")
        return file

    with ThreadPoolExecutor(_WRITERS) as pool:
        for day, parts in _by_day(feed, fetched, repeats):
            slots.acquire()
            writing.append(pool.submit(write, day, parts))
        return [task.result() for task in writing]


def _by_day(feed: Feed, fetched: Sequence[Fetched], repeats: Repeats) -> Iterator[tuple[int, list[Chosen]]]:
    """Yield rows of one day at a time, as many as make a file, or as must go to bound what is held."""
    held: dict[int, list[Chosen]] = {}
    sizes: dict[int, int] = {}
    for part in in_parts(fetched, READ_ROWS):
        for day, chosen in _split(feed, load(feed, part), repeats):
            held.setdefault(day, []).append(chosen)
            sizes[day] = sizes.get(day, 0) + chosen.rows
            del chosen
        while sizes and (max(sizes.values()) >= FILE_ROWS or sum(sizes.values()) >= BUFFER_ROWS):
            largest = max(sizes, key=lambda day: sizes[day])
            del sizes[largest]
            yield largest, held.pop(largest)
    for day in sorted(held):
        yield day, held.pop(day)


def _split(feed: Feed, table: pa.Table, repeats: Repeats) -> Iterator[tuple[int, Chosen]]:
    """Tell the days of a part apart. The day with most rows stays where it is, the few of others are copied out."""
    keep = repeats.new_rows(table)
    day = times_of(table, feed) // DAY_US
    wanted = day if keep is None else day[keep]
    if not len(wanted):
        return
    days = days_in(wanted)
    if len(days) == 1 and keep is None:
        yield days[0], Chosen(table)
        return
    masks = {number: day == number if keep is None else (day == number) & keep for number in days}
    main = max(days, key=lambda number: int(np.count_nonzero(masks[number])))
    for number, mask in masks.items():
        if number == main:
            yield number, Chosen(table, np.flatnonzero(mask))
        else:
            yield number, Chosen(pick(table, mask))
