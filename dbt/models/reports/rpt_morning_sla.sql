{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- How yesterday's promises were kept, against the target and against the seven days before.
with clock as (
    select ({{ as_of() }} at time zone 'UTC')::date - 1 as report_date
),

daily as (
    select
        d.tenant_id,
        c.report_date,
        d.promised_date = c.report_date as is_report_day,
        d.region,
        d.carrier_id,
        d.service_level,
        d.due,
        d.delivered,
        d.on_time,
        d.late,
        d.open,
        d.due * t.target_share as target
    from {{ ref('fct_on_time_daily') }} as d
    cross join clock as c
    left join {{ ref('sla_target') }} as t on d.service_level = t.service_level
    where d.promised_date between c.report_date - 7 and c.report_date
),

counted as (
    select
        d.tenant_id,
        d.report_date,
        case
            when grouping(d.region) = 0 then 'region'
            when grouping(d.carrier_id) = 0 then 'carrier'
            when grouping(d.service_level) = 0 then 'service_level'
            else 'all'
        end as dimension,
        coalesce(d.region, d.carrier_id, d.service_level, 'all') as member,
        coalesce(sum(d.due) filter (where d.is_report_day), 0)::bigint as due,
        coalesce(sum(d.delivered) filter (where d.is_report_day), 0)::bigint as delivered,
        coalesce(sum(d.on_time) filter (where d.is_report_day), 0)::bigint as on_time,
        coalesce(sum(d.late) filter (where d.is_report_day), 0)::bigint as late,
        coalesce(sum(d.open) filter (where d.is_report_day), 0)::bigint as open,
        sum(d.target) filter (where d.is_report_day) as target,
        sum(d.due) filter (where not d.is_report_day) as due_7d,
        sum(d.on_time) filter (where not d.is_report_day) as on_time_7d
    from daily as d
    group by grouping sets (
        (d.tenant_id, d.report_date), (d.tenant_id, d.report_date, d.region),
        (d.tenant_id, d.report_date, d.carrier_id), (d.tenant_id, d.report_date, d.service_level)
    )
),

shares as (
    select
        n.*,
        n.on_time::numeric / nullif(n.due, 0) as on_time_share,
        n.target / nullif(n.due, 0) as target_share,
        n.on_time_7d / nullif(n.due_7d, 0) as share_7d
    from counted as n
)

select
    s.tenant_id,
    s.report_date,
    s.dimension,
    s.member,
    s.due,
    s.delivered,
    s.on_time,
    s.late,
    s.open,
    s.on_time_share::double precision as on_time_share,
    s.target_share::double precision as target_share,
    s.share_7d::double precision as share_7d,
    ((s.on_time_share - s.target_share) * 100)::double precision as vs_target_pp,
    ((s.on_time_share - s.share_7d) * 100)::double precision as vs_7d_pp
from shares as s
