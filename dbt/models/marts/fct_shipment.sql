{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'shipment_id'],
    on_schema_change='fail', post_hook=['{{ tenant_policy() }}', '{{ leave_room(60) }}', '{{ audit_orders() }}', '{{ index_weeks() }}']) }}
-- depends_on: {{ ref('int_shipment_touched') }}, {{ ref('int_shipment_status_history') }}

-- One row a shipment that the order system or any event knows; touched ones are made anew.
with touched as (
    {%- if is_incremental() %}
    select t.tenant_id, t.shipment_id from {{ ref('int_shipment_touched') }} as t
    {%- else %}
    select l.tenant_id, l.shipment_id from {{ source('store', 'int_shipment_life') }} as l
    union
    select a.tenant_id, a.shipment_id from {{ ref('int_shipment_assignment') }} as a
    union
    select s.tenant_id, s.shipment_id from {{ ref('stg_source__shipments') }} as s
    {%- endif %}
),

assignment as (
    select distinct on (a.tenant_id, a.shipment_id)
        a.tenant_id,
        a.shipment_id,
        case a.action when 'assigned' then a.driver_id end as driver_id,
        case a.action when 'assigned' then a.vehicle_id end as vehicle_id
    from {{ ref('int_shipment_assignment') }} as a
    inner join touched as t on a.tenant_id = t.tenant_id and a.shipment_id = t.shipment_id
    order by
        a.tenant_id, a.shipment_id, a.effective_at desc, a.sequence desc, a.recorded_at desc, a.event_id collate "C" desc
),

cancelled as (
    select t.from_status as status from {{ ref('shipment_transition') }} as t where t.to_status = 'cancelled'
)

select
    t.tenant_id,
    t.shipment_id,
    o.customer_id,
    o.carrier_id,
    o.service_level,
    o.mode,
    o.origin_site_id,
    o.destination_site_id,
    d.region,
    o.origin_site_id || '>' || o.destination_site_id as lane,
    coalesce(not o.is_deleted, false) as in_order_system,
    o.created_at,
    o.promised_at,
    o.promised_date,
    l.assigned_at,
    l.picked_up_at,
    l.delivered_at,
    case when c.status is not null then 'cancelled' when o.shipment_id is not null then coalesce(l.status, 'created')
        else l.status end as status,
    case when c.status is not null then o.cancelled_at when o.shipment_id is not null then coalesce(l.status_at, o.created_at)
        else l.status_at end as status_at,
    coalesce(l.failed_attempts, 0)::integer as failed_attempts,
    coalesce(l.exceptions, 0)::integer as exceptions,
    coalesce(l.illegal_transitions, 0)::integer as illegal_transitions,
    coalesce(l.events, 0)::integer as events,
    k.driver_key,
    coalesce(l.vehicle_id, a.vehicle_id) as vehicle_id,
    l.first_event_at,
    l.last_event_at,
    l.out_for_delivery_at
from touched as t
left join {{ source('store', 'int_shipment_life') }} as l on t.tenant_id = l.tenant_id and t.shipment_id = l.shipment_id
left join {{ ref('stg_source__shipments') }} as o on t.tenant_id = o.tenant_id and t.shipment_id = o.shipment_id
left join {{ ref('dim_site') }} as d on o.tenant_id = d.tenant_id and o.destination_site_id = d.site_id
left join assignment as a on t.tenant_id = a.tenant_id and t.shipment_id = a.shipment_id
left join {{ ref('int_driver_key') }} as k
    on t.tenant_id = k.tenant_id and k.driver_id = coalesce(l.driver_id, a.driver_id)
-- The order system's cancellation counts where the lifecycle allows one: before pick-up.
left join cancelled as c on o.cancelled_at is not null and coalesce(l.status, 'created') = c.status
