{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'vehicle_id', 'site_id', 'entered_at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_track_touched', 'key': ['tenant_id', 'vehicle_id'], 'since': 'entered_at'}}) }}
-- depends_on: {{ ref('int_track_touched') }}

select
    v.tenant_id,
    v.vehicle_id,
    v.site_id,
    v.entered_at,
    v.last_inside_at,
    v.left_at,
    extract(epoch from coalesce(v.left_at, v.last_inside_at) - v.entered_at)::double precision as dwell_s,
    v.entry_event_id,
    v.dwell_event_id,
    v.exit_event_id,
    v.is_open
from {{ source('store', 'int_site_visit') }} as v
{{ of_tracks('v', 'entered_at') }}
