select
    e.tenant_id,
    e.driver_id,
    e.event_id,
    e.vehicle_id,
    e.activity,
    e.started_at,
    e.ended_at,
    e.recorded_at,
    e.slot,
    e.crew,
    e.origin,
    e.batch_id,
    e.arrived_at
from {{ source('landing', 'driver_activity') }} as e
