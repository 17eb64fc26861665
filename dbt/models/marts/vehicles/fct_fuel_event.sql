{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'event_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_vehicle_touched', 'source': 'store', 'key': ['tenant_id', 'vehicle_id'], 'since': 'started_at'}}) }}

select
    e.tenant_id,
    e.vehicle_id,
    e.kind || '-' || to_char(e.started_at at time zone 'UTC', 'YYYYMMDD"T"HH24MI"Z"') as event_id,
    e.kind,
    e.started_at,
    e.ended_at,
    e.volume_l,
    e.level_before_l,
    e.level_after_l,
    e.in_motion,
    e.is_confirmed,
    e.has_gap,
    e.burn_is_measured,
    e.confidence,
    e.purchased_l,
    coalesce(cardinality(e.purchase_ids), 0) as purchases,
    e.volume_l - e.purchased_l as above_purchase_l
from {{ source('store', 'int_fuel_event') }} as e
{{ of_touched('vehicle', 'e', 'started_at') }}
