{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'meter'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'source': 'store', 'model': 'int_vehicle_touched', 'key': ['tenant_id', 'vehicle_id']}}) }}

-- How far a vehicle's meter can be believed: readings that were refused, and replacements.
select
    m.tenant_id,
    m.vehicle_id,
    m.meter,
    m.readings,
    m.refused,
    m.unconfirmed,
    m.replaced_on
from {{ source('store', 'int_meter') }} as m
{%- if is_incremental() %}
inner join {{ source('store', 'int_vehicle_touched') }} as t on m.tenant_id = t.tenant_id and m.vehicle_id = t.vehicle_id
{%- endif %}
