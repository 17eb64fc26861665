{{ config(materialized='table', unlogged=true) }}

-- The promised dates whose counts may have changed: those of the touched shipments now, and those that were promised
-- for them before.
select distinct
    s.tenant_id,
    s.promised_date
from {{ ref('fct_shipment') }} as s
inner join {{ ref('int_shipment_touched') }} as t
    on s.tenant_id = t.tenant_id and s.shipment_id = t.shipment_id
where s.promised_date is not null
union
select
    h.tenant_id,
    h.promised_date
from {{ ref('stg_source__shipment_changes') }} as h
where
    h.promised_date is not null
    and h.shipment_id in (
        select c.shipment_id from {{ ref('stg_source__shipment_changes') }} as c
        where {{ is_claimed('c') }}
    )
