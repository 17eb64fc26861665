"""What a backfill has to do: which parts of the range come from landing, which from the lake, in chunks.

An hour comes from landing if every batch that may hold events of it still has all its rows there; then nothing is
copied, the batches are queued again. Else it comes from the lake, which holds each event once. Counted is what is
there, not what the ledger says should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

from psycopg import sql

from domain.contracts import FEEDS
from domain.contracts.model import Feed
from ingestion.backfill.model import Archive, BackfillError, Chunk, Connection, Span

HOUR = timedelta(hours=1)
LEAST_WIDTH = timedelta(minutes=1)
ROWS_PER_CHUNK = 4_000_000
_NAMED = 5

# Batches that may hold events of the range; one without bounds may hold any.
CANDIDATES = """
select b.batch_id, b.accepted, b.min_event_time as first_at, b.max_event_time as last_at
from ops.batch as b
where b.feed = %(feed)s and b.accepted > 0 and b.source in ('stream', 'replay', 'partner')
    and (b.max_event_time >= %(from_at)s or b.max_event_time is null)
    and (b.min_event_time < %(to_at)s or b.min_event_time is null)
"""


@dataclass(frozen=True)
class Batch:
    """A landed batch: how many rows it was entered with, and how many of them landing has."""

    batch_id: int
    accepted: int
    found: int
    in_lake: bool
    touched: range

    @property
    def whole(self) -> bool:
        """Whether landing has all its rows."""
        return self.found == self.accepted


@dataclass(frozen=True)
class Plan:
    """The work of a backfill. Bytes are those of raw objects: what a scan of the lake has to read, roughly."""

    feed: str
    span: Span
    chunks: tuple[Chunk, ...]
    batches: int
    objects: int
    size_bytes: int

    @property
    def rows(self) -> int:
        """Rows of every chunk together."""
        return sum(chunk.rows for chunk in self.chunks)

    def rows_from(self, arm: str) -> int:
        """Rows that come from landing, or from the lake."""
        return sum(chunk.rows for chunk in self.chunks if chunk.arm == arm)


def feed_of(name: str) -> Feed:
    """Return the contract of a feed that lands.

    Raises:
        BackfillError: there is no such feed.
    """
    if name not in FEEDS:
        raise BackfillError(f"there is no feed {name!r}: expected one of {', '.join(FEEDS)}")
    return FEEDS[name]


def make_plan(
    conn: Connection, feed: Feed, span: Span, archive: Archive | None, rows_per_chunk: int = ROWS_PER_CHUNK
) -> Plan:
    """Look at what there is and cut the range into chunks; writes nothing.

    Raises:
        BackfillError: rows of the range are neither whole in landing nor in the lake.
    """
    batches, counts = _read_landing(conn, feed, span)
    hours = _hours(span)
    gone = [batch for batch in batches if not batch.whole]
    _require_lake(feed, gone, archive)
    chunks: list[Chunk] = []
    for arm, group in groupby(range(len(hours)), lambda hour: _arm(hour, batches)):
        part = list(group)
        whole = Span(hours[part[0]].from_at, hours[part[-1]].to_at)
        if archive is not None and (arm == "lake" or (arm == "unknown" and archive.count(whole))):
            chunks += [
                Chunk(0, piece, "lake", rows) for piece, rows in _cut_lake(archive, whole, rows_per_chunk)
            ]
        else:
            pieces = _cut_landing([(hours[h], counts.get(h, 0)) for h in part], rows_per_chunk)
            chunks += [Chunk(0, piece, "landing", rows) for piece, rows in pieces]
    numbered = tuple(Chunk(n, c.span, c.arm, c.rows) for n, c in enumerate(chunks, start=1))
    weights = [archive.weigh(c.span) for c in numbered if c.arm == "lake" and archive is not None]
    return Plan(
        feed.name,
        span,
        numbered,
        len(batches),
        sum(files for files, _ in weights),
        sum(size for _, size in weights),
    )


def _read_landing(conn: Connection, feed: Feed, span: Span) -> tuple[list[Batch], dict[int, int]]:
    """Count what landing has of each batch, and of each hour of the range."""
    bounds = {"feed": feed.name, "from_at": span.from_at, "to_at": span.to_at}
    known = conn.execute(
        f"select c.*, exists (select from ops.transformed_batch as t where t.pipeline = 'lake'"
        f" and t.batch_id = c.batch_id) as in_lake from ({CANDIDATES}) as c order by c.batch_id".encode(),
        bounds,
    ).fetchall()
    if not known:
        return [], {}
    statement = sql.SQL(
        "select e.batch_id, case when e.{at} >= %(from_at)s and e.{at} < %(to_at)s"
        " then floor(extract(epoch from e.{at} - %(from_at)s) / 3600)::int end, count(*)"
        " from {table} as e where e.batch_id between %(first)s and %(last)s and e.batch_id = any(%(ids)s)"
        " group by 1, 2"
    ).format(at=sql.Identifier(feed.event_time), table=sql.Identifier("landing", feed.name))
    ids = [row[0] for row in known]
    rows = conn.execute(statement, {**bounds, "first": ids[0], "last": ids[-1], "ids": ids}).fetchall()
    found: dict[int, int] = {}
    counts: dict[int, int] = {}
    for batch_id, hour, count in rows:
        found[batch_id] = found.get(batch_id, 0) + count
        if hour is not None:
            counts[hour] = counts.get(hour, 0) + count
    batches = [
        Batch(b, accepted, found.get(b, 0), in_lake, _touched(first, last, span))
        for b, accepted, first, last, in_lake in known
    ]
    return batches, counts


def _touched(first: datetime | None, last: datetime | None, span: Span) -> range:
    """Return the hours of the range between a batch's first and last event; unknown ends reach to the range's."""
    start = span.from_at if first is None else max(first, span.from_at)
    end = span.to_at if last is None else min(last, span.to_at)
    return range(int((start - span.from_at) / HOUR), int((end - span.from_at) / HOUR) + 1)


def _arm(hour: int, batches: Sequence[Batch]) -> str:
    """Tell where an hour's rows come from; the ledger may have forgotten those of long ago."""
    touching = [batch.whole for batch in batches if hour in batch.touched]
    return "unknown" if not touching else "landing" if all(touching) else "lake"


def _hours(span: Span) -> list[Span]:
    starts = []
    at = span.from_at
    while at < span.to_at:
        starts.append(at)
        at += HOUR
    return [Span(start, min(start + HOUR, span.to_at)) for start in starts]


def _require_lake(feed: Feed, gone: Sequence[Batch], archive: Archive | None) -> None:
    lost = [batch for batch in gone if archive is None or not batch.in_lake]
    if not lost:
        return
    names = ", ".join(str(batch.batch_id) for batch in lost[:_NAMED]) + (
        ", ..." if len(lost) > _NAMED else ""
    )
    why = (
        "and there is no lake here" if archive is None else "and compaction has not taken them into the lake"
    )
    raise BackfillError(
        f"{feed.name}: of {len(lost)} batches ({names}) landing no longer has all rows, {why};"
        " `fleetflow lake compact` takes what is pending from the raw objects"
    )


def _cut_landing(hours: Sequence[tuple[Span, int]], rows_per_chunk: int) -> Iterator[tuple[Span, int]]:
    """Put hours together up to the size of a chunk; an hour is not cut, for nothing of it is copied."""
    start, rows = hours[0][0].from_at, 0
    end = start
    for hour, count in hours:
        if rows and rows + count > rows_per_chunk:
            yield Span(start, end), rows
            start, rows = hour.from_at, 0
        rows += count
        end = hour.to_at
    yield Span(start, end), rows


def _cut_lake(archive: Archive, span: Span, rows_per_chunk: int) -> Iterator[tuple[Span, int]]:
    """Cut by event day, as the lake does, and a day that is too large into equal parts of time."""
    for day in _days(span):
        yield from _halve(archive, day, archive.count(day), rows_per_chunk)


def _halve(archive: Archive, span: Span, rows: int, rows_per_chunk: int) -> Iterator[tuple[Span, int]]:
    width = span.to_at - span.from_at
    if rows <= rows_per_chunk or width <= LEAST_WIDTH:
        yield span, rows
        return
    parts = -(-rows // rows_per_chunk)
    edges = [span.from_at + width * i / parts for i in range(parts)] + [span.to_at]
    for start, end in pairwise(edges):
        piece = Span(start, end)
        count = archive.count(piece)
        if count > rows_per_chunk * 2:
            yield from _halve(archive, piece, count, rows_per_chunk)
        else:
            yield piece, count


def _days(span: Span) -> Iterator[Span]:
    at = span.from_at
    while at < span.to_at:
        midnight = datetime(at.year, at.month, at.day, tzinfo=UTC) + timedelta(days=1)
        yield Span(at, min(midnight, span.to_at))
        at = midnight
