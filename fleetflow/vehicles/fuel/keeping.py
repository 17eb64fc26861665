"""How long readings are kept, and from when on a vehicle's rows may still be made anew.

Rows are made from readings, so a vehicle whose old readings are gone is closed before some time: what comes later than
that for it changes no row any more. Readings stay for as far back as rows from then on rest on them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from fleetflow.runtime import Connection
from fleetflow.vehicles.fuel.horizon import go_back
from fleetflow.vehicles.touched import Entity, Touched

KEEP = timedelta(days=62)
"""Twice what a fix may be late, and long enough for a purchase that comes with the bill of the month after."""
SLACK = timedelta(days=7)
"""Vehicles are closed a week's readings at a time, so that most runs delete nothing."""

# What arrived of the past not long ago, an import of history for example, may still be followed by more of it.
_DUE = """
select v.tenant_id, v.vehicle_id
from unnest(%(tenants)s::text[], %(vehicles)s::text[]) as v (tenant_id, vehicle_id)
where exists (
    select from intermediate.int_fuel_reading as r
    where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.minute < %(before)s - %(slack)s
) and not exists (
    select from intermediate.int_fuel_reading as r
    where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.minute < %(before)s
        and r.kept_on >= %(before)s::date
)
"""

_CLOSE = """
insert into intermediate.int_fuel_closed as known (tenant_id, vehicle_id, closed_before)
select v.tenant_id, v.vehicle_id, %(before)s
from unnest(%(tenants)s::text[], %(vehicles)s::text[]) as v (tenant_id, vehicle_id)
on conflict (tenant_id, vehicle_id) do update set closed_before = greatest(known.closed_before, excluded.closed_before)
"""

_FORGET = """
delete from intermediate.int_fuel_reading as r
using unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[]) as v (tenant_id, vehicle_id, since)
where r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id and r.minute < v.since
"""

_CLOSED = """
select c.tenant_id, c.vehicle_id, c.closed_before from intermediate.int_fuel_closed as c
inner join unnest(%(tenants)s::text[], %(vehicles)s::text[]) as v (tenant_id, vehicle_id) using (tenant_id, vehicle_id)
"""


def still_open(conn: Connection, touched: Touched) -> dict[Entity, datetime]:
    """Return, for each vehicle, from when on its rows are to be made anew: not from before it was closed."""
    closed = {
        Entity(tenant, vehicle): before for tenant, vehicle, before in conn.execute(_CLOSED, _keys(touched))
    }
    return {one: max(since, closed.get(one, since)) for one, since in touched.items()}


def forget_readings(conn: Connection, vehicles: Iterable[Entity], now: datetime) -> int:
    """Close those of the vehicles that have readings past keeping, and drop these; return how many went."""
    before = (now - KEEP).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = conn.execute(_DUE, {**_keys(vehicles), "before": before, "slack": SLACK})
    due = [Entity(*row) for row in rows]
    if not due:
        return 0
    needed = go_back(conn, go_back(conn, dict.fromkeys(due, before)))
    with conn.transaction():
        conn.execute(_CLOSE, {**_keys(due), "before": before})
        return conn.execute(_FORGET, {**_keys(needed), "since": list(needed.values())}).rowcount


def _keys(entities: Iterable[Entity]) -> dict[str, list[str]]:
    some = list(entities)
    return {"tenants": [one.tenant_id for one in some], "vehicles": [one.entity_id for one in some]}
