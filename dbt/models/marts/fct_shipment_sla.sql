{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- How each promise stands as of ops.as_of().
with clock as (
    select {{ as_of() }} as as_of
),

{{ promises_judged(ref('fct_shipment')) }}
left join lateral (
    select x.reason_code
    from {{ ref('fct_delivery_exception') }} as x
    where
        o.is_breach
        and x.tenant_id = o.tenant_id
        and x.shipment_id = o.shipment_id
        and x.reason_code is not null
        and x.occurred_at <= o.last_mile_end
    order by x.occurred_at desc, x.event_id collate "C" desc
    limit 1
) as e on true
