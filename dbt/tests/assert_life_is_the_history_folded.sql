-- What is kept beside the history must be what the history comes to; a row here is a shipment for which it is not.
with folded as (
    select
        h.tenant_id,
        h.shipment_id,
        count(*) as events,
        count(*) filter (where not h.is_legal) as illegal_transitions,
        max(h.position) as last_position,
        max(h.occurred_at) as last_event_at
    from {{ ref('int_shipment_status_history') }} as h
    group by h.tenant_id, h.shipment_id
)

select
    coalesce(f.tenant_id, l.tenant_id) as tenant_id,
    coalesce(f.shipment_id, l.shipment_id) as shipment_id
from folded as f
full outer join {{ source('store', 'int_shipment_life') }} as l
    on f.tenant_id = l.tenant_id and f.shipment_id = l.shipment_id
where
    (f.events, f.illegal_transitions, f.last_position, f.last_event_at)
    is distinct from (l.events, l.illegal_transitions, l.events, l.last_event_at)
