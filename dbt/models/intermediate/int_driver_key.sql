{{ config(
    materialized='incremental',
    incremental_strategy='upsert',
    unique_key=['tenant_id', 'driver_id'],
    on_schema_change='fail',
    contract={'enforced': true}
) }}

-- The pseudonym of each driver that anything names, made once a driver: the keyed hash is dear.
with named as (
    select d.tenant_id, d.driver_id from {{ ref('stg_source__drivers') }} as d
    union
    select e.tenant_id, e.driver_id from {{ ref('int_shipment_event_claimed') }} as e
    union
    select a.tenant_id, a.driver_id from {{ ref('stg_landing__driver_assignment_event') }} as a
    where {{ is_claimed('a') }}
    {%- if not is_incremental() %}
    union
    select h.tenant_id, h.driver_id from {{ ref('int_shipment_status_history') }} as h
    union
    select s.tenant_id, s.driver_id from {{ ref('int_shipment_assignment') }} as s
    {%- endif %}
)

select
    n.tenant_id,
    n.driver_id,
    ops.pseudonym(n.tenant_id, n.driver_id) as driver_key
from named as n
where
    n.driver_id is not null
    {%- if is_incremental() %}
    and not exists (
        select from {{ this }} as k
        where k.tenant_id = n.tenant_id and k.driver_id = n.driver_id
    )
    {%- endif %}
