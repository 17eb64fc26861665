"""The lake: what its commits say they took in, and the rows that its own files hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from quality.reconcile.ledger import values
from quality.reconcile.model import Cause, Connection, CouldNotCount, Counted, Difference


@dataclass(frozen=True)
class LakeCount:
    """Rows of a feed in the lake's own files (None: no table yet), and what its books say: both of one moment."""

    found: int | None
    said: int
    announced: int = 0


CountLake = Callable[[str], LakeCount]
"""Counts a feed's rows in the lake by its files.

Raises CouldNotCount: the catalog or its files cannot be read, or changed all the while.
"""


def read_books(conn: Connection, feed: str) -> tuple[int, int]:
    """Return the rows that the lake must hold, commits less what retention dropped; and what is announced beyond."""
    row = conn.execute(
        "select coalesce((select sum(rows_added) from ops.lake_commit where feed = %(feed)s), 0)::bigint"
        " - coalesce((select sum(row_count) from ops.retention_action where area = 'lake' and action = 'dropped'"
        "   and subject like 'lake.' || %(feed)s || ' %%'), 0)::bigint,"
        " coalesce((select sum(rows_added) from ops.lake_announcement as a where feed = %(feed)s and not exists ("
        "   select from ops.lake_commit as c where c.run_id = a.run_id and c.feed = a.feed)), 0)::bigint",
        {"feed": feed},
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def count_lake_commits(conn: Connection, counted: Counted) -> None:
    """Hold what the lake's commits say they read against the batches that they took.

    A batch that was queued again counts for the later run, so an earlier commit may have read more than is left to it.
    """
    rows = conn.execute(
        "with runs as (select distinct t.run_id from ops.batch as b join ops.transformed_batch as t"
        "  on t.batch_id = b.batch_id and t.pipeline = 'lake'"
        "  where b.feed = %(feed)s and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s"
        "  and b.source not in ('cdc', 'backfill') and b.accepted > 0)"
        " select r.run_id, c.rows_read, sum(b.accepted)::bigint from runs as r"
        " join ops.transformed_batch as t on t.run_id = r.run_id and t.pipeline = 'lake'"
        " join ops.batch as b on b.batch_id = t.batch_id and b.feed = %(feed)s"
        " left join ops.lake_commit as c on c.run_id = r.run_id and c.feed = b.feed"
        " group by r.run_id, c.rows_read having c.rows_read is null or c.rows_read < sum(b.accepted)",
        values(counted.window),
    ).fetchall()
    for run_id, read, accepted in rows:
        said = "says nothing" if read is None else f"says {read}"
        words = f"lake run {run_id} took batches of {accepted} rows, its commit {said}"
        counted.differences.append(Difference("lake", Cause.MISSING, words, accepted - (read or 0)))


def count_lake(counted: Counted, count: CountLake) -> None:
    """Hold the rows in the lake's own files against its books.

    Of the whole table, since rows go to the day of their event and not of their arrival.
    """
    feed = counted.window.feed
    try:
        lake = count(feed)
    except CouldNotCount as fault:
        counted.counts["lake_table_rows"] = None
        counted.differences.append(Difference("lake", Cause.NOT_COUNTED, str(fault)))
        return
    found = counted.counts["lake_table_rows"] = lake.found
    if found is None and lake.said:
        words = f"the lake has no table of {feed}, its commits added {lake.said} rows"
        counted.differences.append(Difference("lake", Cause.LOST, words, lake.said))
    elif found is not None and not lake.said <= found <= lake.said + lake.announced:
        cause = Cause.LOST if found < lake.said else Cause.EXTRA
        words = f"{found} rows of {feed} in the lake's files, its commits added {lake.said}"
        counted.differences.append(Difference("lake", cause, words, abs(found - lake.said)))
