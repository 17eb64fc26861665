"""What every suite's subjects are made of: a name and a query, the claimed rows of a feed, how much is a sample."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from quality.scope import Claim

MART_SAMPLE = 2_000_000


@dataclass(frozen=True)
class Subject:
    """A name for the reports, and the query behind it; None where there is nothing to look at."""

    name: str
    query: sql.Composable | None


def claimed(feed: str, claim: Claim) -> sql.Composable:
    """Return the claimed rows of one feed as `e`. The ranges are for the planner, the subquery is what is exact."""
    live = (claim.first_batch, claim.last_batch, claim.first_arrived_at, claim.last_arrived_at)
    ranges = [bounds for bounds in (live, claim.again) if bounds is not None and bounds[2] is not None]
    if not ranges:
        return sql.SQL("(select * from landing.{} where false) as e").format(sql.Identifier(feed))
    within = sql.SQL("batch_id between {} and {} and arrived_at between {} and {}")
    return sql.SQL(
        "(select * from landing.{feed} where ({within}) and batch_id in (select batch_id from ops.pending_batch"
        " where pipeline = {pipeline} and run_id = {run})) as e"
    ).format(
        feed=sql.Identifier(feed),
        within=sql.SQL(" or ").join(within.format(*map(sql.Literal, bounds)) for bounds in ranges),
        pipeline=sql.Literal(claim.pipeline),
        run=sql.Literal(claim.run_id),
    )
