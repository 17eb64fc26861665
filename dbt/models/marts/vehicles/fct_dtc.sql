{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- Trouble codes with their state and age as of now; an ECU that is silent for 14 days no longer says that a code is there.
select
    s.tenant_id,
    s.vehicle_id,
    s.ecu,
    s.listing,
    nullif(s.spn, -1) as spn,
    nullif(s.fmi, -1) as fmi,
    nullif(s.code, '') as code,
    s.opened_at as first_seen_at,
    s.last_seen_at,
    s.closed_at,
    case
        when s.closed_at is not null then 'closed'
        when {{ as_of() }} - s.ecu_last_report_at > interval '14 days' then 'silent'
        else 'open'
    end as state,
    (array['note', 'plan', 'soon', 'stop'])[s.severity] as severity,
    s.severity_rule,
    greatest(extract(epoch from coalesce(s.closed_at, {{ as_of() }}) - s.opened_at) / 86400, 0)::double precision as age_days,
    s.recurrence,
    s.interruptions,
    s.occurrences,
    s.reports
from {{ ref('fct_dtc_spell') }} as s
