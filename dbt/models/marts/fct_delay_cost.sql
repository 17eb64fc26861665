{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- What each broken promise costs: one row a shipment, so that a sum counts no delay twice. A view on a view, because the
-- delay of what is overdue grows with the clock.
with broken as (
    select
        s.*,
        coalesce(s.minutes_late, floor(extract(epoch from {{ as_of() }} - s.promised_at) / 60)::integer) as minutes_over
    from {{ ref('fct_shipment_sla') }} as s
    where s.sla_state in ('late', 'overdue')
)

select
    b.tenant_id,
    b.shipment_id,
    b.promised_date,
    b.carrier_id,
    b.service_level,
    b.region,
    b.lane,
    b.sla_state,
    b.minutes_over as minutes_late,
    b.breach_reason as reason_code,
    coalesce(r.category, case when b.breach_reason like 'late\_%' then 'stage' else 'unknown' end) as category,
    r.controllable as is_controllable,
    round(b.minutes_over * d.minor_per_hour / 60.0)::bigint as cost_minor,
    d.currency
from broken as b
left join {{ ref('exception_reason') }} as r on b.breach_reason = r.reason_code
left join {{ ref('delay_rate') }} as d on b.service_level = d.service_level
