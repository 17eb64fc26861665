{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'shipment_id', 'event_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_shipment_touched', 'key': ['tenant_id', 'shipment_id']}}) }}
-- depends_on: {{ ref('int_shipment_touched') }}

-- One row a failed attempt or exception that the lifecycle allows; resolved when the shipment moves on.
with troubled as (
    select distinct
        h.tenant_id,
        h.shipment_id
    from {{ ref('int_shipment_status_history') }} as h
    {%- if is_incremental() %}
    inner join {{ ref('int_shipment_touched') }} as t
        on h.tenant_id = t.tenant_id and h.shipment_id = t.shipment_id
    {%- endif %}
    where h.is_legal and h.status in ('failed_attempt', 'exception')
),

shipment as (
    select
        s.tenant_id,
        s.shipment_id,
        s.carrier_id,
        s.service_level,
        s.region,
        s.driver_key
    from {{ ref('fct_shipment') }} as s
    inner join troubled as t on s.tenant_id = t.tenant_id and s.shipment_id = t.shipment_id
),

life as (
    select
        h.*,
        min(h.occurred_at) filter (where h.status not in ('failed_attempt', 'exception')) over (
            partition by h.tenant_id, h.shipment_id
            order by h.position
            rows between 1 following and unbounded following
        ) as resolved_at
    from {{ ref('int_shipment_status_history') }} as h
    inner join shipment as s on h.tenant_id = s.tenant_id and h.shipment_id = s.shipment_id
    where h.is_legal
)

select
    l.tenant_id,
    l.shipment_id,
    l.event_id,
    l.status as kind,
    l.reason_code,
    case when l.reason_code is null then 'not given' else coalesce(r.reason, 'other') end as reason,
    l.occurred_at,
    (l.occurred_at at time zone 'UTC')::date as occurred_date,
    s.carrier_id,
    s.service_level,
    s.region,
    coalesce(k.driver_key, s.driver_key) as driver_key,
    l.vehicle_id,
    l.lat,
    l.lon,
    l.resolved_at,
    floor(extract(epoch from l.resolved_at - l.occurred_at) / 60)::integer as minutes_to_resolve
from life as l
inner join shipment as s on l.tenant_id = s.tenant_id and l.shipment_id = s.shipment_id
left join {{ ref('exception_reason') }} as r on l.reason_code = r.reason_code
left join {{ ref('int_driver_key') }} as k on l.tenant_id = k.tenant_id and l.driver_id = k.driver_id
where l.status in ('failed_attempt', 'exception')
