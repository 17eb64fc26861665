-- The jobs of the partners' files that landing holds, each as it was sent last. The versions before stay in landing and in the lake.
select distinct on (e.tenant_id, e.event_id)
    e.tenant_id,
    e.event_id,
    e.partner,
    e.source_line,
    e.record_id,
    e.vehicle_id,
    e.service,
    e.started_at,
    e.completed_at,
    e.recorded_at,
    e.odometer_km,
    e.engine_hours,
    e.cost_minor,
    e.currency,
    e.workshop_id,
    e.note,
    e.batch_id,
    e.arrived_at
from {{ source('landing', 'service_record') }} as e
order by e.tenant_id, e.event_id, {{ newest_line('e') }}
