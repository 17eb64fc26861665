{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}
-- depends_on: {{ ref('shipment_transition') }}

-- What fct_shipment_sla said at the close of fleetflow.closed_on, from what was recorded until then: docs/adr/0028. A view: the
-- audit holds it all, and a shipment's few entries are looked up by key.
with clock as (
    select ops.closed_at() as as_of
),

known as (
    select
        o.*,
        o.cancelled_at is not null and coalesce(l.status, 'created') in ({{ cancellable() }}) as is_cancelled,
        l.status,
        l.status_at,
        l.picked_up_at,
        l.out_for_delivery_at,
        l.delivered_at
    from {{ source('audit', 'shipment_order') }} as o
    cross join clock as c
    cross join lateral (
        select
            {{ latest('h.status', 'h.position') }} as status,
            max(h.occurred_at) as status_at,
            min(h.occurred_at) filter (where h.status = 'picked_up') as picked_up_at,
            max(h.occurred_at) filter (where h.status = 'out_for_delivery') as out_for_delivery_at,
            max(h.occurred_at) filter (where h.status = 'delivered') as delivered_at
        from {{ source('audit', 'shipment_status') }} as h
        where h.tenant_id = o.tenant_id and h.shipment_id = o.shipment_id and h.is_legal and {{ believed_at('h', 'c.as_of') }}
    ) as l
    where {{ believed_at('o', 'c.as_of') }}
),

shipment as (
    select
        k.tenant_id,
        k.shipment_id,
        k.carrier_id,
        k.service_level,
        k.mode,
        k.region,
        k.origin_site_id || '>' || k.destination_site_id as lane,
        not k.is_deleted as in_order_system,
        k.created_at,
        k.promised_at,
        (k.promised_at at time zone 'UTC')::date as promised_date,
        k.picked_up_at,
        k.out_for_delivery_at,
        k.delivered_at,
        case when k.is_cancelled then 'cancelled' else coalesce(k.status, 'created') end as status,
        case when k.is_cancelled then k.cancelled_at else coalesce(k.status_at, k.created_at) end as status_at
    from known as k
),

{{ promises_judged('shipment') }}
left join lateral (
    select h.reason_code
    from {{ source('audit', 'shipment_status') }} as h
    where
        o.is_breach
        and h.tenant_id = o.tenant_id
        and h.shipment_id = o.shipment_id
        and h.is_legal
        and h.status in ('failed_attempt', 'exception')
        and h.reason_code is not null
        and h.occurred_at <= o.last_mile_end
        and {{ believed_at('h', 'o.as_of') }}
    order by h.occurred_at desc, h.event_id collate "C" desc
    limit 1
) as e on true
