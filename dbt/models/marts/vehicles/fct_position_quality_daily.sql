{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'vehicle_id', 'utc_date', 'rule'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_track_touched', 'key': ['tenant_id', 'vehicle_id'], 'since': 'utc_date'}}) }}
-- depends_on: {{ ref('int_track_touched') }}

-- Fixes by what became of them. Those of no believable time count on the day on which they were first sent.
with untimely as (
    select
        u.tenant_id,
        u.vehicle_id,
        (u.recorded_at at time zone 'UTC')::date as utc_date,
        u.rule
    from {{ source('store', 'int_fix_untimely') }} as u
)

select
    v.tenant_id,
    v.vehicle_id,
    v.utc_date,
    v.rule,
    v.fixes
from {{ source('store', 'int_fix_verdict') }} as v
{{ of_tracks('v', 'utc_date') }}
union all
select
    u.tenant_id,
    u.vehicle_id,
    u.utc_date,
    u.rule,
    count(*) as fixes
from untimely as u
{{ of_tracks('u', 'utc_date') }}
group by u.tenant_id, u.vehicle_id, u.utc_date, u.rule
