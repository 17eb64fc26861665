"""What partners' files say: services and odometers at the pump, kept by event id, each as it was sent last."""

from __future__ import annotations

from uuid import UUID

from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity

# A total order on the versions of a line, without anything of its arrival: sent last, then further down, then content.
_TAKE_SERVICES = """
with claimed as (
    select distinct on (r.tenant_id, r.event_id) r.*,
        (r.completed_at at time zone coalesce(s.timezone, 'UTC'))::date as done_on
    from landing.service_record as r
    left join source.vehicles as v on r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id
    left join source.sites as s on v.tenant_id = s.tenant_id and v.home_site_id = s.site_id
    where r.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run_id)s))
    order by r.tenant_id, r.event_id, r.recorded_at desc, r.source_line desc, r.completed_at desc,
        r.vehicle_id collate "C", r.service collate "C", r.odometer_km, r.engine_hours, r.cost_minor
), before as (
    select k.tenant_id, k.vehicle_id from intermediate.int_service_record as k
    inner join claimed as c on k.tenant_id = c.tenant_id and k.event_id = c.event_id
), written as (
    merge into intermediate.int_service_record as k
    using claimed as c on k.tenant_id = c.tenant_id and k.event_id = c.event_id
    when matched and (c.recorded_at, coalesce(c.source_line, -1)) > (k.recorded_at, coalesce(k.source_line, -1))
        then update set vehicle_id = c.vehicle_id, service = c.service, completed_at = c.completed_at,
            done_on = c.done_on, odometer_km = c.odometer_km, engine_hours = c.engine_hours,
            workshop_id = c.workshop_id, cost_minor = c.cost_minor, currency = c.currency,
            recorded_at = c.recorded_at, source_line = c.source_line
    when not matched then insert
        (tenant_id, event_id, vehicle_id, service, completed_at, done_on, odometer_km, engine_hours, workshop_id,
        cost_minor, currency, recorded_at, source_line)
        values (c.tenant_id, c.event_id, c.vehicle_id, c.service, c.completed_at, c.done_on, c.odometer_km,
        c.engine_hours, c.workshop_id, c.cost_minor, c.currency, c.recorded_at, c.source_line)
    returning k.tenant_id, k.vehicle_id
)
select tenant_id, vehicle_id from before union select tenant_id, vehicle_id from written
"""

_TAKE_PURCHASES = """
with claimed as (
    select distinct on (r.tenant_id, r.event_id) r.*,
        (r.purchased_at at time zone coalesce(s.timezone, 'UTC'))::date as purchased_on
    from landing.fuel_purchase as r
    left join source.vehicles as v on r.tenant_id = v.tenant_id and r.vehicle_id = v.vehicle_id
    left join source.sites as s on v.tenant_id = s.tenant_id and v.home_site_id = s.site_id
    where r.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run_id)s))
    order by r.tenant_id, r.event_id, r.recorded_at desc, r.source_line desc, r.purchased_at desc,
        r.vehicle_id collate "C", r.odometer_km
), before as (
    select k.tenant_id, k.vehicle_id from intermediate.int_purchase_odometer as k
    inner join claimed as c on k.tenant_id = c.tenant_id and k.event_id = c.event_id
), written as (
    merge into intermediate.int_purchase_odometer as k
    using claimed as c on k.tenant_id = c.tenant_id and k.event_id = c.event_id
    when matched and (c.recorded_at, coalesce(c.source_line, -1)) > (k.recorded_at, coalesce(k.source_line, -1))
        then update set vehicle_id = c.vehicle_id, purchased_on = c.purchased_on, odometer_km = c.odometer_km,
            recorded_at = c.recorded_at, source_line = c.source_line
    when not matched then insert
        (tenant_id, event_id, vehicle_id, purchased_on, odometer_km, recorded_at, source_line)
        values (c.tenant_id, c.event_id, c.vehicle_id, c.purchased_on, c.odometer_km, c.recorded_at, c.source_line)
    returning k.tenant_id, k.vehicle_id
)
select tenant_id, vehicle_id from before union select tenant_id, vehicle_id from written
"""


def take_services(conn: Connection, run_id: UUID) -> set[Entity]:
    """Take in the services of a run's claim; return the vehicles that they are, or were until corrected, of."""
    return {Entity(*row) for row in conn.execute(_TAKE_SERVICES, {"run_id": run_id})}


def take_purchases(conn: Connection, run_id: UUID) -> set[Entity]:
    """Take in the odometers of a run's purchases; return the vehicles that they are, or were until corrected, of."""
    return {Entity(*row) for row in conn.execute(_TAKE_PURCHASES, {"run_id": run_id})}
