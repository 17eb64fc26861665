{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- How each carrier did in an ISO week of promises. A view: quantiles cannot be added up, a late event would make a stored week
-- be counted anew, and an index on the week of the promise finds one tenant's week without a scan.
with promised as (
    select
        s.*,
        {{ week_of('s.promised_date') }} as week,
        s.status = 'delivered' as is_delivered,
        s.status = 'delivered' and s.delivered_at > s.promised_at as is_late,
        floor(extract(epoch from s.delivered_at - s.promised_at) / 60) as minutes_over,
        x.damaged
    from {{ ref('fct_shipment') }} as s
    left join lateral (
        select count(*) as damaged
        from {{ ref('fct_delivery_exception') }} as e
        where s.exceptions > 0 and e.tenant_id = s.tenant_id and e.shipment_id = s.shipment_id and e.reason_code = 'damaged'
    ) as x on true
    where s.in_order_system and s.promised_date is not null and s.status <> 'cancelled'
)

select
    p.tenant_id,
    p.carrier_id,
    p.week,
    count(*) as shipments,
    count(*) filter (where p.is_delivered) as delivered,
    count(*) filter (where p.is_delivered and not p.is_late) as on_time,
    count(*) filter (where p.is_late) as late,
    count(*) filter (where p.is_delivered and not p.is_late)::double precision / count(*) as on_time_share,
    percentile_cont(0.5) within group (order by p.minutes_over) filter (where p.is_late) as late_minutes_p50,
    percentile_cont(0.95) within group (order by p.minutes_over) filter (where p.is_late) as late_minutes_p95,
    sum(p.exceptions) as exceptions,
    sum(p.exceptions)::double precision * 100 / count(*) as exceptions_per_100,
    sum(p.failed_attempts) as failed_attempts,
    count(*) filter (where p.is_delivered and p.failed_attempts > 0)::double precision
    / nullif(count(*) filter (where p.is_delivered), 0) as reattempt_share,
    count(*) filter (where p.damaged > 0) as damaged,
    count(*) filter (where p.damaged > 0)::double precision / count(*) as damaged_share
from promised as p
group by p.tenant_id, p.carrier_id, p.week
