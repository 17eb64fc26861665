select
    e.tenant_id,
    e.vehicle_id,
    e.event_id,
    e.captured_at,
    e.recorded_at,
    e.channel,
    e.arbitration_id,
    e.is_extended,
    e.payload,
    e.batch_id,
    e.arrived_at
from {{ source('landing', 'can_frame') }} as e
