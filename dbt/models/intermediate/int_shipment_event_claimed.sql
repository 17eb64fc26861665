{{ config(materialized='table', unlogged=true, post_hook='analyze {{ this }}') }}

-- The shipment events of the claimed batches, each once. Of several contents under one id the one sent first stays;
-- the order is total on the content, so which of them arrived first does not matter.
select distinct on (e.tenant_id, e.shipment_id, e.event_id)
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
    e.line
from {{ ref('stg_landing__shipment_event') }} as e
where {{ is_claimed('e') }}
order by e.tenant_id, e.shipment_id, e.event_id, {{ content_order('e') }}
