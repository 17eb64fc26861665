-- Every image of a shipment that the order system has had: from it come the promises that no longer hold.
select
    h.tenant_id,
    h.shipment_id,
    (h.promised_at at time zone 'UTC')::date as promised_date,
    h.batch_id
from {{ source('source', 'shipments_history') }} as h
where h.shipment_id is not null
