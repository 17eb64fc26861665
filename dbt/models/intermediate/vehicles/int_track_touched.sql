{{ config(materialized='table', unlogged=true, post_hook='analyze {{ this }}') }}

-- The vehicles whose rows the run makes again, and from when on: those that its steps have folded, and those on which
-- shipments have come or gone.
with touched as (
    select v.tenant_id, v.vehicle_id, v.since from {{ source('store', 'int_vehicle_touched') }} as v
    union all
    select l.tenant_id, l.vehicle_id, l.since from {{ source('store', 'int_load_touched') }} as l
)

select
    t.tenant_id,
    t.vehicle_id,
    min(t.since) as since
from touched as t
group by t.tenant_id, t.vehicle_id
