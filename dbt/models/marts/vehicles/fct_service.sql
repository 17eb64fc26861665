{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'event_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'source': 'store', 'model': 'int_vehicle_touched', 'key': ['tenant_id', 'vehicle_id']}}) }}

-- One row a piece of work that a workshop billed, as it was sent last.
select
    s.tenant_id,
    s.event_id,
    s.vehicle_id,
    s.service,
    s.completed_at,
    s.done_on,
    s.odometer_km,
    s.engine_hours,
    s.workshop_id,
    s.cost_minor,
    s.currency
from {{ source('store', 'int_service_record') }} as s
{%- if is_incremental() %}
inner join {{ source('store', 'int_vehicle_touched') }} as t on s.tenant_id = t.tenant_id and s.vehicle_id = t.vehicle_id
{%- endif %}
