"""The rows of a parsed file that are to land, in parts of bounded size: as landing takes them, and as raw objects.

A part is a run of rows in the order of the file. Cut the same way by every try, so that a retry writes the same
objects under the same keys: `raw/<feed>/arrival_date=D/arrival_hour=H/partner-<partner>-<sha256>-<part>.parquet`.
"""

from __future__ import annotations

import io
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.contracts.arrow import arrow_schema
from domain.contracts.model import Choice, Feed, Text
from ingestion.partners.ledger import PartnerFile
from ingestion.partners.rows.fingerprints import HASHES
from ingestion.partners.rows.spool import read_rows
from ingestion.partners.supersede import Bools, Comparison

PART_ROWS = 100_000
_US = pa.timestamp("us", "UTC")
_LINE = "_line"


@dataclass(frozen=True)
class Part:
    """A run of rows: `rows` are the feed's own columns, `extras` JSON texts, `lines` places in the file, from 1."""

    number: int
    rows: pa.Table
    lines: pa.ChunkedArray
    hashes: pa.Table
    extras: pa.ChunkedArray

    @property
    def first_line(self) -> int:
        """The file's line of the first row."""
        return int(self.lines[0].as_py())

    @property
    def last_line(self) -> int:
        """The file's line of the last row."""
        return int(self.lines[-1].as_py())

    def event_times(self, feed: Feed) -> tuple[datetime, datetime]:
        """The earliest and the latest event time."""
        bounds = pc.min_max(self.rows[feed.event_time])
        return bounds["min"].as_py(), bounds["max"].as_py()


def count_parts(comparison: Comparison) -> int:
    """Return how many parts there will be."""
    landing = comparison.rows - comparison.unchanged
    return -(-landing // PART_ROWS)


def read_parts(path: Path, feed: Feed, file: PartnerFile, comparison: Comparison) -> Generator[Part]:
    """Give the rows that land. A line that takes the place of another was sent when its file was, at the earliest."""
    assert file.sent_at is not None
    waiting: list[pa.Table] = []
    held = number = start = 0
    for batch in read_rows(path):
        count = batch.num_rows
        lands, changed = comparison.lands(start, count), comparison.changed(start, count)
        table = _chosen(_numbered(batch, start), lands, changed, file.sent_at)
        start += count
        waiting.append(table)
        held += table.num_rows
        while held >= PART_ROWS:
            joined = pa.concat_tables(waiting)
            yield _part(number, joined.slice(0, PART_ROWS), feed)
            waiting, held = [joined.slice(PART_ROWS)], held - PART_ROWS
            number += 1
    if held:
        yield _part(number, pa.concat_tables(waiting), feed)


def _numbered(batch: pa.RecordBatch, start: int) -> pa.Table:
    """Add the place of each row: its line of the file where the feed has one, else its number among the accepted."""
    table = pa.Table.from_batches([batch])
    if "source_line" in table.column_names:
        return table.append_column(_LINE, table["source_line"])
    places = np.arange(start + 1, start + 1 + batch.num_rows, dtype=np.int64)
    return table.append_column(_LINE, pa.array(places))


def _chosen(table: pa.Table, lands: Bools, changed: Bools, sent_at: datetime) -> pa.Table:
    if changed.any():
        at = table.column_names.index("recorded_at")
        recorded = table.column(at)
        sent = pa.scalar(sent_at, recorded.type)
        earlier = pc.and_(pa.array(changed), pc.less(recorded, sent))
        later = pc.if_else(earlier, sent, recorded)
        table = table.set_column(at, table.field(at), later)
    return table if lands.all() else table.filter(pa.array(lands))


def _part(number: int, table: pa.Table, feed: Feed) -> Part:
    rows = table.select(feed.names).cast(arrow_schema(feed)).replace_schema_metadata(None)
    return Part(number, rows, table[_LINE], table.select(HASHES), table["extras"])


def landing_rows(part: Part, batch_id: int, arrived_at: datetime) -> pa.Table:
    """Return a part as landing takes it."""
    count = part.rows.num_rows
    return (
        part.rows.append_column("batch_id", pa.array(np.full(count, batch_id, dtype=np.int64)))
        .append_column("line", pa.array(np.arange(count, dtype=np.int32)))
        .append_column("arrived_at", pa.repeat(pa.scalar(arrived_at, _US), count))
    )


def object_key(file: PartnerFile, part: Part) -> str:
    """Return the key of a part's raw object."""
    assert file.sha256 is not None
    at = file.arrived_at.astimezone(UTC)
    return (
        f"raw/{file.feed}/arrival_date={at:%Y-%m-%d}/arrival_hour={at:%H}/"
        f"partner-{file.partner}-{file.sha256[:16]}-{part.number:05d}.parquet"
    )


def encode_part(part: Part, feed: Feed, file: PartnerFile) -> bytes:
    """Return a part as Parquet (zstd): the contract's columns, its place in the file, the hashes of its lines."""
    facts = {
        b"fleetflow.feed": feed.name.encode(),
        b"fleetflow.partner": file.partner.encode(),
        b"fleetflow.file_sha256": (file.sha256 or "").encode(),
        b"fleetflow.first_sequence": str(part.first_line).encode(),
        b"fleetflow.last_sequence": str(part.last_line).encode(),
    }
    table = part.rows.append_column("stream_sequence", part.lines.cast(pa.string())).append_column(
        "sub_sequence", pa.array(np.zeros(part.rows.num_rows, np.int32))
    )
    for name in HASHES:
        table = table.append_column(name, part.hashes[name])
    schema = arrow_schema(feed)
    table = table.replace_schema_metadata({**(schema.metadata or {}), **facts})
    buffer = io.BytesIO()
    texts = [c.name for c in feed if isinstance(c.type, Text | Choice)]
    repeating = [name for name in texts if name not in feed.key]
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        compression_level=1,  # as small as with 3: hashes and ids are most of it
        use_dictionary=[*repeating, "schema_version"],
        write_statistics=[
            name for name in feed.names if name not in texts
        ],  # of texts they are a fifth of the work
    )
    return buffer.getvalue()


class Punctuality:
    """Counts what is remarkable about the rows that land: recorded late, and recorded before they happened."""

    def __init__(self, feed: Feed, late_after: timedelta, sample: int = 20) -> None:
        self._feed = feed
        self._late_us = int(late_after.total_seconds() * 1_000_000)
        self._sample = sample
        self._late, self._early = _Kind(), _Kind()

    def see(self, part: Part) -> None:
        """Look at a part."""
        recorded = part.rows["recorded_at"].cast(pa.int64()).to_numpy()
        happened = part.rows[self._feed.event_time].cast(pa.int64()).to_numpy()
        lag = recorded - happened
        self._note(self._late, part, lag, lag > self._late_us)
        self._note(self._early, part, -lag, lag < 0)

    def _note(self, kind: _Kind, part: Part, lag: np.ndarray, chosen: Bools) -> None:
        at = np.flatnonzero(chosen)
        kind.rows += at.size
        if not at.size:
            return
        kind.most_us = max(kind.most_us, int(lag[at].max()))
        for index in at[: self._sample - len(kind.lines)].tolist():
            kind.lines.append(int(part.lines[index].as_py()))

    def found(self) -> dict[str, Any]:
        """What was seen: rows, the longest time in days, and the first lines; empty where nothing was."""
        late_days = round(self._late_us / 86_400_000_000, 3)
        named = {"recorded_late": self._late, "recorded_before_it_happened": self._early}
        found: dict[str, Any] = {
            name: {
                "rows": kind.rows,
                "most_days": round(kind.most_us / 86_400_000_000, 3),
                "lines": kind.lines,
            }
            for name, kind in named.items()
            if kind.rows
        }
        if self._late.rows:
            found["recorded_late"]["after_days"] = late_days
        return found


class _Kind:
    """One kind of remarkable rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.most_us = 0
        self.lines: list[int] = []
