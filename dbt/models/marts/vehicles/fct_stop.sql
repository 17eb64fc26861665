{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'started_at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_track_touched', 'key': ['tenant_id', 'vehicle_id'], 'since': 'started_at'}}) }}
-- depends_on: {{ ref('int_track_touched') }}

select
    s.tenant_id,
    s.vehicle_id,
    s.started_at,
    s.ended_at,
    s.vehicle_id || '@' || to_char(s.started_at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"') as stop_id,
    s.kind,
    s.is_open,
    k.driver_key,
    s.time_zone,
    s.local_date,
    s.start_lat as lat,
    s.start_lon as lon,
    s.end_lat,
    s.end_lon,
    s.site_id,
    s.dwell_s,
    s.distance_km,
    s.odometer_km,
    s.odometer_track_km,
    s.odometer_faults,
    case when s.engine_known_s > 0 then s.idle_s end as idle_s,
    case when s.engine_known_s > 0 then s.engine_on_s end as engine_on_s
from {{ source('store', 'int_stop') }} as s
{{ of_tracks('s', 'started_at') }}
left join {{ source('store', 'int_driver_pseudonym') }} as k
    on s.tenant_id = k.tenant_id and s.driver_id = k.driver_id
