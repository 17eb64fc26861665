{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}') }}

select
    v.tenant_id,
    v.vehicle_id,
    v.make,
    v.model,
    v.model_year,
    v.vehicle_class,
    v.capacity_kg,
    v.tank_l,
    v.home_site_id,
    v.status,
    v.in_service_from
from {{ ref('stg_source__vehicles') }} as v
{%- if is_incremental() %}
where v.batch_id in ({{ claimed_batches() }})
{%- endif %}
