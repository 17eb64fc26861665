{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'driver_key', 'rule', 'period_start', 'level_pct', 'limit_min'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_driver_hours_touched', 'key': ['tenant_id', 'driver_key'], 'since': 'known_at'}}) }}
-- depends_on: {{ ref('int_driver_hours_touched') }}

select
    w.tenant_id,
    k.driver_key,
    w.rule,
    w.period_start,
    w.level_pct,
    w.limit_min,
    w.warned_at,
    w.is_open,
    w.known_at
from {{ source('store', 'int_driver_hours_warning') }} as w
inner join {{ source('store', 'int_driver_pseudonym') }} as k on w.tenant_id = k.tenant_id and w.driver_id = k.driver_id
{{ of_touched('driver', 'w', 'known_at') }}
