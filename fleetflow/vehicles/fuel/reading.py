"""Reads what some vehicles' fuel is judged by: minutes, trips, purchases, earlier days, tanks and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from domain.fuel import DayLoss, Gathered, Position, Purchase, make_minutes
from domain.fuel.losses import DAY_US
from domain.tracks.table import Floats, Ints
from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIGNALS = (
    "fuel_level", "vehicle_speed", "fuel_rate", "total_fuel_used", "odometer", "odometer_high_resolution",
    "ambient_temperature",
)  # fmt: skip

# The two sources are stacked and grouped by the minute: a full join of laterals is none that Postgres knows.
_MINUTES = """
select v.code, u.minute,
    max(u.level_pct) filter (where u.is_signal), max(u.level_pct) filter (where not u.is_signal),
    max(u.speed_kmh), bool_or(u.ignition_on), max(u.rate_lph), max(u.total_l),
    max(u.fine_km), max(u.odometer_km) filter (where u.is_signal), max(u.odometer_km) filter (where not u.is_signal),
    max(u.altitude_m), max(u.temperature_c), max(u.lat), max(u.lon)
from unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[])
    with ordinality as v (tenant_id, vehicle_id, since, code)
cross join lateral (
    select m.minute, true as is_signal,
        case when m.name = 'fuel_level' then m.mean_value end as level_pct,
        case when m.name = 'vehicle_speed' then m.max_value end as speed_kmh,
        null::boolean as ignition_on,
        case when m.name = 'fuel_rate' then m.mean_value end as rate_lph,
        case when m.name = 'total_fuel_used' then m.last_value end as total_l,
        case when m.name = 'odometer_high_resolution' then m.last_value end as fine_km,
        case when m.name = 'odometer' then m.last_value end as odometer_km,
        null::double precision as altitude_m,
        case when m.name = 'ambient_temperature' then m.mean_value end as temperature_c,
        null::double precision as lat, null::double precision as lon
    from intermediate.int_signal_minute as m
    where m.tenant_id = v.tenant_id and m.vehicle_id = v.vehicle_id and m.minute >= v.since and m.name = any(%(names)s)
    union all
    select f.minute, false, f.level_pct, f.speed_kmh, f.ignition_on, null, null, null, f.odometer_km, f.altitude_m,
        null, f.lat, f.lon
    from intermediate.int_fuel_reading as f
    where f.tenant_id = v.tenant_id and f.vehicle_id = v.vehicle_id and f.minute >= v.since
) as u
group by v.code, u.minute
order by v.code, u.minute
"""

_FACTS = """
select tenant_id, vehicle_id, tank_l, make || ' ' || model, vehicle_class, capacity_kg from source.vehicles
where not _deleted and (tenant_id, vehicle_id) in (select * from unnest(%(tenants)s::text[], %(vehicles)s::text[]))
"""

# The weight on a trip is the mean over its time. A vehicle that carried nothing for so long may do work that no
# shipment tells of: that it is empty is not known.
LOAD_KNOWN = timedelta(days=30)
_TRIPS = """
select t.tenant_id, t.vehicle_id, t.started_at, t.ended_at, t.driver_id, t.distance_km, l.weight_kg
from unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[]) as v (tenant_id, vehicle_id, since)
inner join intermediate.int_trip as t on t.tenant_id = v.tenant_id and t.vehicle_id = v.vehicle_id
    and t.ended_at >= v.since and t.ended_at > t.started_at
cross join lateral (
    select case
        when count(*) = 0 or bool_or(o.during_s > 0 and o.weight_kg is null) then null
        else sum(coalesce(o.weight_kg, 0) * o.during_s) / extract(epoch from t.ended_at - t.started_at)
    end::double precision as weight_kg
    from (
        select b.weight_kg, greatest(0, extract(epoch from
            least(b.loaded_until, t.ended_at) - greatest(b.loaded_from, t.started_at))) as during_s
        from intermediate.int_vehicle_load as b
        where b.tenant_id = t.tenant_id and b.vehicle_id = t.vehicle_id and b.loaded_from < t.ended_at
            and coalesce(b.loaded_until, 'infinity') > t.started_at - %(load_known)s
    ) as o
) as l
order by t.tenant_id, t.vehicle_id, t.started_at
"""

_PURCHASES = """
select p.tenant_id, p.vehicle_id, p.purchased_at, p.event_id, p.transaction_id, p.fuel, p.volume_l, p.amount_minor,
    p.lat, p.lon, p.station_id
from unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[]) as v (tenant_id, vehicle_id, since)
inner join intermediate.int_fuel_purchase as p on p.tenant_id = v.tenant_id and p.vehicle_id = v.vehicle_id
    and p.purchased_at >= v.since
"""

_DAYS = """
select d.tenant_id, d.vehicle_id, d.utc_date, d.tank_l, d.parked_l, d.parked_h, d.total_l, d.burnt_l, d.is_measured,
    d.coldest_c
from unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[]) as v (tenant_id, vehicle_id, since)
inner join intermediate.int_fuel_day as d on d.tenant_id = v.tenant_id and d.vehicle_id = v.vehicle_id
    and d.utc_date < v.since::date
"""


@dataclass(frozen=True)
class Trip:
    """A trip as the step `tracks` has it; km by track. `weight_kg`: of its shipments; None: not known."""

    started_at: datetime
    ended_at: datetime
    driver_id: str | None
    distance_km: float
    weight_kg: float | None


@dataclass(frozen=True)
class Vehicle:
    """What one vehicle's fuel is judged by: rows from `from_at` on are made anew. Code: its place in the chunk."""

    entity: Entity
    code: int
    from_at: datetime
    tank_l: float | None
    capacity_kg: int | None
    model: str | None
    trips: Sequence[Trip] = ()
    purchases: Sequence[Purchase] = ()
    days: Sequence[DayLoss] = ()
    positions: Sequence[Position] = ()


@dataclass(frozen=True)
class Chunk:
    """Some vehicles and the minutes of all of them."""

    vehicles: Sequence[Vehicle]
    gathered: Gathered
    nominal_l_100km: Sequence[float] = field(default_factory=list)


# Burn where nothing measures it, litres for 100 km by class: tractor as ReadingRules; truck of 12 t and van as usual.
_NOMINAL = {"tractor": 30.0, "truck": 20.0, "van": 9.0}


def read_chunk(
    conn: Connection,
    from_at: Mapping[Entity, datetime],
    read_from: Mapping[Entity, datetime],
    now: datetime,
) -> Chunk:
    """Read everything of these vehicles."""
    entities = sorted(from_at)
    keys = {"tenants": [one.tenant_id for one in entities], "vehicles": [one.entity_id for one in entities]}
    reading = keys | {"since": [read_from[one] for one in entities]}
    making = keys | {"since": [from_at[one] for one in entities]}
    rows = conn.execute(_MINUTES.encode(), reading | {"names": list(_SIGNALS)}).fetchall()
    facts = {Entity(t, v): rest for t, v, *rest in conn.execute(_FACTS, keys)}
    trips = _by_entity(conn, _TRIPS, making | {"load_known": LOAD_KNOWN})
    purchases = _by_entity(conn, _PURCHASES, reading)
    days = _by_entity(conn, _DAYS, making)
    positions: dict[int, list[Position]] = {}
    for row in rows:
        if row[-1] is not None and entities[row[0] - 1] in purchases:
            positions.setdefault(row[0] - 1, []).append(Position(micros(row[1]), row[-2], row[-1]))
    vehicles = []
    for code, one in enumerate(entities):
        tank_l, model, _, capacity_kg = facts.get(one, (None, None, None, None))
        vehicles.append(
            Vehicle(
                one, code, from_at[one], tank_l, capacity_kg, model,
                [Trip(*trip) for trip in trips.get(one, ())],
                [_purchase(row) for row in purchases.get(one, ())],
                [_day(code, row) for row in days.get(one, ())],
                positions.get(code, ()),
            )
        )  # fmt: skip
    nominal = [_NOMINAL.get(facts[one][2] if one in facts else "", _NOMINAL["truck"]) for one in entities]
    return Chunk(vehicles, _minutes(rows, now), nominal)


def micros(at: datetime) -> int:
    """Return microseconds since 1970 UTC."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(at_us: int) -> datetime:
    """Return the time of microseconds since 1970 UTC."""
    return EPOCH + timedelta(microseconds=int(at_us))


def _by_entity(conn: Connection, query: str, keys: Mapping[str, Any]) -> dict[Entity, list[Sequence[Any]]]:
    found: dict[Entity, list[Sequence[Any]]] = {}
    for tenant, vehicle, *rest in conn.execute(query.encode(), keys):
        found.setdefault(Entity(tenant, vehicle), []).append(rest)
    return found


def _purchase(row: Sequence[Any]) -> Purchase:
    at, event_id, transaction_id, fuel, volume_l, amount_minor, lat, lon, station_id = row
    return Purchase(micros(at), event_id, transaction_id, fuel, volume_l, amount_minor, lat, lon, station_id)


def _day(code: int, row: Sequence[Any]) -> DayLoss:
    day: date = row[0]
    return DayLoss(code, (day - EPOCH.date()).days, *row[1:])


def _minutes(rows: Sequence[Sequence[Any]], now: datetime) -> Gathered:
    """Take level and odometer of one source a UTC day: of the one that tells it in most minutes, of the bus if even.

    Most buses sleep with the engine, so that they do not see what goes while it is off. Sources are not mixed within a
    day: they differ in their steps and zeros, a stuck level would change with each, an odometer go back and forth.
    """
    if not rows:
        return make_minutes([], [])
    columns = list(zip(*rows, strict=True))
    code = np.array(columns[0], np.int64) - 1
    at_us = np.array([micros(at) for at in columns[1]], np.int64)
    day = code * 1_000_000 + at_us // DAY_US
    of_day = np.unique(day, return_inverse=True)[1]
    return make_minutes(
        code,
        at_us,
        level_pct=_of_one_source(of_day, columns[2:4]),
        speed_kmh=_floats(columns[4]),
        ignition=[-1 if one is None else int(one) for one in columns[5]],
        rate_lph=_floats(columns[6]),
        total_l=_floats(columns[7]),
        odometer_km=_of_one_source(of_day, columns[8:11]),
        altitude_m=_floats(columns[11]),
        temperature_c=_floats(columns[12]),
        now_us=micros(now),
    )


def _of_one_source(of_day: Ints, columns: Sequence[Sequence[float | None]]) -> Floats:
    """Return, for each day, the column that has most values on it, the first of those that have as many."""
    sources = [_floats(column) for column in columns]
    told = [np.bincount(of_day, ~np.isnan(source)) for source in sources]
    chosen: Floats = np.stack(sources)[np.argmax(told, axis=0)[of_day], np.arange(len(of_day))]
    return chosen


def _floats(column: Sequence[float | None]) -> Floats:
    return np.array([np.nan if one is None else one for one in column], np.float64)
