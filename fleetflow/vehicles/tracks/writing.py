"""Replaces what a chunk's results supersede, and keeps its states, in one transaction."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from psycopg import sql
from pyarrow import csv

from fleetflow.runtime import Connection
from fleetflow.vehicles.states import Snapshot, keep
from fleetflow.vehicles.touched import Entity, name_drivers, touch
from fleetflow.vehicles.tracks.chunk import Chunk
from fleetflow.vehicles.tracks.codec import VERSION
from fleetflow.vehicles.tracks.plan import FOLD
from fleetflow.vehicles.tracks.rows import NOBODY
from fleetflow.vehicles.tracks.standing import Froms, froms_of

# States of a day's runs are kept for fixes that come some hours late; those of midnights for longer.
_HEADS = timedelta(days=1)
_FIRST_DAY = date(1970, 1, 1)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
Kept = Sequence[tuple[Entity, Snapshot]]

_AT = "from unnest(%s::text[], %s::timestamptz[]) as f (vehicle_id, since) where t.tenant_id = %s"
_ON = "from unnest(%s::text[], %s::date[]) as f (vehicle_id, since) where t.tenant_id = %s"


def write(conn: Connection, chunk: Chunk, rows: Mapping[str, pa.Table], states: Kept) -> None:
    """Replace the rows of a chunk's vehicles from where they stood on; note what the models have to build again."""
    froms = froms_of(chunk.standing)
    segments, fixes = _instants(froms.segments_us), _instants(froms.fixes_us)
    days = [_day(day) for day in froms.days.tolist()]
    with conn.transaction():
        for table in ("int_trip", "int_stop"):
            _delete(conn, chunk, table, "started_at", segments)
        _delete(conn, chunk, "int_site_visit", "entered_at", fixes)
        _delete_pending(conn, chunk)
        before = _delete(conn, chunk, "int_vehicle_day", "local_date", days)
        _delete(conn, chunk, "int_fix_verdict", "utc_date", [_day(day) for day in froms.counts.tolist()])
        for table, content in rows.items():
            _copy(conn, table, content)
        _touch(conn, chunk, froms, before | _drivers(rows["int_vehicle_day"]))
        keep(conn, FOLD, VERSION, {case.entity: max(case.since, _FIRST) for case in chunk.cases}, states)
        _forget_heads(conn, chunk)


def _delete(
    conn: Connection, chunk: Chunk, table: str, column: str, since: Sequence[Any]
) -> set[tuple[str, Any]]:
    """Delete what begins at the vehicles' times or later; return the drivers of days that went, with the days."""
    of_days = column in ("local_date", "utc_date")
    returning = " returning t.driver_id, t.local_date" if column == "local_date" else ""
    statement = sql.SQL(
        "delete from intermediate.{table} as t using {since} and t.vehicle_id = f.vehicle_id and t.{column} >= f.since"
    ).format(
        table=sql.Identifier(table),
        column=sql.Identifier(column),
        since=sql.SQL((_ON if of_days else _AT).removeprefix("from ")),
    ) + sql.SQL(returning)
    found = conn.execute(statement, (chunk.vehicles, list(since), chunk.tenant))
    return set(found.fetchall()) if returning else set()


def _delete_pending(conn: Connection, chunk: Chunk) -> None:
    visits = chunk.standing.visits
    conn.execute(
        "delete from intermediate.int_site_visit as t"
        " using unnest(%s::text[], %s::text[], %s::timestamptz[]) as f (vehicle_id, site_id, entered_at)"
        " where t.tenant_id = %s and t.vehicle_id = f.vehicle_id and t.site_id = f.site_id"
        " and t.entered_at = f.entered_at",
        (
            [chunk.vehicles[code] for code in visits.vehicle.tolist()],
            [chunk.sites[code] for code in visits.fence.tolist()],
            _instants(visits.entered_us),
            chunk.tenant,
        ),
    )


def _copy(conn: Connection, table: str, rows: pa.Table) -> None:
    if not rows.num_rows:
        return
    text = io.BytesIO()
    # An empty first chunk comes out as bytes that are no CSV (pyarrow 26).
    csv.write_csv(rows.combine_chunks(), text, csv.WriteOptions(include_header=False))
    statement = sql.SQL("copy intermediate.{} ({}) from stdin (format csv)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text.getbuffer())


def _drivers(days: pa.Table) -> set[tuple[str, Any]]:
    pairs = days.select(["driver_id", "local_date"]).group_by(["driver_id", "local_date"]).aggregate([])
    return set(zip(pairs["driver_id"].to_pylist(), pairs["local_date"].to_pylist(), strict=True))


def _touch(conn: Connection, chunk: Chunk, froms: Froms, drivers: set[tuple[str, Any]]) -> None:
    """Have the models build again from the first row that was replaced, by its time and by its day."""
    midnights = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in map(_day, froms.days.tolist())]
    starts = zip(_instants(froms.segments_us), _instants(froms.fixes_us), midnights, strict=True)
    since = {case.entity: min(times) for case, times in zip(chunk.cases, starts, strict=True)}
    visits = chunk.standing.visits
    for code, entered in zip(visits.vehicle.tolist(), _instants(visits.entered_us), strict=True):
        entity = chunk.cases[code].entity
        since[entity] = min(since[entity], entered)
    touch(conn, "vehicle", since)
    first: dict[Entity, datetime] = {}
    for driver, day in drivers:
        if driver != NOBODY:
            entity = Entity(chunk.tenant, driver)
            at = datetime(day.year, day.month, day.day, tzinfo=UTC)
            first[entity] = min(first.get(entity, at), at)
    touch(conn, "driver", first)
    name_drivers(conn, first)


def _forget_heads(conn: Connection, chunk: Chunk) -> None:
    conn.execute(
        "delete from intermediate.fold_state as f using unnest(%s::text[]) as v (vehicle_id)"
        " where f.fold = %s and f.tenant_id = %s and f.entity_id = v.vehicle_id"
        " and f.as_of <> date_trunc('day', f.as_of, 'UTC') and f.as_of < ("
        "  select max(n.as_of) from intermediate.fold_state as n where n.fold = f.fold"
        "  and n.tenant_id = f.tenant_id and n.entity_id = f.entity_id) - %s",
        (chunk.vehicles, FOLD, chunk.tenant, _HEADS),
    )


def _day(number: int) -> date:
    return _FIRST_DAY + timedelta(days=max(number, 0))


def _instants(us: np.ndarray) -> list[datetime]:
    return [_FIRST + timedelta(microseconds=max(value, 0)) for value in us.tolist()]
