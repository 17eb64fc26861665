"""Meters of vehicles: what was read of each on each day and by whom, and the use that it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from domain.maintenance.meters import ENGINE_HOURS, ODOMETER, Meter, MeterKind, Reading, read_meter
from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity

KINDS: dict[str, MeterKind] = {"odometer": ODOMETER, "engine_hours": ENGINE_HOURS}
CHUNK_VEHICLES = 500

# `day_start`: from which local day on decoded odometers are read again; never, where none of the vehicle's hours was.
_CHOOSE = """
insert into chosen_vehicle (tenant_id, vehicle_id, timezone, today, day_start)
select e.tenant_id, e.vehicle_id, z.timezone, (%(now)s at time zone z.timezone)::date,
    date_trunc('day', e.decoded_since, z.timezone)
from unnest(%(tenants)s::text[], %(vehicles)s::text[], %(decoded_since)s::timestamptz[])
    as e (tenant_id, vehicle_id, decoded_since)
left join source.vehicles as v on e.tenant_id = v.tenant_id and e.vehicle_id = v.vehicle_id
left join source.sites as s on v.tenant_id = s.tenant_id and v.home_site_id = s.site_id
cross join lateral (values (coalesce(s.timezone, 'UTC'))) as z (timezone)
"""

_FORGET = """
delete from intermediate.int_meter_reading as r using chosen_vehicle as c
where r.tenant_id = c.tenant_id and r.vehicle_id = c.vehicle_id
    and (r.source <> 'can' or r.day >= (c.day_start at time zone c.timezone)::date)
"""

# The last reading of a day counts, not the highest: a spike within the day is no reading of its end. Of a workshop or a
# pump only the day is known to hold.
_READ_OFF = """
insert into intermediate.int_meter_reading (tenant_id, vehicle_id, meter, day, source, value)
select c.tenant_id, c.vehicle_id, r.meter, r.day, r.source, r.value
from chosen_vehicle as c
cross join lateral (
    select distinct on (1, 2)
        case m.name when 'engine_hours' then 'engine_hours' else 'odometer' end as meter,
        (m.last_at at time zone c.timezone)::date as day, 'can' as source, m.last_value as value
    from intermediate.int_signal_minute as m
    where m.tenant_id = c.tenant_id and m.vehicle_id = c.vehicle_id and m.minute >= c.day_start
        and m.name in ('odometer', 'odometer_high_resolution', 'engine_hours')
    order by 1, 2, m.last_at desc, m.name desc
) as r
union all
select c.tenant_id, c.vehicle_id, x.meter, s.done_on, 'workshop', max(x.value)
from chosen_vehicle as c
inner join intermediate.int_service_record as s on c.tenant_id = s.tenant_id and c.vehicle_id = s.vehicle_id
cross join lateral (values ('odometer', s.odometer_km), ('engine_hours', s.engine_hours)) as x (meter, value)
where x.value is not null
group by 1, 2, 3, 4
union all
select c.tenant_id, c.vehicle_id, 'odometer', p.purchased_on, 'fuel_card', max(p.odometer_km)
from chosen_vehicle as c
inner join intermediate.int_purchase_odometer as p on c.tenant_id = p.tenant_id and c.vehicle_id = p.vehicle_id
where p.odometer_km is not null
group by 1, 2, 4
"""

# A day may have a row for each of its drivers; the odometer's last one counts.
_READ_TRACKS = """
insert into intermediate.int_meter_reading (tenant_id, vehicle_id, meter, day, source, value)
select distinct on (c.tenant_id, c.vehicle_id, d.local_date)
    c.tenant_id, c.vehicle_id, 'odometer', d.local_date, 'gps', d.odometer_end_km
from chosen_vehicle as c
inner join intermediate.int_vehicle_day as d on c.tenant_id = d.tenant_id and c.vehicle_id = d.vehicle_id
where d.odometer_end_km is not null
order by c.tenant_id, c.vehicle_id, d.local_date, d.odometer_read_at desc, d.odometer_end_km desc
"""


def fold_meters(conn: Connection, vehicles: Mapping[Entity, datetime | None], now: datetime) -> int:
    """Read the meters of vehicles anew from what was read off them, up to now; return how many days have use.

    `vehicles`: with each, since when its frames were decoded by this run, None where none was.
    """
    written = 0
    every = list(vehicles.items())
    for start in range(0, len(every), CHUNK_VEHICLES):
        with conn.transaction():
            written += _fold(conn, every[start : start + CHUNK_VEHICLES], now)
    return written


def _fold(conn: Connection, vehicles: Sequence[tuple[Entity, datetime | None]], now: datetime) -> int:
    conn.execute(
        "create temp table chosen_vehicle (tenant_id text, vehicle_id text, timezone text, today date,"
        " day_start timestamptz) on commit drop"
    )
    conn.execute(
        _CHOOSE,
        {
            "now": now,
            "tenants": [one.tenant_id for one, _ in vehicles],
            "vehicles": [one.entity_id for one, _ in vehicles],
            "decoded_since": [since for _, since in vehicles],
        },
    )
    conn.execute(_FORGET)
    conn.execute(_READ_OFF)
    if _has_vehicle_days(conn):
        conn.execute(_READ_TRACKS)
    meters = list(_meters(conn))
    for table in ("int_meter_day", "int_meter"):
        conn.execute(
            f"delete from intermediate.{table} as m using chosen_vehicle as c"
            " where m.tenant_id = c.tenant_id and m.vehicle_id = c.vehicle_id".encode()
        )
    _copy(conn, "int_meter", _summaries(meters))
    return _copy(conn, "int_meter_day", _days(meters))


def _has_vehicle_days(conn: Connection) -> bool:
    found = conn.execute("select to_regclass('intermediate.int_vehicle_day') is not null").fetchone()
    return bool(found and found[0])


_Key = tuple[str, str, str]
"""Tenant, vehicle, meter."""


def _meters(conn: Connection) -> Iterator[tuple[_Key, int, Meter]]:
    """Yield each chosen vehicle's meters, and how many readings each has."""
    rows = conn.execute(
        "select r.tenant_id, r.vehicle_id, r.meter, c.today, r.day, r.value"
        " from intermediate.int_meter_reading as r inner join chosen_vehicle as c using (tenant_id, vehicle_id)"
        " order by 1, 2, 3"
    ).fetchall()
    for (tenant, vehicle, name, today), some in groupby(rows, key=lambda row: row[:4]):
        readings = [Reading(day, value) for *_, day, value in some]
        yield (tenant, vehicle, name), len(readings), read_meter(KINDS[name], readings, today)


def _summaries(meters: Sequence[tuple[_Key, int, Meter]]) -> Iterator[tuple[Any, ...]]:
    for key, readings, meter in meters:
        yield *key, readings, meter.refused, meter.unconfirmed, list(meter.replaced_on)


def _days(meters: Sequence[tuple[_Key, int, Meter]]) -> Iterator[tuple[Any, ...]]:
    for key, _, meter in meters:
        for day, used in zip(meter.days, meter.used, strict=True):
            yield *key, day, used, day in meter.replaced_on


def _copy(conn: Connection, table: str, rows: Iterator[tuple[Any, ...]]) -> int:
    written = 0
    with conn.cursor() as cursor, cursor.copy(f"copy intermediate.{table} from stdin".encode()) as copy:
        for row in rows:
            copy.write_row(row)
            written += 1
    return written
