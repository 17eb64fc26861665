"""How old events are when people can see them: of one run as it is marked, and of everything from end to end.

Reads landing and the ledger. Counted are events that arrived within a minute of being sent: a replay, a backfill or
a device that was out of reach for hours says nothing about the platform.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from fleetflow.runtime import Connection

# An event that reached the stream later than this was held back by its sender: that is lateness, not freshness.
ON_TIME_AT_ARRIVAL_S = 60


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
        " where p.run_id = %s and p.priority = 0 and b.feed = 'shipment_event' order by 1",
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
        " and e.arrived_at - e.recorded_at < %(on_time)s * interval '1 second'"
        " group by 1"
        "), ranked as ("
        " select age_s, sum(events) over (order by age_s) / sum(events) over () as share from ages"
        ") select min(age_s) filter (where share >= 0.50), min(age_s) filter (where share >= 0.95),"
        " min(age_s) filter (where share >= 0.99) from ranked",
        {
            "now": claimed[0][1],
            "first": batches[0],
            "last": batches[-1],
            "batches": batches,
            "on_time": ON_TIME_AT_ARRIVAL_S,
        },
    ).fetchone()
    assert row is not None
    return Freshness(*row)


@dataclass(frozen=True)
class Percentiles:
    """Seconds; None where nothing was counted."""

    events: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    worst_s: float | None


_MARTS = """
    select count(*), {figures} from (
        select extract(epoch from r.finished_at - e.recorded_at)::double precision as s
        from landing.shipment_event as e
        join ops.transformed_batch as t on t.batch_id = e.batch_id and t.pipeline = 'shipments'
        join ops.transform_run as r on r.run_id = t.run_id
        where e.arrived_at - e.recorded_at < %(on_time)s * interval '1 second'
        and e.recorded_at >= coalesce(%(since)s::timestamptz, '-infinity')
        and not exists (select from ops.backfill_batch as again where again.batch_id = e.batch_id)
    ) as seen
"""
_LANDED = """
    select count(*), {figures} from (
        select extract(epoch from b.landed_at - e.recorded_at)::double precision as s
        from landing.gps_location as e
        join ops.batch as b on b.batch_id = e.batch_id
        where e.arrived_at - e.recorded_at < %(on_time)s * interval '1 second'
        and e.recorded_at >= coalesce(%(since)s::timestamptz, '-infinity')
    ) as seen
"""
_FIGURES = (
    "percentile_cont(0.5) within group (order by s), percentile_cont(0.95) within group (order by s),"
    " percentile_cont(0.99) within group (order by s), max(s)"
)


def marts_freshness(conn: Connection, since: object = None) -> Percentiles:
    """Return the time from sending a shipment event to its being in the marts."""
    return _measure(conn, _MARTS, since)


def landing_freshness(conn: Connection, since: object = None) -> Percentiles:
    """Return the time from sending a position to its being landed."""
    return _measure(conn, _LANDED, since)


def _measure(conn: Connection, query: str, since: object) -> Percentiles:
    row = conn.execute(
        query.format(figures=_FIGURES).encode(), {"on_time": ON_TIME_AT_ARRIVAL_S, "since": since}
    ).fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return Percentiles(row[0], *row[1:])
