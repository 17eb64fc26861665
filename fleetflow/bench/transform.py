"""One minute at peak through the transform: 2.1 M status events over 4 M shipments that have a history.

Works in a database of its own on the warehouse's server, dropped at the end. The history is written straight into
the event store, then dbt builds the marts from it; neither counts. Then events are landed as pending batches, and
claim, build and mark are timed. The limit is what Postgres alone takes, in the same run, for the least that must be
written: the same rows into an empty table with a unique index, and one MERGE of the shipments they touch.

Of 100 events 96 come in order, 2 repeat an event of the same minute, 1 repeats a stored one, 1 is late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from psycopg import sql

from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.dbt_project import run_models
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Secret, Settings
from fleetflow.transform import build, claim, mark

BATCH_ROWS = 50_000
Say = Callable[[str], None]

_SITES = """
insert into source.sites (site_id, tenant_id, name, kind, region, country, city, lat, lon, timezone, _lsn,
    _committed_at, batch_id)
select 'SIT' || i, 'acme', 'Site ' || i, 'hub',
    (array['north', 'south', 'east', 'west'])[1 + i % 4], 'DE', 'City ' || i,
    50, 9, 'Europe/Berlin', '0/1', now(), 0
from generate_series(1, 100) as i
"""
_ORDERS = """
insert into source.shipments (
    shipment_id, tenant_id, order_ref, customer_id, carrier_id, service_level, mode, origin_site_id,
    destination_site_id,
    pieces, weight_kg, declared_value_minor, currency, status, created_at, promised_at, updated_at,
    _lsn, _committed_at, batch_id
)
select 'SHP' || lpad(i::text, 9, '0'), 'acme', 'ORD' || i, 'CUS' || i % 1000, 'CAR' || i % 8,
    (array['express', 'standard', 'economy'])[1 + i % 3], 'road', 'SIT' || 1 + i % 100, 'SIT' || 1 + i / 7 % 100,
    1, 10, 1000, 'EUR', 'created', now() - interval '1 day', now() + make_interval(hours => i % 96 - 24), now(),
    '0/1', now(), 0
from generate_series(1, {shipments}) as i
"""
# Shipment i has 1 to 5 events behind it, in the order of the lifecycle, a half hour apart.
_HISTORY = """
insert into intermediate.int_shipment_status_history (
    tenant_id, shipment_id, event_id, position, previous_status, status, is_legal, occurred_at, recorded_at,
    sequence, driver_id, vehicle_id, lat, lon, origin
)
select 'acme', 'SHP' || lpad(i::text, 9, '0'), md5(i || '.' || p)::uuid::text, p, life[p - 1], life[p], true,
    now() - interval '6 hours' + make_interval(mins => p * 30),
    now() - interval '6 hours' + make_interval(mins => p * 30),
    p, 'DRV' || i % 20000, 'VEH' || i % 20000, 50 + p, 9, 'device'
from generate_series(1, {shipments}) as i
cross join generate_series(1, 5) as p
cross join (select array['created', 'assigned', 'picked_up', 'in_transit', 'out_for_delivery'] as life) as l
where p <= 1 + i % 5
"""
_LIVES = """
insert into intermediate.int_shipment_life (
    tenant_id, shipment_id, status, status_at, assigned_at, picked_up_at, out_for_delivery_at, delivered_at,
    failed_attempts, exceptions, illegal_transitions, events, first_event_at, last_event_at, driver_id, vehicle_id
)
select tenant_id, shipment_id, (array_agg(status order by position desc))[1], max(occurred_at),
    max(occurred_at) filter (where status = 'assigned'), max(occurred_at) filter (where status = 'picked_up'),
    max(occurred_at) filter (where status = 'out_for_delivery'), null, 0, 0, 0, count(*), min(occurred_at),
    max(occurred_at), min(driver_id), min(vehicle_id)
from intermediate.int_shipment_status_history
group by tenant_id, shipment_id
"""
_BATCHES = """
insert into ops.batch (
    source, feed, records, events_read, accepted, rejected, first_arrived_at, last_arrived_at, worker
)
select 'stream', 'shipment_event', 1, {rows}, {rows}, 0, now(), now(), 'bench' from generate_series(1, {batches})
"""
_EVENTS = """
insert into landing.shipment_event (
    tenant_id, event_id, recorded_at, schema_version, shipment_id, status, occurred_at, driver_id, vehicle_id, lat, lon,
    sequence, origin, batch_id, line, arrived_at
)
with drawn as (
    select n, 1 + floor(random() * {shipments})::bigint as i from generate_series(1, {events}) as n
),
ranked as (
    select n, i, 1 + i % 5 + row_number() over (partition by i order by n) as p from drawn
),
chosen as (
    select n, i,
        case when n % 100 = 3 then 1 else p end as p,
        case when n % 100 = 3 then md5(i || '.1') when n % 100 in (1, 2) then md5(i || '.' || p || '.a')
            else md5(i || '.' || p) end::uuid::text as event_id,
        n % 100 = 4 as is_late
    from ranked
)
select 'acme', event_id, now() - interval '1 second', 1, 'SHP' || lpad(i::text, 9, '0'),
    coalesce(
        (array['created', 'assigned', 'picked_up', 'in_transit', 'out_for_delivery', 'delivered'])[p], 'exception'
    ),
    case when is_late then now() - interval '5 hours 45 minutes'
        else now() - interval '6 hours' + make_interval(mins => p::integer * 30) end,
    'DRV' || i % 20000, 'VEH' || i % 20000, 50 + p % 5, 9, p, 'device',
    (select min(batch_id) from ops.batch) + (n - 1) / {rows}, n, now()
from chosen
"""


# The least that must be written, without any judgement: the events once, and the last status of each shipment.
_LIMIT = {
    "insert_with_unique_index": (
        "create table bench_event (like landing.shipment_event)",
        "create unique index on bench_event (tenant_id, shipment_id, event_id)",
        "insert into bench_event select * from landing.shipment_event on conflict do nothing",
    ),
    "merge_into_shipments": (
        "create table bench_shipment as select tenant_id, shipment_id, status, status_at from marts.fct_shipment",
        "alter table bench_shipment add primary key (tenant_id, shipment_id)",
        "merge into bench_shipment as s using ("
        " select distinct on (tenant_id, shipment_id) tenant_id, shipment_id, status, occurred_at"
        " from landing.shipment_event order by tenant_id, shipment_id, occurred_at desc"
        ") as e on s.tenant_id = e.tenant_id and s.shipment_id = e.shipment_id"
        " when matched then update set status = e.status, status_at = e.occurred_at",
    ),
}


def run_bench(
    settings: Settings,
    *,
    shipments: int = 4_000_000,
    events: int = 2_100_000,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Fill, measure, drop. Returns seconds per step and per model, the limit, and limit / transform as `ratio`.

    Raises:
        psycopg.Error: the owner may not create databases, or the disk is full.
    """
    with scratch_warehouse(settings.dsn("owner")) as name:
        bench = replace(
            settings,
            warehouse={r: Secret(with_database(d.reveal(), name)) for r, d in settings.warehouse.items()},
        )
        with connect(bench.dsn("owner"), autocommit=True) as conn:
            say(f"filling {shipments:,} shipments with history")
            history = _fill(bench, conn, shipments)
            say(f"landing {events:,} events")
            _land(conn, shipments, events)
            say("transforming")
            models: dict[str, float] = {}
            steps = _transform(bench, models)
            say("measuring the limit")
            limit = {what: _time_last(conn, statements) for what, statements in _LIMIT.items()}
    total = sum(steps.values())
    return {
        "bench": "transform",
        "shipments": shipments,
        "events": events,
        "history_rows": history,
        "seconds": {**steps, "total": total},
        "events_per_second": events / total,
        "models": models,
        "limit_seconds": limit,
        "ratio": sum(limit.values()) / total,
    }


def _fill(bench: Settings, conn: Connection, shipments: int) -> int:
    """Leave a warehouse as it stands after hours of running: mirrors, event store, marts, statistics."""
    conn.execute("call ops.set_pseudonym_key('bench')")
    conn.execute(_SITES)
    conn.execute(_sized(_ORDERS, shipments=shipments))
    run_models(bench, None)
    conn.execute(
        "alter table intermediate.int_shipment_status_history drop constraint if exists"
        " int_shipment_status_history_pkey"
    )
    rows = conn.execute(_sized(_HISTORY, shipments=shipments)).rowcount
    conn.execute(
        "alter table intermediate.int_shipment_status_history add primary key (tenant_id, shipment_id, event_id)"
        " with (fillfactor = 70)"
    )
    conn.execute(_LIVES)
    conn.execute("vacuum (analyze) intermediate.int_shipment_status_history, intermediate.int_shipment_life")
    conn.execute("vacuum (analyze) source.shipments")
    run_models(bench, None, select="int_driver_key+", full_refresh=True)
    # Rows written one run after the other leave the room that the table asks for; rows written at once do not.
    conn.execute("vacuum full marts.fct_shipment")
    conn.execute("vacuum (analyze)")
    return rows


def _land(conn: Connection, shipments: int, events: int) -> None:
    batches = -(-events // BATCH_ROWS)
    conn.execute(_sized(_BATCHES, rows=min(BATCH_ROWS, events), batches=batches))
    conn.execute(_sized(_EVENTS, shipments=shipments, events=events, rows=BATCH_ROWS))
    conn.execute("vacuum (analyze) landing.shipment_event")
    conn.execute("checkpoint")


def _transform(bench: Settings, models: dict[str, float]) -> dict[str, float]:
    clock = [time.perf_counter()]
    with connect(bench.dsn("transformer"), autocommit=True) as conn:
        run = claim(conn)
        assert run is not None
        clock.append(time.perf_counter())
        build(bench, run, watch=models.__setitem__)
        clock.append(time.perf_counter())
        mark(conn, run)
        clock.append(time.perf_counter())
    return {
        step: end - start
        for step, start, end in zip(("claim", "build", "mark"), clock, clock[1:], strict=False)
    }


def _time_last(conn: Connection, statements: tuple[str, ...]) -> float:
    """Run statements; return the seconds of the last."""
    for statement in statements[:-1]:
        conn.execute(statement)
    started = time.perf_counter()
    conn.execute(statements[-1])
    return time.perf_counter() - started


def _sized(template: str, **sizes: int) -> sql.Composed:
    return sql.SQL(template).format(**{name: sql.Literal(size) for name, size in sizes.items()})
