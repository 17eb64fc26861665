"""How old the shipment events are when they become visible in the marts.

Reads a claimed run's events in landing. Counted are those that arrived within a minute of being sent: a replay, a
backfill or a device that was out of reach for hours says nothing about the platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fleetflow.runtime import Connection


@dataclass(frozen=True)
class Freshness:
    """Age in seconds, when marked, of the claimed shipment events that arrived in time; None without any."""

    p50_s: float | None = None
    p95_s: float | None = None
    p99_s: float | None = None


def measure_freshness(conn: Connection, run_id: UUID) -> Freshness:
    """Return the percentiles of age, to a tenth of a second, over the events of a run that is still pending.

    A histogram of two million events is small; a sort of them is not.
    """
    claimed = conn.execute(
        "select b.batch_id, clock_timestamp() from ops.pending_batch as p join ops.batch as b using (batch_id)"
        " where p.run_id = %s and b.feed = 'shipment_event' order by 1",
        (run_id,),
    ).fetchall()
    if not claimed:
        return Freshness()
    batches = [batch for batch, _ in claimed]
    row = conn.execute(
        "with ages as ("
        " select ceil(extract(epoch from %(now)s - e.recorded_at)::float8 * 10) / 10 as age_s, count(*) as events"
        " from landing.shipment_event as e"
        " where e.batch_id between %(first)s and %(last)s and e.batch_id = any(%(batches)s)"
        " and e.arrived_at - e.recorded_at < interval '60 seconds'"
        " group by 1"
        "), ranked as ("
        " select age_s, sum(events) over (order by age_s) / sum(events) over () as share from ages"
        ") select min(age_s) filter (where share >= 0.50), min(age_s) filter (where share >= 0.95),"
        " min(age_s) filter (where share >= 0.99) from ranked",
        {"now": claimed[0][1], "first": batches[0], "last": batches[-1], "batches": batches},
    ).fetchone()
    assert row is not None
    return Freshness(*row)
