{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'plan_date', 'job_id'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}', tags=['maintenance_plan'],
    meta={'scope': {'source': 'store', 'model': 'int_plan_night_touched', 'key': ['tenant_id', 'plan_date']}}) }}

-- One row a job of a night's plan: its place, or why it has none.
select
    j.tenant_id,
    j.plan_date,
    j.job_id,
    j.vehicle_id,
    j.kind,
    j.task_id,
    j.words,
    j.priority,
    j.days,
    j.due_on,
    j.is_overdue,
    j.state,
    j.site_id,
    j.first_day,
    j.last_day,
    case when j.last_day is not null then greatest(j.last_day - j.due_on, 0) end as late_days,
    j.hindrance,
    j.missing_days,
    j.reason
from {{ source('store', 'int_maintenance_job') }} as j
{{ of_planned_nights('j') }}
