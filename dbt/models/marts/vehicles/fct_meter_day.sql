{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'meter', 'day'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'source': 'store', 'model': 'int_vehicle_touched', 'key': ['tenant_id', 'vehicle_id']}}) }}

-- What a vehicle's meter had counted by the end of each day that it was read on, over replacements.
select
    m.tenant_id,
    m.vehicle_id,
    m.meter,
    m.day,
    m.used,
    m.is_replaced
from {{ source('store', 'int_meter_day') }} as m
{%- if is_incremental() %}
inner join {{ source('store', 'int_vehicle_touched') }} as t on m.tenant_id = t.tenant_id and m.vehicle_id = t.vehicle_id
{%- endif %}
