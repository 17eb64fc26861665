{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'started_at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_vehicle_touched', 'source': 'store', 'key': ['tenant_id', 'vehicle_id'], 'since': 'started_at'}}) }}

select
    t.tenant_id,
    t.vehicle_id,
    t.started_at,
    t.ended_at,
    p.driver_key,
    t.distance_km,
    t.litres,
    t.l_100km,
    t.idle_l,
    t.method,
    t.by_total_l as litres_by_total,
    t.by_rate_l as litres_by_rate,
    t.by_level_l as litres_by_level,
    t.level_error_l,
    t.rate_cover as rate_cover_share,
    t.compared_with,
    t.difference_l,
    t.terrain,
    t.load,
    t.temperature,
    t.climb_m_km,
    t.temperature_c,
    t.load_share,
    t.expected_l_100km,
    t.spread_l_100km,
    t.deviation,
    t.baseline_basis,
    t.baseline_own as baseline_own_trips,
    t.baseline_wider as baseline_model_trips,
    t.faults
from {{ source('store', 'int_fuel_trip') }} as t
{{ of_touched('vehicle', 't', 'started_at') }}
left join {{ source('store', 'int_driver_pseudonym') }} as p
    on t.tenant_id = p.tenant_id and t.driver_id = p.driver_id
