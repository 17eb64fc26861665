"""What a backfill is made of: its range, its chunks, where each takes its rows from, and what can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol

import psycopg
import pyarrow as pa

Connection = psycopg.Connection[tuple[Any, ...]]


class BackfillError(Exception):
    """The backfill cannot go on; the message says why, and what to do."""


class ArmGoneError(BackfillError):
    """Rows that were in landing when the backfill was planned are there no longer."""


class BusyError(BackfillError):
    """Another process works on the same backfill."""


@dataclass(frozen=True)
class Span:
    """A half-open range of event time, in UTC."""

    from_at: datetime
    to_at: datetime

    def __post_init__(self) -> None:
        """Refuse a range that holds no instant."""
        if self.from_at >= self.to_at:
            raise BackfillError(
                f"the range is empty: from {self.from_at:%F %T} is not before {self.to_at:%F %T}"
            )


def parse_instant(words: str) -> datetime:
    """Read a day or an instant; without a zone it is UTC.

    Raises:
        BackfillError: it is neither.
    """
    try:
        if len(words) == len("2026-01-31"):
            return datetime.combine(date.fromisoformat(words), datetime.min.time(), UTC)
        at = datetime.fromisoformat(words)
    except ValueError as fault:
        raise BackfillError(
            f"{words!r} is neither a day nor an instant; expected 2026-01-31 or 2026-01-31T14:00 (UTC)"
        ) from fault
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def day_span(day: date) -> Span:
    """Return the range of one day."""
    start = datetime.combine(day, datetime.min.time(), UTC)
    return Span(start, start + timedelta(days=1))


@dataclass(frozen=True)
class Chunk:
    """A part of the range that lands, and is verified, as one; `rows` is what the plan has counted."""

    number: int
    span: Span
    arm: str
    rows: int


@dataclass(frozen=True)
class Backfill:
    """A backfill as the ledger has it."""

    backfill_id: int
    feed: str
    span: Span
    state: str
    requested_by: str
    rows_per_chunk: int


class Archive(Protocol):
    """The lake, as much of it as a backfill needs; ranges are of event time."""

    def count(self, span: Span) -> int:
        """Count the rows of a range."""

    def scan(self, span: Span, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Give the rows of a range, in portions of bounded size."""

    def weigh(self, span: Span) -> tuple[int, int]:
        """Return how many objects, and bytes in them, a scan of the range reads."""
