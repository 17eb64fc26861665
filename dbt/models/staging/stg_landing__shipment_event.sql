select
    e.tenant_id,
    e.shipment_id,
    e.event_id,
    e.status,
    e.occurred_at,
    e.recorded_at,
    e.sequence,
    e.reason_code,
    e.driver_id,
    e.vehicle_id,
    e.lat,
    e.lon,
    e.origin,
    e.batch_id,
    e.line,
    e.arrived_at
from {{ source('landing', 'shipment_event') }} as e
