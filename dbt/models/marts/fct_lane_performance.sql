{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- How the shipments of a lane did in an ISO week of promises. A view, for the reasons of fct_carrier_scorecard.
with promised as (
    select
        s.*,
        {{ week_of('s.promised_date') }} as week,
        s.status = 'delivered' as is_delivered,
        s.status = 'delivered' and s.delivered_at <= s.promised_at as is_on_time,
        case when s.status = 'delivered' then extract(epoch from s.delivered_at - s.picked_up_at) / 3600 end as transit_hours
    from {{ ref('fct_shipment') }} as s
    where s.in_order_system and s.promised_date is not null and s.status <> 'cancelled'
)

select
    p.tenant_id,
    p.lane,
    p.week,
    p.origin_site_id,
    p.destination_site_id,
    max(o.region) as origin_region,
    max(d.region) as destination_region,
    count(*) as shipments,
    count(*) filter (where p.is_delivered) as delivered,
    count(*) filter (where p.is_on_time) as on_time,
    count(*) filter (where p.is_on_time)::double precision / count(*) as on_time_share,
    avg(p.transit_hours)::double precision as transit_hours_mean,
    percentile_cont(0.5) within group (order by p.transit_hours) as transit_hours_p50,
    percentile_cont(0.95) within group (order by p.transit_hours) as transit_hours_p95
from promised as p
left join {{ ref('dim_site') }} as o on p.tenant_id = o.tenant_id and p.origin_site_id = o.site_id
left join {{ ref('dim_site') }} as d on p.tenant_id = d.tenant_id and p.destination_site_id = d.site_id
group by p.tenant_id, p.lane, p.week, p.origin_site_id, p.destination_site_id
