{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'promised_date', 'region', 'carrier_id', 'service_level', 'mode'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_promised_date_touched', 'key': ['tenant_id', 'promised_date']}}) }}
-- depends_on: {{ ref('int_promised_date_touched') }}

-- How the promises of a day were kept. A touched day is counted anew from its shipments.
with promised as (
    select
        s.*,
        s.status = 'delivered' as is_delivered,
        s.status = 'delivered' and s.delivered_at <= s.promised_at as is_on_time,
        s.status = 'delivered' and s.delivered_at > s.promised_at as is_late
    from {{ ref('fct_shipment') }} as s
    where
        s.in_order_system
        and s.promised_date is not null
        and s.status <> 'cancelled'
        {%- if is_incremental() %}
        and (s.tenant_id, s.promised_date) in (
            select t.tenant_id, t.promised_date from {{ ref('int_promised_date_touched') }} as t
        )
        {%- endif %}
)

select
    p.tenant_id,
    p.promised_date,
    coalesce(p.region, 'unknown') as region,
    p.carrier_id,
    p.service_level,
    p.mode,
    count(*) as due,
    count(*) filter (where p.is_delivered) as delivered,
    count(*) filter (where p.is_on_time) as on_time,
    count(*) filter (where p.is_late) as late,
    count(*) filter (where p.status = 'returned') as returned,
    count(*) filter (where p.status not in ('delivered', 'returned')) as open,
    coalesce(sum(floor(extract(epoch from p.delivered_at - p.promised_at) / 60)) filter (where p.is_late), 0)::bigint
        as minutes_late_total,
    count(*) filter (where p.is_on_time)::double precision / count(*) as on_time_share
from promised as p
group by p.tenant_id, p.promised_date, coalesce(p.region, 'unknown'), p.carrier_id, p.service_level, p.mode
