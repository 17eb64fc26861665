{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'plan_date', 'job_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}', tags=['maintenance_plan'],
    meta={'scope': {'source': 'store', 'model': 'int_plan_night_touched', 'key': ['tenant_id', 'plan_date']}}) }}

-- One row a job that stands elsewhere than in the plan of the night before.
select
    c.tenant_id,
    c.plan_date,
    c.job_id,
    c.vehicle_id,
    c.kind,
    c.site_before,
    c.first_day_before,
    c.site_after,
    c.first_day_after,
    c.reason
from {{ source('store', 'int_maintenance_change') }} as c
{{ of_planned_nights('c') }}
