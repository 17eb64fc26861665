{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- The audit of status events, each with where it came from. A view: the rows stand in the log already, and the few batches
-- that brought them are looked up by key.
select
    a.tenant_id,
    a.shipment_id,
    a.entry,
    a.event_id,
    a.version,
    a.supersedes,
    a.believed_from,
    a.believed_until,
    a.believed_until is null as is_current,
    a.position,
    a.previous_status,
    a.status,
    a.is_legal,
    a.occurred_at,
    a.recorded_at,
    a.sequence,
    a.reason_code,
    a.vehicle_id,
    a.lat,
    a.lon,
    a.origin,
    s.source,
    a.batch_id,
    a.line,
    a.object_key,
    s.partner,
    s.file_name,
    a.run_id,
    encode(a.hash, 'hex') as hash
from {{ source('audit', 'shipment_status') }} as a
left join {{ source('audit', 'source_batch') }} as s on a.tenant_id = s.tenant_id and a.batch_id = s.batch_id
