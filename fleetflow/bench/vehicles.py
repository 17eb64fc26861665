"""What each step and each model of the vehicle side costs: a day of a fleet that has a history, at 1, 2 and 4 times it.

The fleet is the simulator's: vehicles with tachographs, frames and positions. All up to a day before the plan's start
is landed and taken in by a first run; the last day is landed after that, and its run is measured, step by step and
model by model. Repeats, spoilt lines, fuel cards and workshops' bills are left out. The limit beside it does what
nothing can do without: COPY of the claimed rows out of landing, and back into tables without an index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
from psycopg import sql

from domain.contracts import FEEDS
from domain.contracts.decode import Decoder
from fleetflow import transform
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.runtime import Connection, connect
from fleetflow.settings import PROJECT_ROOT, Secret, Settings
from fleetflow.simulator.fleet import Fleet, build_fleet
from fleetflow.simulator.orders import fill
from fleetflow.simulator.plan import ACTIVITY, CAN, GPS, SimulationPlan
from fleetflow.simulator.wire import Event
from fleetflow.vehicles.run import PIPELINE, fold
from ingestion.landing.ledger import BatchEntry, Cut, copy_rows, write_entries

DAY_MS = 86_400_000
BATCH_LINES = 25_000
STREAMS = {GPS: (GPS,), CAN: (CAN, ACTIVITY)}
MIRRORED = ("sites", "drivers", "vehicles")
Say = Callable[[str], None]


def run_bench(
    settings: Settings, vehicles: int, factors: Sequence[int] = (1, 2, 4), say: Say = lambda _: None
) -> dict[str, Any]:
    """Measure a day of a fleet of `vehicles`, and of its multiples; seconds of every step and model.

    `growth` is the seconds at the greatest factor over those at the least.
    """
    runs = {factor: _measure(settings, vehicles * factor, say) for factor in factors}
    least, most = runs[min(factors)], runs[max(factors)]
    return {
        "bench": "vehicles",
        "runs": {f"{factor}x": run for factor, run in runs.items()},
        "growth": {
            kind: {name: most[kind][name] / seconds for name, seconds in least[kind].items()}
            for kind in ("steps", "models")
        },
    }


def _measure(settings: Settings, vehicles: int, say: Say) -> dict[str, Any]:
    plan = SimulationPlan(
        start=datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
        events=0, vehicles=4 * vehicles, shipments=100, history_days=0, history_shipments=0,
        telemetry_vehicles=vehicles,
    )  # fmt: skip
    fleet = build_fleet(plan)
    with scratch_warehouse(settings.dsn("owner")) as name:
        dsns = {role: Secret(with_database(dsn.reveal(), name)) for role, dsn in settings.warehouse.items()}
        scratch = replace(settings, warehouse=dsns)
        with connect(scratch.dsn("owner"), autocommit=True) as owner:
            owner.execute("call ops.set_pseudonym_key('bench')")
            _mirror(owner, fleet)
            say(f"{vehicles} vehicles: the days before")
            past = _land(scratch, _lines(fleet, plan.start_ms - DAY_MS))
            _run(scratch)
            owner.execute("vacuum (analyze)")
            say(f"{vehicles} vehicles: the day")
            landed = _land(scratch, _lines(fleet, plan.start_ms))
            steps, models, total = _run(scratch)
            limit = _limit(owner)
    return {
        "vehicles": vehicles,
        "past_rows": past,
        "rows": landed,
        "seconds": total,
        "steps": steps,
        "models": models,
        "limit_seconds": limit,
        "ratio": limit / total,
    }


def _run(settings: Settings) -> tuple[dict[str, float], dict[str, float], float]:
    """Do one run; return the seconds of each step, of each model, and of all."""
    steps: dict[str, float] = {}
    models: dict[str, float] = {}
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        started = time.perf_counter()
        run = transform.claim(conn, PIPELINE, row_limit=2**40)
        assert run is not None
        fold(settings, run, watch=steps.__setitem__)
        transform.build(settings, run, watch=models.__setitem__)
        transform.mark(conn, run)
        return steps, models, time.perf_counter() - started


def _limit(owner: Connection) -> float:
    """Return the seconds that the last run's rows take out of landing and into bare tables."""
    seconds = 0.0
    for feeds in STREAMS.values():
        for feed in feeds:
            table = sql.Identifier("landing", feed)
            owner.execute(
                sql.SQL("create temporary table bench_copy (like {} including defaults)").format(table)
            )
            rows = sql.SQL(
                "select * from {} where batch_id in (select batch_id from ops.transformed_batch where run_id ="
                " (select run_id from ops.transform_run order by started_at desc limit 1))"
            ).format(table)
            started = time.perf_counter()
            with owner.cursor() as cursor:
                with cursor.copy(sql.SQL("copy ({}) to stdout (format binary)").format(rows)) as out:
                    blocks = list(out)
                with cursor.copy(b"copy bench_copy from stdin (format binary)") as back:
                    for block in blocks:
                        back.write(block)
            seconds += time.perf_counter() - started
            owner.execute("drop table bench_copy")
    return seconds


def _mirror(owner: Connection, fleet: Fleet) -> None:
    """Have the mirrors hold the fleet, by way of an order database in a schema of its own."""
    owner.execute("create schema bench_orders")
    owner.execute("set search_path = bench_orders")
    for script in sorted((PROJECT_ROOT / "sql" / "orders").glob("*.sql")):
        owner.execute(script.read_bytes())
    fill(owner, fleet)
    for table in MIRRORED:
        columns = [
            row[0]
            for row in owner.execute(
                "select s.column_name from information_schema.columns as s"
                " join information_schema.columns as o using (table_name, column_name)"
                " where s.table_schema = 'source' and o.table_schema = 'bench_orders' and s.table_name = %s",
                (table,),
            )
        ]
        owner.execute(
            sql.SQL(
                "insert into {} ({names}, _lsn, _committed_at, batch_id) select {names}, '0/1', now(), 0 from {}"
            ).format(
                sql.Identifier("source", table),
                sql.Identifier("bench_orders", table),
                names=sql.SQL(", ").join(map(sql.Identifier, columns)),
            )
        )
    owner.execute("reset search_path")
    owner.execute("drop schema bench_orders cascade")


def _lines(fleet: Fleet, until_ms: int) -> Iterator[tuple[str, Iterable[Event]]]:
    """The lines up to a moment that were not asked for yet, stream by stream, as a fleet sends them: mixed by hour."""
    for stream, sources in (
        (GPS, fleet.lives.position_sources),
        (CAN, fleet.lives.telemetry_sources),
    ):
        first = min(int(one.at_ms[one.position]) for one in sources if one.position < len(one.at_ms))
        for hour_ms in range(first + DAY_MS // 24, until_ms + DAY_MS // 24, DAY_MS // 24):
            yield stream, (event for one in sources for event in one.until(min(hour_ms, until_ms), None))


def _land(settings: Settings, parts: Iterable[tuple[str, Iterable[Event]]]) -> dict[str, int]:
    """Land lines as the landing worker does; return the rows of each feed."""
    landed: dict[str, int] = {}
    decoders = {stream: Decoder([FEEDS[feed] for feed in feeds]) for stream, feeds in STREAMS.items()}
    arrived = np.array([time.time_ns() // 1000], np.int64)
    with adbc.connect(settings.dsn("loader")) as conn, conn.cursor() as cursor:
        for stream, events in parts:
            waiting = (line for _, _, line, _ in events)
            while lines := list(islice(waiting, BATCH_LINES)):
                found = decoders[stream].decode([lines], arrived)
                if found.refusals:
                    raise AssertionError(f"the simulator wrote a line that is refused: {found.refusals[0]}")
                for rows in found.rows:
                    number = time.time_ns()
                    entry = BatchEntry(
                        source="stream", feed=rows.feed.name, stream=stream, shard="0",
                        first_sequence=f"{number}", last_sequence=f"{number}", records=1, worker="bench",
                        epoch=1, rows=rows, refusals=(),
                    )  # fmt: skip
                    cut = Cut([""], arrived)
                    write_entries(cursor, copy_rows(cursor, [entry], cut), [entry], cut)
                    landed[rows.feed.name] = landed.get(rows.feed.name, 0) + rows.table.num_rows
        conn.commit()
    return landed
