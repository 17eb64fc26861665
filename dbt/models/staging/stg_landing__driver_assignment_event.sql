select
    e.tenant_id,
    e.shipment_id,
    e.event_id,
    e.assignment_id,
    e.driver_id,
    e.vehicle_id,
    e.action,
    e.effective_at,
    e.recorded_at,
    e.sequence,
    e.batch_id,
    e.arrived_at
from {{ source('landing', 'driver_assignment_event') }} as e
