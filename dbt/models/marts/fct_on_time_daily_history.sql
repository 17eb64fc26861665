{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'promised_date', 'region', 'carrier_id', 'service_level', 'mode', 'known_on'],
    full_refresh=false, on_schema_change='fail', post_hook='{{ tenant_policy() }}') }}
-- depends_on: {{ ref('int_promised_date_touched') }}

-- What fct_on_time_daily said at the close of each day on which it said something new. Of a day that has not closed the row is
-- written over; a closed one never is. Counts that are gone are counted 0.
with now_known as (
    select d.*
    from {{ ref('fct_on_time_daily') }} as d
    {%- if is_incremental() and not flags.FULL_REFRESH %}
    inner join {{ ref('int_promised_date_touched') }} as t on d.tenant_id = t.tenant_id and d.promised_date = t.promised_date
    {%- endif %}
),

{% if is_incremental() -%}
last_known as (
    select distinct on (h.tenant_id, h.promised_date, h.region, h.carrier_id, h.service_level, h.mode) h.*
    from {{ this }} as h
    {%- if not flags.FULL_REFRESH %}
    inner join {{ ref('int_promised_date_touched') }} as t on h.tenant_id = t.tenant_id and h.promised_date = t.promised_date
    {%- endif %}
    order by h.tenant_id, h.promised_date, h.region, h.carrier_id, h.service_level, h.mode, h.known_on desc
),

{% endif -%}
counted as (
    select
        n.tenant_id, n.promised_date, n.region, n.carrier_id, n.service_level, n.mode,
        n.due, n.delivered, n.on_time, n.late, n.returned, n.open, n.minutes_late_total
    from now_known as n
    {%- if is_incremental() %}
    left join last_known as l
        on
            n.tenant_id = l.tenant_id and n.promised_date = l.promised_date and n.region = l.region
            and n.carrier_id = l.carrier_id and n.service_level = l.service_level and n.mode = l.mode
    where
        (n.due, n.delivered, n.on_time, n.late, n.returned, n.open, n.minutes_late_total)
        is distinct from (l.due, l.delivered, l.on_time, l.late, l.returned, l.open, l.minutes_late_total)
    union all
    select l.tenant_id, l.promised_date, l.region, l.carrier_id, l.service_level, l.mode, 0, 0, 0, 0, 0, 0, 0
    from last_known as l
    left join now_known as n
        on
            l.tenant_id = n.tenant_id and l.promised_date = n.promised_date and l.region = n.region
            and l.carrier_id = n.carrier_id and l.service_level = n.service_level and l.mode = n.mode
    where n.tenant_id is null and l.due > 0
    {%- endif %}
)

select
    c.tenant_id,
    c.promised_date,
    c.region,
    c.carrier_id,
    c.service_level,
    c.mode,
    ({{ as_of() }} at time zone 'UTC')::date as known_on,
    c.due,
    c.delivered,
    c.on_time,
    c.late,
    c.returned,
    c.open,
    c.minutes_late_total
from counted as c
