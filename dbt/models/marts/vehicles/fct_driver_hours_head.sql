{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'driver_key', 'at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_driver_hours_touched', 'key': ['tenant_id', 'driver_key']}}) }}
-- depends_on: {{ ref('int_driver_hours_touched') }}

select
    h.tenant_id,
    k.driver_key,
    h.at,
    h.believed_until,
    h.law,
    h.is_driving,
    h.in_weekly_rest,
    h.stint_min,
    h.break_min,
    h.day_started_at,
    h.day_driving_min,
    h.day_limit_min,
    h.extensions_left,
    h.reductions_left,
    h.week_min,
    h.fortnight_min,
    h.rest_by,
    h.rest_min,
    h.weekly_rest_ended_at
from {{ source('store', 'int_driver_hours_head') }} as h
inner join {{ source('store', 'int_driver_pseudonym') }} as k on h.tenant_id = k.tenant_id and h.driver_id = k.driver_id
{%- if is_incremental() %}
inner join {{ source('store', 'int_driver_touched') }} as touched
    on h.tenant_id = touched.tenant_id and h.driver_id = touched.driver_id
{%- endif %}
