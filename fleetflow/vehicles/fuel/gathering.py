"""Keeps what a run has claimed: fixes rolled up by the minute, and purchases, each line once."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity, Touched
from fleetflow.vehicles.tracks import timely

# A clock that ran ahead, was never set or rolled over must not take a vehicle's tank there; tracks count such fixes.
_IS_TIMELY = f"""
    e.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run)s))
    and not ({timely.condition(timely.TOO_LATE)} or {timely.condition(timely.TOO_OLD)})
"""

_FIXED = f"""
select e.tenant_id, e.vehicle_id, min(e.fixed_at) from landing.gps_location as e where {_IS_TIMELY}
group by e.tenant_id, e.vehicle_id
"""

# Which fix stands for its minute is told by the fixes alone, so that batches may be cut and claimed in any way.
_KEEP_READINGS = f"""
insert into intermediate.int_fuel_reading as kept (
    tenant_id, vehicle_id, minute, fixed_at, event_id, recorded_at, level_pct, odometer_km, altitude_m, lat, lon,
    speed_kmh, ignition_on, kept_on
)
select distinct on (tenant_id, vehicle_id, date_trunc('minute', fixed_at))
    tenant_id, vehicle_id, date_trunc('minute', fixed_at), fixed_at, event_id, recorded_at, fuel_level_pct, odometer_km,
    altitude_m, lat, lon,
    max(speed_kmh) over (partition by tenant_id, vehicle_id, date_trunc('minute', fixed_at)),
    bool_or(ignition_on) over (partition by tenant_id, vehicle_id, date_trunc('minute', fixed_at)), %(today)s
from landing.gps_location as e
where {_IS_TIMELY}
order by tenant_id, vehicle_id, date_trunc('minute', fixed_at), fuel_level_pct is null, fixed_at, event_id, recorded_at,
    lat, lon, fuel_level_pct, odometer_km, altitude_m
on conflict (tenant_id, vehicle_id, minute) do update set
    (fixed_at, event_id, recorded_at, level_pct, odometer_km, altitude_m, lat, lon) = (
        select f.fixed_at, f.event_id, f.recorded_at, f.level_pct, f.odometer_km, f.altitude_m, f.lat, f.lon
        from (values
            (kept.fixed_at, kept.event_id, kept.recorded_at, kept.level_pct, kept.odometer_km, kept.altitude_m,
                kept.lat, kept.lon),
            (excluded.fixed_at, excluded.event_id, excluded.recorded_at, excluded.level_pct, excluded.odometer_km,
                excluded.altitude_m, excluded.lat, excluded.lon)
        ) as f (fixed_at, event_id, recorded_at, level_pct, odometer_km, altitude_m, lat, lon)
        order by f.level_pct is null, f.fixed_at, f.event_id, f.recorded_at, f.lat, f.lon, f.level_pct, f.odometer_km,
            f.altitude_m
        limit 1
    ),
    kept_on = excluded.kept_on,
    speed_kmh = greatest(kept.speed_kmh, excluded.speed_kmh),
    ignition_on = case when kept.ignition_on then true else coalesce(excluded.ignition_on, kept.ignition_on) end
"""

# A line that its partner sent again, corrected, counts as it was sent last; as the view of staging has it.
_KEEP_PURCHASES = """
insert into intermediate.int_fuel_purchase as kept (
    tenant_id, vehicle_id, event_id, recorded_at, purchased_at, partner, source_line, transaction_id, fuel, volume_l,
    amount_minor, currency, station_id, lat, lon
)
select distinct on (tenant_id, event_id)
    tenant_id, vehicle_id, event_id, recorded_at, purchased_at, partner, source_line, transaction_id, fuel, volume_l,
    amount_minor, currency, station_id, lat, lon
from landing.fuel_purchase
where batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run)s))
order by tenant_id, event_id, recorded_at desc, source_line desc, purchased_at desc, vehicle_id, transaction_id, fuel,
    volume_l, amount_minor
on conflict (tenant_id, event_id) do update set
    vehicle_id = excluded.vehicle_id, recorded_at = excluded.recorded_at, purchased_at = excluded.purchased_at,
    partner = excluded.partner, source_line = excluded.source_line, transaction_id = excluded.transaction_id,
    fuel = excluded.fuel, volume_l = excluded.volume_l, amount_minor = excluded.amount_minor,
    currency = excluded.currency, station_id = excluded.station_id, lat = excluded.lat, lon = excluded.lon
where (excluded.recorded_at, excluded.source_line) > (kept.recorded_at, kept.source_line)
"""

# A purchase that moved to another vehicle or time is gone from where it was.
_MOVED = """
select k.tenant_id, k.vehicle_id, min(k.purchased_at)
from intermediate.int_fuel_purchase as k
where exists (
    select from landing.fuel_purchase as p
    where p.tenant_id = k.tenant_id and p.event_id = k.event_id
        and p.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run)s))
)
group by k.tenant_id, k.vehicle_id
"""


def find_fixed(conn: Connection, run_id: UUID, now: datetime) -> Touched:
    """Return vehicles that the run has fixes of a believable time of, with the earliest."""
    rows = conn.execute(_FIXED.encode(), {"run": run_id} | timely.limits(now))
    return {Entity(tenant, vehicle): since for tenant, vehicle, since in rows}


def keep_readings(conn: Connection, run_id: UUID, now: datetime) -> int:
    """Roll up the minutes that the run's fixes lie in; return how many were written."""
    values = {"run": run_id, "today": now.date()} | timely.limits(now)
    return conn.execute(_KEEP_READINGS.encode(), values).rowcount


def find_moved(conn: Connection, run_id: UUID) -> Touched:
    """Return vehicles whose kept purchases the run has another word on, with the earliest time; ask before keeping."""
    rows = conn.execute(_MOVED, {"run": run_id})
    return {Entity(tenant, vehicle): since for tenant, vehicle, since in rows}


def keep_purchases(conn: Connection, run_id: UUID) -> int:
    """Keep the run's purchases; return how many were written."""
    return conn.execute(_KEEP_PURCHASES, {"run": run_id}).rowcount
