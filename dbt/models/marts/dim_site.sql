{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'site_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}') }}

select
    s.tenant_id,
    s.site_id,
    s.name,
    s.kind,
    s.region,
    s.country,
    s.city,
    s.lat,
    s.lon,
    s.timezone
from {{ ref('stg_source__sites') }} as s
{%- if is_incremental() %}
where s.batch_id in ({{ claimed_batches() }})
{%- endif %}
