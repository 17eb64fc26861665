"""Which rows a suite looks at: the batches that a transform run claimed, or the last day of arrivals.

Reads `ops.transform_run`, `ops.pending_batch`, `ops.batch`. The bounds found here go into the subjects' SQL
as literals, so that Postgres prunes partitions and reads the claimed blocks once instead of once a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from quality.model import CheckError

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Claim:
    """The batches of one transform run, and the ranges they lie in (None: nothing of landing).

    `again` is the range of what a backfill queued again beside live batches: first and last batch, first and last
    arrival. It lies far from theirs, and what is between was transformed long ago.
    """

    run_id: UUID
    pipeline: str
    first_batch: int | None
    last_batch: int | None
    first_arrived_at: datetime | None
    last_arrived_at: datetime | None
    feeds: frozenset[str]
    again: tuple[int, int, datetime | None, datetime | None] | None = None


def read_claim(conn: Connection, run_id: UUID) -> Claim:
    """Read what a run has claimed.

    Raises:
        CheckError: there is no such run.
    """
    found = conn.execute("select pipeline from ops.transform_run where run_id = %s", (run_id,)).fetchone()
    if found is None:
        raise CheckError(f"no transform run {run_id}")
    ranges = conn.execute(
        "select min(b.batch_id), max(b.batch_id), min(b.first_arrived_at), max(b.last_arrived_at),"
        " array_agg(distinct b.feed)"
        " from ops.pending_batch as p join ops.batch as b using (batch_id)"
        " where p.pipeline = %s and p.run_id = %s group by p.priority > 0 order by p.priority > 0",
        (found[0], run_id),
    ).fetchall()
    if not ranges:
        return Claim(run_id, found[0], None, None, None, None, frozenset())
    feeds = frozenset(feed for row in ranges for feed in row[4])
    first, last, since, until = ranges[0][:4]
    again = ranges[1][:4] if len(ranges) > 1 else None
    return Claim(run_id, found[0], first, last, since, until, feeds, again)


def read_claimed_run(conn: Connection, pipeline: str) -> UUID:
    """Return the run that holds the pipeline's claim now.

    Raises:
        CheckError: nothing is claimed.
    """
    row = conn.execute(
        "select run_id from ops.transform_run where pipeline = %s and state = 'claimed'", (pipeline,)
    ).fetchone()
    if row is None:
        raise CheckError(f"pipeline {pipeline} has no claimed run; `fleetflow transform` claims one")
    run_id: UUID = row[0]
    return run_id
