"""How long an event took from its sender to the marts, in seconds, over everything that was transformed."""

from __future__ import annotations

from dataclasses import dataclass

from fleetflow.runtime import Connection

# An event that reached the stream later than this was held back by its sender: that is lateness, not freshness.
ON_TIME_AT_ARRIVAL_S = 60


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
