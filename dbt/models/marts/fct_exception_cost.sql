{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- Each exception with its reason in our words and in those of EDI 214, how long it held the shipment, and what that cost.
-- A view: an open exception costs more by the minute, and a new rate or reason must not wait for anything to be rebuilt.
with held as (
    select
        x.*,
        greatest(floor(extract(epoch from coalesce(x.resolved_at, {{ as_of() }}) - x.occurred_at) / 60), 0)::integer as held_minutes
    from {{ ref('fct_delivery_exception') }} as x
)

select
    h.tenant_id,
    h.shipment_id,
    h.event_id,
    h.kind,
    h.reason_code,
    h.reason,
    coalesce(r.category, 'unknown') as category,
    r.controllable as is_controllable,
    e.edi_code,
    h.occurred_at,
    h.occurred_date,
    h.carrier_id,
    h.service_level,
    h.region,
    h.resolved_at,
    h.resolved_at is null as is_open,
    h.held_minutes,
    round(h.held_minutes * d.minor_per_hour / 60.0)::bigint as cost_minor,
    d.currency
from held as h
left join {{ ref('exception_reason') }} as r on h.reason_code = r.reason_code
left join {{ ref('edi_reason') }} as e on h.reason_code = e.reason_code and e.is_sent
left join {{ ref('delay_rate') }} as d on h.service_level = d.service_level
