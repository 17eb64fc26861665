{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- What fct_on_time_daily said at the close of fleetflow.closed_on: docs/adr/0028.
with known as (
    select distinct on (h.tenant_id, h.promised_date, h.region, h.carrier_id, h.service_level, h.mode) h.*
    from {{ ref('fct_on_time_daily_history') }} as h
    where h.known_on <= ops.closed_on()
    order by h.tenant_id, h.promised_date, h.region, h.carrier_id, h.service_level, h.mode, h.known_on desc
)

select
    k.tenant_id,
    k.promised_date,
    k.region,
    k.carrier_id,
    k.service_level,
    k.mode,
    k.due,
    k.delivered,
    k.on_time,
    k.late,
    k.returned,
    k.open,
    k.minutes_late_total,
    k.on_time::double precision / k.due as on_time_share
from known as k
where k.due > 0
