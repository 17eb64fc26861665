"""Writes rows in the place of those that they supersede, and says which vehicles' marts are to be built from when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import sql

from fleetflow.runtime import Connection
from fleetflow.vehicles.fuel.judging import Judged
from fleetflow.vehicles.touched import Entity

_KEYS = (
    "unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[])"
    " as v (tenant_id, vehicle_id, since)"
)
# Leaks are spells that may have begun before: those of a vehicle are written anew as a whole.
_DELETES = (
    "delete from intermediate.int_fuel_event as r using {keys}"
    " where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.started_at >= v.since",
    "delete from intermediate.int_fuel_trip as r using {keys}"
    " where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.ended_at >= v.since",
    "delete from intermediate.int_fuel_day as r using {keys}"
    " where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.utc_date >= v.since::date",
    "delete from intermediate.int_fuel_anomaly as r using {keys}"
    " where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.kind <> 'consumption_high'"
    " and (r.occurred_at >= v.since or r.kind = 'leak' or r.kind = 'sensor' and r.ended_at >= v.since)",
)
_COLUMNS = {
    "int_fuel_event": (
        "tenant_id", "vehicle_id", "started_at", "kind", "ended_at", "volume_l", "level_before_l", "level_after_l",
        "in_motion", "is_confirmed", "has_gap", "burn_is_measured", "confidence", "purchased_l", "purchase_ids",
    ),
    "int_fuel_trip": (
        "tenant_id", "vehicle_id", "started_at", "ended_at", "model", "driver_id", "distance_km", "litres", "method",
        "by_total_l", "by_rate_l", "by_level_l", "level_error_l", "rate_cover", "compared_with", "difference_l",
        "l_100km", "idle_l", "faults", "climb_m_km", "temperature_c", "terrain", "load", "temperature",
        "load_share",
    ),
    "int_fuel_day": (
        "tenant_id", "vehicle_id", "utc_date", "tank_l", "parked_l", "parked_h", "total_l", "burnt_l", "is_measured",
        "coldest_c",
    ),
    "int_fuel_anomaly": (
        "tenant_id", "vehicle_id", "anomaly_id", "kind", "occurred_at", "ended_at", "volume_l", "score", "severity",
        "causes", "event_id",
    ),
}  # fmt: skip


def replace_rows(
    conn: Connection, from_at: Mapping[Entity, datetime], judged: Judged
) -> dict[Entity, datetime]:
    """Replace these vehicles' rows in one transaction; return from when on each vehicle's rows may have changed."""
    entities = sorted(from_at)
    keys: dict[str, Any] = {
        "tenants": [one.tenant_id for one in entities],
        "vehicles": [one.entity_id for one in entities],
        "since": [from_at[one] for one in entities],
    }
    changed = dict(from_at)
    with conn.transaction():
        _reach_back(conn, keys, changed)
        for statement in _DELETES:
            conn.execute(statement.format(keys=_KEYS).encode(), keys)
        for table, rows in (
            ("int_fuel_event", judged.events),
            ("int_fuel_trip", judged.trips),
            ("int_fuel_day", judged.days),
            ("int_fuel_anomaly", judged.anomalies),
        ):
            insert_rows(conn, table, rows)
        _set_outcomes(conn, judged.outcomes)
    for tenant, vehicle, began in [
        *(row[:3] for row in judged.trips),
        *((*row[:2], row[4]) for row in judged.anomalies),
    ]:
        entity = Entity(tenant, vehicle)
        changed[entity] = min(changed[entity], began)
    return changed


def insert_rows(conn: Connection, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Copy rows into a table of schema intermediate."""
    if not rows:
        return
    columns = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS[table]))
    statement = sql.SQL("copy intermediate.{} ({}) from stdin").format(sql.Identifier(table), columns)
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _reach_back(conn: Connection, keys: Mapping[str, Any], changed: dict[Entity, datetime]) -> None:
    """Note rows that begin before a vehicle's time and are written anew all the same: trips over it, and leaks."""
    rows = conn.execute(
        f"select v.tenant_id, v.vehicle_id, min(r.began) from {_KEYS}"
        " inner join (select tenant_id, vehicle_id, started_at as began, ended_at as ended"
        "  from intermediate.int_fuel_trip"
        "  union all select tenant_id, vehicle_id, occurred_at, case kind when 'leak' then 'infinity' else ended_at end"
        "  from intermediate.int_fuel_anomaly where kind in ('leak', 'sensor')) as r"
        " on r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.ended >= v.since"
        " group by v.tenant_id, v.vehicle_id".encode(),
        keys,
    )
    for tenant, vehicle, began in rows:
        entity = Entity(tenant, vehicle)
        changed[entity] = min(changed[entity], began)


def _set_outcomes(conn: Connection, outcomes: Sequence[tuple[Any, ...]]) -> None:
    if not outcomes:
        return
    tenants, ids, words = (list(column) for column in zip(*outcomes, strict=True))
    conn.execute(
        "update intermediate.int_fuel_purchase as p set outcome = n.outcome"
        " from unnest(%s::text[], %s::text[], %s::text[]) as n (tenant_id, event_id, outcome)"
        " where p.tenant_id = n.tenant_id and p.event_id = n.event_id and p.outcome is distinct from n.outcome",
        (tenants, ids, words),
    )
