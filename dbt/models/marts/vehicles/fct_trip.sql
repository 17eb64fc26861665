{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'started_at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_track_touched', 'key': ['tenant_id', 'vehicle_id'], 'since': 'started_at'}}) }}
-- depends_on: {{ ref('int_track_touched') }}

select
    t.tenant_id,
    t.vehicle_id,
    t.started_at,
    t.ended_at,
    t.vehicle_id || '@' || to_char(t.started_at at time zone 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"') as trip_id,
    t.is_open,
    k.driver_key,
    t.time_zone,
    t.local_date,
    t.start_lat,
    t.start_lon,
    t.end_lat,
    t.end_lon,
    t.start_site_id,
    t.end_site_id,
    extract(epoch from t.ended_at - t.started_at)::double precision as duration_s,
    t.distance_km,
    t.odometer_km,
    t.odometer_track_km,
    case when t.odometer_km > 0 then (t.odometer_track_km - t.odometer_km) / t.odometer_km end as odometer_difference_share,
    t.odometer_faults,
    t.distance_km * 3600 / nullif(extract(epoch from t.ended_at - t.started_at)::double precision, 0) as mean_kmh,
    t.max_kmh,
    t.standing_s,
    case when t.engine_known_s > 0 then t.idle_s end as idle_s,
    case when t.engine_known_s > 0 then t.engine_on_s end as engine_on_s,
    coalesce(l.shipments, 0) as shipments,
    coalesce(l.loaded_s, 0) as loaded_s,
    t.distance_km * (
        1 - coalesce(l.loaded_s / nullif(extract(epoch from t.ended_at - t.started_at)::double precision, 0), 0)
    ) as empty_km
from {{ source('store', 'int_trip') }} as t
{{ of_tracks('t', 'started_at') }}
left join {{ ref('int_trip_load') }} as l
    on t.tenant_id = l.tenant_id and t.vehicle_id = l.vehicle_id and t.started_at = l.started_at
left join {{ source('store', 'int_driver_pseudonym') }} as k
    on t.tenant_id = k.tenant_id and t.driver_id = k.driver_id
