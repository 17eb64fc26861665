{{ config(materialized='incremental', incremental_strategy='upsert',
    unique_key=['tenant_id', 'vehicle_id', 'ecu', 'listing', 'spn', 'fmi', 'code', 'opened_at'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'source': 'store', 'model': 'int_vehicle_touched', 'key': ['tenant_id', 'vehicle_id']}}) }}

-- Each time that a trouble code was active. What state it is in depends on now: see fct_dtc.
select
    s.tenant_id,
    s.vehicle_id,
    s.ecu,
    s.listing,
    s.spn,
    s.fmi,
    s.code,
    s.opened_at,
    s.last_seen_at,
    s.closed_at,
    s.ecu_last_report_at,
    s.severity,
    s.severity_rule,
    s.reports,
    s.interruptions,
    s.recurrence,
    s.occurrences
from {{ source('store', 'int_dtc_spell') }} as s
{%- if is_incremental() %}
inner join {{ source('store', 'int_vehicle_touched') }} as t on s.tenant_id = t.tenant_id and s.vehicle_id = t.vehicle_id
{%- endif %}
