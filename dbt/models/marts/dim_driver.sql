{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'driver_key'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}') }}

select
    d.tenant_id,
    k.driver_key,
    d.licence_class,
    d.home_site_id,
    d.status,
    d.hired_year
from {{ ref('stg_source__drivers') }} as d
inner join {{ ref('int_driver_key') }} as k
    on d.tenant_id = k.tenant_id and d.driver_id = k.driver_id
{%- if is_incremental() %}
where d.batch_id in ({{ claimed_batches() }})
{%- endif %}
