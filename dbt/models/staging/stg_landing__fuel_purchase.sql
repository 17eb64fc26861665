-- The purchases of the partners' files that landing holds, each as it was sent last. The versions before stay in landing and in the lake.
select distinct on (e.tenant_id, e.event_id)
    e.tenant_id,
    e.event_id,
    e.partner,
    e.source_line,
    e.transaction_id,
    e.vehicle_id,
    e.driver_id,
    e.purchased_at,
    e.recorded_at,
    e.fuel,
    e.volume_l,
    e.amount_minor,
    e.currency,
    e.station_id,
    e.country,
    e.lat,
    e.lon,
    e.odometer_km,
    e.batch_id,
    e.arrived_at
from {{ source('landing', 'fuel_purchase') }} as e
order by e.tenant_id, e.event_id, {{ newest_line('e') }}
