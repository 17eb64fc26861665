"""The rows that checks look at: each subject is one query, materialised once, read by all of its checks.

A query computes what its rules need as plain columns (a boolean that is null where a rule does not apply, an
age in seconds), so that Great Expectations sums everything up inside Postgres in a few passes over a narrow
table. Every value goes in through `psycopg.sql`; no subject names a person.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString

from psycopg import sql

from domain.contracts import ENTITIES, FEEDS, Feed
from domain.lifecycle import DRIVER_WANTED
from quality.contract_rules import contract_columns, kept_sql
from quality.scope import Claim
from quality.subject import MART_SAMPLE, Subject, claimed
from quality.suites import EARLY_RECORDING, LATE_ARRIVAL, LATE_RECORDING

LANDED_SAMPLE = 250_000

EventQuery = Callable[[Feed, sql.Composable], sql.Composable]


def gate_subjects(claim: Claim) -> list[Subject]:
    """Return what a run has claimed: the claim as a whole, its events, its rows of the order database."""
    events = {
        "claim.created_shipments": ("shipment_event", _created_shipments),
        "landing.shipment_event": ("shipment_event", _shipment_events),
        "landing.driver_assignment_event": ("driver_assignment_event", _assignment_events),
    }
    return [
        Subject("claim", _claim_totals(claim)),
        *(
            Subject(name, query(claimed(feed, claim)) if feed in claim.feeds else None)
            for name, (feed, query) in events.items()
        ),
        *(
            Subject(f"source.{name}", _claimed_entity(entity, claim) if name in claim.feeds else None)
            for name, entity in ENTITIES.items()
        ),
    ]


def nightly_subjects() -> list[Subject]:
    """Return the marts, the last day of landing, the mirrors, and how fresh and how busy the whole is."""
    landing = [Subject(f"landing.{feed.name}", _landed_day(feed)) for feed in FEEDS.values()]
    mirrors = [Subject(f"source.{entity.name}", _mirror(entity)) for entity in ENTITIES.values()]
    marts = [Subject(name, _sampled(name, query)) for name, query in _BY_SHIPMENT.items()]
    whole = [Subject(name, sql.SQL(query.strip())) for name, query in _WHOLE.items()]
    return [*marts, *whole, *landing, *mirrors]


# 64 bits of the id are a third of its width and sort several times faster; two ids of a claim of two million
# meet in them by chance once in ten million claims.
_EVENT_KEY: LiteralString = "hashtextextended(e.event_id, hashtextextended(e.tenant_id, 0)) as event_key"

# Intervals are compared as they are: turning them into seconds first costs more than all the rest of the query.
_TIMING: LiteralString = (
    "e.arrived_at - e.recorded_at <= {late_arrival} as arrived_in_time, "
    "e.recorded_at - e.{event_time} between {early_recording} and {late_recording} as recorded_in_time"
)


def _timing(feed: Feed) -> sql.Composable:
    return sql.SQL(_TIMING).format(
        event_time=sql.Identifier(feed.event_time),
        late_arrival=sql.Literal(LATE_ARRIVAL),
        early_recording=sql.Literal(EARLY_RECORDING),
        late_recording=sql.Literal(LATE_RECORDING),
    )


def _shipment_events(rows: sql.Composable) -> sql.Composable:
    return sql.SQL("select " + _EVENT_KEY + ", {driver} as driver_known, {timing} from {rows}").format(
        driver=_driver_known(), timing=_timing(FEEDS["shipment_event"]), rows=rows
    )


def _created_shipments(rows: sql.Composable) -> sql.Composable:
    """One row per shipment that the claim creates; a repeat of the same event is no second creation."""
    return sql.SQL(
        "select min(e.event_id) = max(e.event_id) as created_once from {rows}"
        " where e.status = 'created' group by e.tenant_id, e.shipment_id"
    ).format(rows=rows)


def _driver_known() -> sql.Composable:
    """A partner carrier's drivers are not ours: nothing is wanted of its events."""
    wanted = sql.SQL(", ").join(map(sql.Literal, DRIVER_WANTED))
    return sql.SQL(
        "case when e.status in ({}) and e.origin <> 'partner' then e.driver_id is not null end"
    ).format(wanted)


def _assignment_events(rows: sql.Composable) -> sql.Composable:
    timing = _timing(FEEDS["driver_assignment_event"])
    return sql.SQL("select " + _EVENT_KEY + ", {timing} from {rows}").format(timing=timing, rows=rows)


def _claim_totals(claim: Claim) -> sql.Composable:
    """One row: what the ledger says was accepted, and what of it is found in landing."""
    feeds = ("shipment_event", "driver_assignment_event")
    found = sql.SQL(" + ").join(
        sql.SQL("(select count(*) from {})").format(claimed(feed, claim)) for feed in feeds
    )
    return sql.SQL(
        "select t.batches, t.accepted::float8 as accepted, "
        " (t.found::float8 / nullif(t.streamed, 0))::float8 as found_share"
        " from (select count(*) as batches, coalesce(sum(b.accepted), 0) as accepted,"
        " coalesce(sum(b.accepted) filter (where b.feed = any({feeds})), 0) as streamed, {found} as found"
        " from ops.pending_batch as p join ops.batch as b using (batch_id)"
        " where p.pipeline = {pipeline} and p.run_id = {run}) as t"
    ).format(
        feeds=sql.Literal(list(feeds)),
        found=found,
        pipeline=sql.Literal(claim.pipeline),
        run=sql.Literal(claim.run_id),
    )


def _claimed_entity(entity: Feed, claim: Claim) -> sql.Composable:
    return sql.SQL(
        "select {kept} as contract_kept from source.{entity} as e where not e._deleted"
        " and e.batch_id in (select batch_id from ops.pending_batch"
        " where pipeline = {pipeline} and run_id = {run})"
    ).format(
        kept=kept_sql(entity),
        entity=sql.Identifier(entity.name),
        pipeline=sql.Literal(claim.pipeline),
        run=sql.Literal(claim.run_id),
    )


def _landed_day(feed: Feed) -> sql.Composable:
    """The last 24 hours; of many rows a sample by hash of the event id, which keeps repeats together."""
    extra = [sql.SQL("{} as driver_known").format(_driver_known())] if feed.name == "shipment_event" else []
    columns = sql.SQL(", ").join(
        [
            sql.SQL(_EVENT_KEY),
            *extra,
            _timing(feed),
            *contract_columns(feed),
        ]
    )
    return sql.SQL(
        "select {columns} from landing.{feed} as e"
        " where e.arrived_at > now() - interval '1 day' and mod(hashtext(e.event_id)::bigint + 2147483648, ("
        "select greatest(1, ceil(coalesce(sum(b.accepted), 0) / {limit})::bigint) from ops.batch as b"
        " where b.feed = {name} and b.landed_at > now() - interval '1 day')) = 0"
    ).format(
        columns=columns,
        feed=sql.Identifier(feed.name),
        name=sql.Literal(feed.name),
        limit=sql.Literal(LANDED_SAMPLE),
    )


def _mirror(entity: Feed) -> sql.Composable:
    return sql.SQL("select {columns} from source.{entity} as e where not e._deleted").format(
        columns=sql.SQL(", ").join(contract_columns(entity)), entity=sql.Identifier(entity.name)
    )


def _sampled(table: str, query: str) -> sql.Composable:
    """Of a table that Postgres takes to be large, whole shipments by hash of their id; else all of it."""
    return sql.SQL(
        query.strip() + " where mod(hashtext(shipment_id)::bigint + 2147483648, ("
        "select greatest(1, ceil(c.reltuples / {limit}))::bigint from pg_class as c"
        " where c.oid = {table}::regclass)) = 0"
    ).format(limit=sql.Literal(MART_SAMPLE), table=sql.Literal(table))


_BY_SHIPMENT: dict[str, LiteralString] = {
    "marts.fct_shipment": """
        select tenant_id, shipment_id, status,
            not in_order_system or promised_at is not null as promise_known,
            case when status = 'delivered' then delivered_at is not null end as delivery_timed,
            in_order_system as ordered,
            case when delivered_at is not null and picked_up_at is not null
                then delivered_at >= picked_up_at end as delivered_after_pick_up
        from marts.fct_shipment""",
    "marts.fct_delivery_exception": """
        select tenant_id, shipment_id, event_id,
            case when resolved_at is not null then resolved_at >= occurred_at end as resolved_after
        from marts.fct_delivery_exception""",
    "intermediate.int_shipment_status_history": """
        select tenant_id, shipment_id, event_id, is_legal
        from intermediate.int_shipment_status_history""",
}

_WHOLE: dict[str, LiteralString] = {
    "marts.fct_on_time_daily": """
        select tenant_id, promised_date, region, carrier_id, service_level, mode, on_time_share,
            due = delivered + returned + open and delivered = on_time + late as adds_up
        from marts.fct_on_time_daily""",
    "freshness": """
        select
            (select extract(epoch from clock_timestamp() - max(landed_at))::float8
                from ops.batch where source = 'stream') as landed_age_s,
            (select extract(epoch from clock_timestamp() - max(finished_at))::float8
                from ops.transform_run where state = 'done') as transformed_age_s,
            (select extract(epoch from clock_timestamp() - min(b.landed_at))::float8
                from ops.pending_batch as p join ops.batch as b using (batch_id)
                where p.priority = 0) as pending_age_s,
            (select extract(epoch from clock_timestamp() - max(started_at))::float8
                from ops.cdc_pull) as pulled_age_s""",
    "volume": """
        select * from (with hourly as (
            select date_trunc('hour', landed_at) as hour, sum(accepted)::float8 as events
            from ops.batch
            where source = 'stream' and landed_at >= date_trunc('hour', now()) - interval '8 days'
            group by 1
        ), before as (
            select avg(events) as mean, count(*) as days
            from hourly
            where hour < date_trunc('hour', now()) - interval '1 hour'
                and extract(hour from hour) = extract(hour from now() - interval '1 hour')
        )
        select case when before.days >= 3 then coalesce(hourly.events, 0) / nullif(before.mean, 0) end as ratio
        from before
        left join hourly on hourly.hour = date_trunc('hour', now()) - interval '1 hour') as v""",
}
