"""The stream's side: what senders say, what the stream still holds, and the chain of each shard's checkpoints.

A sender's minute and an arrival's minute differ by what was under way, and by clocks: a window must hold at least what
was sent in it but for its margins. What is short there and came since, all told, is late; what never came is missing.
What was read before the window makes good for nothing in it: repeats of an earlier day are no late arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from quality.reconcile.ledger import SHOWN, values
from quality.reconcile.model import Cause, Connection, CouldNotCount, Counted, Difference, Note
from quality.reconcile.sent import SentWindow, sent_within

MARGIN = timedelta(minutes=2)


@dataclass(frozen=True)
class Unlanded:
    """A shard of a stream and when its oldest record arrived that is not landed; None where all of it is."""

    stream: str
    shard: str
    oldest_at: datetime | None
    leased: bool = True


Frontier = Mapping[str, Sequence[Unlanded] | CouldNotCount]
"""Per feed, the shards of its stream, as the stream itself tells; a feed without a stream is not in it."""


def count_frontier(counted: Counted, frontier: Frontier) -> None:
    """Ask the stream itself whether everything that arrived before the window's end is landed."""
    shards = frontier.get(counted.window.feed)
    if shards is None:
        return
    if isinstance(shards, CouldNotCount):
        counted.differences.append(Difference("stream", Cause.NOT_COUNTED, str(shards)))
        return
    for shard in shards:
        if shard.oldest_at is None or shard.oldest_at >= counted.window.end:
            continue
        words = f"{shard.stream}/{shard.shard}: what arrived from {shard.oldest_at:%Y-%m-%d %H:%M:%S} on is not landed"
        if not shard.leased:
            words += "; no worker has ever held the shard"
        counted.differences.append(Difference("stream", Cause.IN_FLIGHT, words))


def count_chain(conn: Connection, counted: Counted) -> None:
    """Follow the checkpoints: each cut goes on where the last one ended, and the ledger says what the cut said."""
    window = counted.window
    rows = conn.execute(
        "with cuts as materialized ("
        "  select c.*, (c.events ->> %(feed)s)::bigint as said, (select p.last_sequence from ops.shard_cut as p"
        "   where p.stream = c.stream and p.shard = c.shard and p.cut_id < c.cut_id"
        "   order by p.cut_id desc limit 1) as before"
        "  from ops.shard_cut as c where c.first_arrived_at >= %(start)s and c.first_arrived_at < %(end)s"
        "  and c.events ? %(feed)s),"
        " batches as materialized (select b.* from ops.batch as b where b.feed = %(feed)s and b.source = 'stream'"
        "  and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s)"
        " select coalesce(c.stream, b.stream), coalesce(c.shard, b.shard), c.after_sequence, c.before,"
        "  coalesce(c.last_sequence, b.last_sequence), c.said, b.batch_id, b.events_read, c.cut_id is not null,"
        "  c.cut_id is not null and c.after_sequence is distinct from c.before"
        " from cuts as c full join batches as b"
        "  on b.stream = c.stream and b.shard = c.shard and b.last_sequence = c.last_sequence"
        " where c.cut_id is null or b.batch_id is null or c.said <> b.events_read"
        "  or c.after_sequence is distinct from c.before"
        " order by 1, 2, c.cut_id",
        values(window),
    ).fetchall()
    counted.counts["cut_events"] = _events_of_cuts(conn, counted)
    for row in rows[:SHOWN]:
        counted.differences += _broken(*row)
    if len(rows) > SHOWN:
        words = f"{len(rows) - SHOWN} more cuts do not fit the ledger"
        counted.differences.append(Difference("stream ranges", Cause.CHANGED, words, len(rows) - SHOWN))


def _events_of_cuts(conn: Connection, counted: Counted) -> int:
    row = conn.execute(
        "select coalesce(sum((events ->> %(feed)s)::bigint), 0)::bigint from ops.shard_cut"
        " where first_arrived_at >= %(start)s and first_arrived_at < %(end)s and events ? %(feed)s",
        values(counted.window),
    ).fetchone()
    return int(row[0]) if row else 0


def _broken(
    stream: str,
    shard: str,
    after: str | None,
    before: str | None,
    last: str,
    said: int | None,
    batch_id: int | None,
    read: int | None,
    has_cut: bool,
    is_broken: bool,
) -> list[Difference]:
    """Say what is wrong with one cut or one batch. A shard's first known cut has none before it to go on from."""
    place, found = f"{stream}/{shard}", []
    if not has_cut:
        words = f"batch {batch_id} ends at {last} of {place}, where no cut ended: it is a second one, or was changed"
        found.append(Difference("stream ranges", Cause.EXTRA, words, read or 0))
        return found
    if is_broken and before is not None:
        words = f"{place}: the cut to {last} goes on after {after or 'the start'}, the one before ended at {before}"
        found.append(Difference("stream ranges", Cause.MISSING, words))
    if batch_id is None:
        words = f"{place}: the cut to {last} read {said} events, the ledger has no batch of it"
        found.append(Difference("stream ranges", Cause.MISSING, words, said or 0))
    elif said != read:
        words = (
            f"batch {batch_id}: the ledger says {read} events read, the cut to {last} of {place} said {said}"
        )
        found.append(Difference("stream ranges", Cause.CHANGED, words, abs((said or 0) - (read or 0))))
    return found


def count_overlaps(conn: Connection, counted: Counted) -> None:
    """A record of a shard lies in one batch of a feed, an object belongs to one batch."""
    rows = conn.execute(
        "with near as (select b.batch_id, b.stream, b.shard, b.first_sequence, b.last_sequence, b.first_arrived_at,"
        "  lag(b.last_sequence::numeric) over shard as before, lag(b.batch_id) over shard as other"
        "  from ops.batch as b where b.feed = %(feed)s and b.source = 'stream'"
        "  and b.first_arrived_at >= %(start)s - interval '1 hour' and b.first_arrived_at < %(end)s"
        "  and b.first_sequence ~ '^[0-9]+$' and b.last_sequence ~ '^[0-9]+$'"
        "  window shard as (partition by b.stream, b.shard order by b.first_sequence::numeric, b.batch_id))"
        " select batch_id, other, stream || '/' || shard, first_sequence from near"
        " where first_sequence::numeric <= before and first_arrived_at >= %(start)s",
        values(counted.window),
    ).fetchall()
    for batch_id, other, place, first in rows[:SHOWN]:
        words = (
            f"batch {batch_id} begins at {first} of {place}, within batch {other}: its rows may stand twice"
        )
        counted.differences.append(Difference("stream ranges", Cause.EXTRA, words))
    twice = conn.execute(
        "select b.object_key, array_agg(b.batch_id order by b.batch_id) from ops.batch as b where b.feed = %(feed)s"
        " and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s and b.object_key is not null"
        " group by 1 having count(*) > 1",
        values(counted.window),
    ).fetchall()
    for key, batches in twice[:SHOWN]:
        words = f"batches {', '.join(map(str, batches))} name the same object {key}"
        counted.differences.append(Difference("raw objects", Cause.EXTRA, words, len(batches) - 1))


def count_sender(conn: Connection, counted: Counted, sent: Sequence[SentWindow]) -> None:
    """Hold the window's reads against what senders handed over in it."""
    window = counted.window
    if not any(s.feed == window.feed for s in sent):
        return
    least = sent_within(sent, window.feed, window.start + MARGIN, window.end - MARGIN)
    counted.counts["sent"] = sent_within(sent, window.feed, window.start, window.end)
    streamed = counted.counts["streamed"] or 0
    if streamed >= least:
        return
    short = least - streamed
    since = conn.execute(
        "select coalesce(sum(events_read), 0)::bigint from ops.batch where feed = %s and source = 'stream'"
        " and first_arrived_at >= %s",
        (window.feed, window.start),
    ).fetchone()
    assert since is not None
    total = sent_within(sent, window.feed, window.start + MARGIN, max(counted.at, window.end) - MARGIN)
    if since[0] >= total:
        counted.notes.append(Note(Cause.LATE, "events sent in the window that arrived after it", short))
        return
    words = (
        f"senders sent at least {least} in the window and {streamed} were read; {total - since[0]} never came"
    )
    counted.differences.append(Difference("sender", Cause.MISSING, words, min(short, total - since[0])))
