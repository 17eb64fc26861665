{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'plan_date', 'vehicle_id', 'task_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}', tags=['maintenance_plan'],
    meta={'scope': {'source': 'store', 'model': 'int_plan_night_touched', 'key': ['tenant_id', 'plan_date']}}) }}

-- One row a service task of a vehicle and night: when it will be due.
select
    p.tenant_id,
    p.plan_date,
    p.vehicle_id,
    p.task_id,
    p.due_on,
    p.not_before,
    p.not_after,
    p.by_limit,
    p.basis
from {{ source('store', 'int_due_projection') }} as p
{{ of_planned_nights('p') }}
