{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'driver_key', 'started_at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_driver_hours_touched', 'key': ['tenant_id', 'driver_key'], 'since': 'known_at'}}) }}
-- depends_on: {{ ref('int_driver_hours_touched') }}

select
    d.tenant_id,
    k.driver_key,
    d.started_at,
    d.ended_at,
    d.driving_min,
    d.other_work_min,
    d.availability_min,
    d.driving_limit_min,
    d.is_crew,
    d.rest_min,
    d.rest_kind,
    d.is_open,
    d.known_at
from {{ source('store', 'int_driver_day') }} as d
inner join {{ source('store', 'int_driver_pseudonym') }} as k on d.tenant_id = k.tenant_id and d.driver_id = k.driver_id
{{ of_touched('driver', 'd', 'known_at') }}
