{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- The audit of what the order system says: each promise, cancellation and deletion with the log position that said so.
select
    a.tenant_id,
    a.shipment_id,
    a.entry,
    a.believed_from,
    a.believed_until,
    a.believed_until is null as is_current,
    case
        when a.is_deleted then 'deleted'
        when a.cancelled_at is not null then 'cancelled'
        when a.entry = 1 then 'ordered'
        else 'changed'
    end as change,
    a.customer_id,
    a.carrier_id,
    a.service_level,
    a.mode,
    a.origin_site_id,
    a.destination_site_id,
    a.region,
    a.created_at,
    a.promised_at,
    (a.promised_at at time zone 'UTC')::date as promised_date,
    a.cancelled_at,
    a.is_deleted,
    a.lsn::text as lsn,
    a.committed_at,
    a.batch_id,
    a.run_id,
    encode(a.hash, 'hex') as hash
from {{ source('audit', 'shipment_order') }} as a
