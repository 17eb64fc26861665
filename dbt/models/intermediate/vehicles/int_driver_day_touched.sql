{{ config(materialized='table', unlogged=true, post_hook='analyze {{ this }}') }}

-- The drivers whose days the run makes again, and from which local date on: those whose own events or whose vehicles'
-- tracks have changed, and those who drove vehicles on which shipments have come or gone.
with touched as (
    select
        d.tenant_id,
        d.driver_id,
        -- No zone's local date is further from the date in UTC than one day.
        (d.since at time zone 'UTC')::date - 1 as since
    from {{ source('store', 'int_driver_touched') }} as d
    union all
    select
        d.tenant_id,
        d.driver_id,
        d.local_date as since
    from {{ source('store', 'int_vehicle_day') }} as d
    inner join {{ ref('int_track_touched') }} as t
        on d.tenant_id = t.tenant_id and d.vehicle_id = t.vehicle_id and d.local_date >= t.since
    where d.driver_id <> ''
)

select
    t.tenant_id,
    k.driver_key,
    min(t.since) as since
from touched as t
inner join {{ source('store', 'int_driver_pseudonym') }} as k
    on t.tenant_id = k.tenant_id and t.driver_id = k.driver_id
group by t.tenant_id, k.driver_key
