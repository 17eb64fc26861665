{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- Each attempt to deliver: the failed ones, and the one that succeeded. A view: both stand in marts already, and the number of
-- an attempt is one look into the key of its shipment's few exceptions.
select
    x.tenant_id,
    x.shipment_id,
    (
        select count(*)
        from {{ ref('fct_delivery_exception') }} as b
        where
            b.tenant_id = x.tenant_id and b.shipment_id = x.shipment_id and b.kind = 'failed_attempt'
            and (b.occurred_at, b.event_id collate "C") <= (x.occurred_at, x.event_id collate "C")
    )::integer as attempt,
    'failed' as outcome,
    x.occurred_at as attempted_at,
    x.occurred_date as attempted_date,
    x.reason_code,
    x.carrier_id,
    x.service_level,
    x.region,
    x.driver_key,
    x.vehicle_id
from {{ ref('fct_delivery_exception') }} as x
where x.kind = 'failed_attempt'
union all
select
    s.tenant_id,
    s.shipment_id,
    s.failed_attempts + 1 as attempt,
    'delivered' as outcome,
    s.delivered_at as attempted_at,
    (s.delivered_at at time zone 'UTC')::date as attempted_date,
    null as reason_code,
    s.carrier_id,
    s.service_level,
    s.region,
    s.driver_key,
    s.vehicle_id
from {{ ref('fct_shipment') }} as s
where s.delivered_at is not null
