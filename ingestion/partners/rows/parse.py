"""One fetched file, read by its partner's declaration: rows of the contract and refusals, spooled to local Parquet.

Reads the file once, block by block, in memory that does not grow with it; blocks are converted in threads, a few at a
time, and come out in the order of the file. Writes two files under `scratch`, named by
the partner and the file's hash; they are gone if the file is refused or held. Touches nothing else. Asserted:
`lines = accepted + rejected`. Not decided here: which rows an earlier file of the same name already had.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from ingestion.partners.declare.model import Declaration
from ingestion.partners.faults import FileFault
from ingestion.partners.fetch.verify import check_rows
from ingestion.partners.judge import judge, judge_header
from ingestion.partners.read.block import Block
from ingestion.partners.read.pgp import PgpKeys
from ingestion.partners.read.reading import Opened, open_reader
from ingestion.partners.read.unpack import open_plain
from ingestion.partners.rows.binding import Binding, bind
from ingestion.partners.rows.convert import Converted, Converter
from ingestion.partners.rows.observe import Observer
from ingestion.partners.rows.spool import Spool
from ingestion.partners.schema import KnownSchema, ObservedSchema, SchemaDiff

__all__ = ["FileFacts", "FileFault", "KnownSchema", "Parsed", "PgpKeys", "parse_file"]

_WORKERS = min(4, len(os.sched_getaffinity(0)))


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file from outside: its name, hash, and times in UTC.

    `arrived_at` is when it was fetched: no time in it may be more than an hour later. Without it the file's own time
    counts. `promised_lines` are those that a manifest counts.
    """

    name: str
    sha256: str
    modified_at: datetime
    arrived_at: datetime | None = None
    promised_lines: int | None = None


@dataclass(frozen=True)
class Parsed:
    """What became of a file. `lines` are data lines: no header, trailer, comments or blanks.

    `rows_path` holds the contract's columns in order, `line_hash`, `content_hash` and `extras`; `refusals_path` line,
    rule, detail and raw. `diff` is None where the schema is one that is known. `recorded_before` rows were recorded
    before they happened, `recorded_late` later than the declaration's `late_after`; both are among the accepted.
    """

    rows_path: Path
    refusals_path: Path
    lines: int
    accepted: int
    rejected: int
    schema: ObservedSchema
    diff: SchemaDiff | None
    min_event_time: datetime | None
    max_event_time: datetime | None
    recorded_before: int = 0
    recorded_late: int = 0
    rejected_by_rule: Mapping[str, int] = field(default_factory=dict)


def parse_file(
    path: Path,
    declaration: Declaration,
    facts: FileFacts,
    known: Sequence[KnownSchema],
    scratch: Path,
    *,
    keys: PgpKeys | None = None,
    approved: bool = False,
    block_bytes: int | None = None,
) -> Parsed:
    """Read a file to the end; `approved` lets through what a person may approve (see `faults.HELD`).

    Safe to repeat: the same file gives the same spools.

    Raises:
        FileFault: the file is refused or held; no spool is left behind.
    """
    stem = f"{declaration.name}-{facts.sha256[:16]}"
    spool = Spool(scratch / f"{stem}.rows.parquet", scratch / f"{stem}.refusals.parquet", declaration)
    try:
        with open_plain(path, declaration, scratch, keys, name=facts.name, approved=approved) as stream:
            parsed = _read(stream, declaration, facts, known, spool, approved, block_bytes)
        spool.close()
    except BaseException:
        spool.discard()
        raise
    return parsed


def _read(
    stream: BinaryIO,
    declaration: Declaration,
    facts: FileFacts,
    known: Sequence[KnownSchema],
    spool: Spool,
    approved: bool,
    block_bytes: int | None,
) -> Parsed:
    arrived_at = facts.arrived_at or facts.modified_at
    with ExitStack() as stack:
        opened = open_reader(stream, declaration, tolerant=approved, block_bytes=block_bytes)
        converter = Converter(declaration, facts.modified_at, arrived_at, opened.cell_layouts)
        stack.callback(converter.close)
        spool.open(converter.schema)
        observer = Observer()
        before = late = 0
        binding: Binding | None = None
        for block, binding, converted in _converted(_bound(opened, declaration, approved), converter):
            observer.look(block, binding)
            before += converted.recorded_before
            late += converted.recorded_late
            spool.add(converted.table, converted.refused)
        schema = observer.schema(converter.layouts)
        doubts = converter.doubts
    lines = spool.accepted + spool.rejected
    opened.check_end(lines, approved)
    check_rows(facts.promised_lines, lines)
    schema, diff = judge(declaration, binding, schema, known, spool, doubts, approved)
    return Parsed(
        spool.rows_path,
        spool.refusals_path,
        lines,
        spool.accepted,
        spool.rejected,
        schema,
        diff,
        spool.min_time,
        spool.max_time,
        before,
        late,
        dict(spool.rules),
    )


def _bound(opened: Opened, declaration: Declaration, approved: bool) -> Iterator[tuple[Block, Binding]]:
    """Bind each block's columns; a header that cannot be read ends it before any row."""
    binding: Binding | None = None
    for block in opened.reader.blocks():
        if binding is None or binding.names != tuple(block.names):
            binding = bind(block.names, declaration)
            if not opened.grows:
                judge_header(declaration, binding, approved)
        yield block, binding


def _converted(
    blocks: Iterator[tuple[Block, Binding]], converter: Converter
) -> Iterator[tuple[Block, Binding, Converted]]:
    """Convert blocks in threads, in their order; no more are in memory than there are threads, and one."""
    waiting: deque[tuple[Block, Binding, Future[Converted]]] = deque()
    with ThreadPoolExecutor(_WORKERS, "convert") as pool:
        for block, binding in blocks:
            waiting.append((block, binding, pool.submit(converter.convert, block, binding)))
            if len(waiting) > _WORKERS:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())


def _done(block: Block, binding: Binding, converting: Future[Converted]) -> tuple[Block, Binding, Converted]:
    return block, binding, converting.result()
