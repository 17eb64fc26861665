{{ config(
    materialized='incremental',
    incremental_strategy='upsert',
    unique_key=['tenant_id', 'shipment_id', 'event_id'],
    full_refresh=false,
    on_schema_change='fail',
    contract={'enforced': true}
) }}
-- depends_on: {{ ref('int_shipment_touched') }}

-- The assignment events of the touched shipments, each once; kept beyond landing's seven days.
with known as (
    select
        a.tenant_id, a.shipment_id, a.event_id, a.assignment_id, a.driver_id, a.vehicle_id, a.action,
        a.effective_at, a.recorded_at, a.sequence
    from {{ ref('stg_landing__driver_assignment_event') }} as a
    where {{ is_claimed('a') }}
    {%- if is_incremental() %}
    union all
    select
        s.tenant_id, s.shipment_id, s.event_id, s.assignment_id, s.driver_id, s.vehicle_id, s.action,
        s.effective_at, s.recorded_at, s.sequence
    from {{ this }} as s
    inner join {{ ref('int_shipment_touched') }} as t
        on s.tenant_id = t.tenant_id and s.shipment_id = t.shipment_id
    {%- endif %}
)

select distinct on (k.tenant_id, k.shipment_id, k.event_id)
    k.tenant_id,
    k.shipment_id,
    k.event_id,
    k.assignment_id,
    k.driver_id,
    k.vehicle_id,
    k.action,
    k.effective_at,
    k.recorded_at,
    k.sequence
from known as k
order by
    k.tenant_id, k.shipment_id, k.event_id, k.recorded_at, k.effective_at, k.sequence, k.action collate "C",
    k.driver_id collate "C", k.vehicle_id collate "C", k.assignment_id collate "C"
