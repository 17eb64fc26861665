{{ config(
    materialized='incremental',
    incremental_strategy='history',
    unique_key=['tenant_id', 'shipment_id', 'event_id'],
    full_refresh=false,
    on_schema_change='fail',
    contract={'enforced': true}
) }}
-- depends_on: {{ ref('int_shipment_touched') }}

-- The claimed events, judged by the lifecycle. Where they all come after the stored ones, the fold goes on from what is
-- stored; a late shipment is folded again from its first event, and in a full refresh every one is. This table is the
-- store of events beyond landing's seven days: migrations make it, and nothing here drops it.
with legal as (
    select
        t.to_status,
        array_agg(coalesce(t.from_status, '')) as legal_after
    from {{ ref('shipment_transition') }} as t
    group by t.to_status
),

refolded as (
    select
        e.tenant_id, e.shipment_id, e.event_id, e.status, e.occurred_at, e.recorded_at, e.sequence,
        e.reason_code, e.driver_id, e.vehicle_id, e.lat, e.lon, e.origin
    from {{ ref('int_shipment_event_claimed') }} as e
    {{ only_late('e') }}
    union all
    select
        h.tenant_id, h.shipment_id, h.event_id, h.status, h.occurred_at, h.recorded_at, h.sequence,
        h.reason_code, h.driver_id, h.vehicle_id, h.lat, h.lon, h.origin
    from {{ source('store', 'int_shipment_status_history') }} as h
    {{ only_late('h') }}
),

events as (
    {%- if not flags.FULL_REFRESH %}
    select
        e.tenant_id, e.shipment_id, e.event_id, e.status, e.occurred_at, e.recorded_at, e.sequence,
        e.reason_code, e.driver_id, e.vehicle_id, e.lat, e.lon, e.origin,
        t.start_position,
        t.start_state
    from {{ ref('int_shipment_event_claimed') }} as e
    inner join {{ ref('int_shipment_touched') }} as t
        on e.tenant_id = t.tenant_id and e.shipment_id = t.shipment_id and not t.is_late
    union all
    {%- endif %}
    (
        select distinct on (r.tenant_id, r.shipment_id, r.event_id)
            r.*,
            0 as start_position,
            '' as start_state
        from refolded as r
        order by r.tenant_id, r.shipment_id, r.event_id, {{ content_order('r') }}
    )
),

folded as (
    select
        e.*,
        l.legal_after,
        e.start_position + row_number() over life as position,
        -- The empty text stands for the state before these events, so it is legal wherever that state is.
        ops.last_legal_status(
            e.status, case when e.start_state = any(l.legal_after) then array_append(l.legal_after, '')
                else array_remove(l.legal_after, '') end
        ) over life as state
    from events as e
    left join legal as l on e.status = l.to_status
    window life as (
        partition by e.tenant_id, e.shipment_id
        order by e.occurred_at, e.sequence, e.recorded_at, e.event_id collate "C"
    )
),

judged as (
    select
        f.*,
        coalesce(lag(f.state) over life, f.start_state) as previous_state
    from folded as f
    window life as (
        partition by f.tenant_id, f.shipment_id
        order by f.occurred_at, f.sequence, f.recorded_at, f.event_id collate "C"
    )
)

select
    j.tenant_id,
    j.shipment_id,
    j.event_id,
    j.position::integer as position,
    nullif(j.previous_state, '') as previous_status,
    j.status,
    coalesce(j.previous_state = any(j.legal_after), false) as is_legal,
    j.occurred_at,
    j.recorded_at,
    j.sequence,
    j.reason_code,
    j.driver_id,
    j.vehicle_id,
    j.lat,
    j.lon,
    j.origin
from judged as j
