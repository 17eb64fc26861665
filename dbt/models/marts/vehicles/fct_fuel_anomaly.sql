{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'anomaly_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_vehicle_touched', 'source': 'store', 'key': ['tenant_id', 'vehicle_id'], 'since': 'occurred_at'}}) }}

select
    a.tenant_id,
    a.vehicle_id,
    a.anomaly_id,
    a.kind,
    a.occurred_at,
    a.ended_at,
    a.volume_l,
    a.score,
    a.severity,
    a.causes #>> '{0,cause}' as likeliest_cause,
    a.causes #>> '{0,confidence}' as likeliest_confidence,
    a.causes,
    a.event_id as purchase_event_id
from {{ source('store', 'int_fuel_anomaly') }} as a
{{ of_touched('vehicle', 'a', 'occurred_at') }}
