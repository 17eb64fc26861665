{{ config(materialized='table', unlogged=true, post_hook='analyze {{ this }}') }}
-- depends_on: {{ ref('stg_landing__shipment_event') }}

-- The shipments that the claimed batches say anything about, and where their stored events end. A shipment is late when a
-- claimed event does not come after all stored ones, or comes again: it is folded again from its first event.
with reported as (
    select
        e.tenant_id,
        e.shipment_id,
        e.occurred_at,
        -- One look into the key's index for each event: it costs what was claimed, however long the history is.
        (
            select true
            from {{ source('store', 'int_shipment_status_history') }} as h
            where h.tenant_id = e.tenant_id and h.shipment_id = e.shipment_id and h.event_id = e.event_id
        ) as is_repeated,
        false as is_ordered
    from {{ ref('int_shipment_event_claimed') }} as e
    {%- if claims_backfill() %}
    -- A backfill mends: what is stored of its shipments is not trusted, they are folded again from their first event.
    union all
    select e.tenant_id, e.shipment_id, null, true, false from {{ ref('stg_landing__shipment_event') }} as e
    where {{ is_claimed('e') }} and e.batch_id in ({{ backfilled_batches() }})
    {%- endif %}
    union all
    select a.tenant_id, a.shipment_id, null, null, false from {{ ref('stg_landing__driver_assignment_event') }} as a
    where {{ is_claimed('a') }}
    union all
    select c.tenant_id, c.shipment_id, null, null, true from {{ ref('stg_source__shipment_changes') }} as c
    where {{ is_claimed('c') }}
    union all
    select s.tenant_id, s.shipment_id, null, null, true from {{ ref('stg_source__shipments') }} as s
    where {{ is_claimed('s') }}
    union all
    select s.tenant_id, s.shipment_id, null, null, true
    from {{ ref('stg_source__shipments') }} as s
    inner join {{ ref('stg_source__site_changes') }} as c
        on s.tenant_id = c.tenant_id and s.destination_site_id = c.site_id
    where c.region is distinct from c.previous_region and {{ is_claimed('c') }}
),

touched as (
    select
        r.tenant_id,
        r.shipment_id,
        min(r.occurred_at) as events_from,
        bool_or(r.is_repeated) as is_repeated,
        bool_or(r.is_ordered) as is_ordered
    from reported as r
    group by r.tenant_id, r.shipment_id
)

select
    t.tenant_id,
    t.shipment_id,
    coalesce(t.events_from <= l.last_event_at or t.is_repeated, false) as is_late,
    coalesce(l.events, 0) as start_position,
    coalesce(l.status, '') as start_state,
    t.is_ordered,
    coalesce(l.audit_entries, 0) as audit_entries,
    l.audit_hash
from touched as t
left join {{ source('store', 'int_shipment_life') }} as l
    on t.tenant_id = l.tenant_id and t.shipment_id = l.shipment_id
