{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'driver_key', 'rule', 'broken_at', 'started_at', 'limit_min'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_driver_hours_touched', 'key': ['tenant_id', 'driver_key'], 'since': 'known_at'}}) }}
-- depends_on: {{ ref('int_driver_hours_touched') }}

select
    f.tenant_id,
    k.driver_key,
    f.rule,
    f.broken_at,
    f.started_at,
    f.limit_min,
    f.ended_at,
    f.article,
    f.severity,
    f.measured_min,
    f.needs_evidence,
    f.reason,
    f.is_inferred,
    f.is_open,
    f.known_at
from {{ source('store', 'int_driver_hours_finding') }} as f
inner join {{ source('store', 'int_driver_pseudonym') }} as k on f.tenant_id = k.tenant_id and f.driver_id = k.driver_id
{{ of_touched('driver', 'f', 'known_at') }}
