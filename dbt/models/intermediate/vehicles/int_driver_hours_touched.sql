{{ config(materialized='table') }}

-- The drivers whose hours the run at work recomputes, under their pseudonyms, and since when.
select
    t.tenant_id,
    k.driver_key,
    t.since
from {{ source('store', 'int_driver_touched') }} as t
inner join {{ source('store', 'int_driver_pseudonym') }} as k on t.tenant_id = k.tenant_id and t.driver_id = k.driver_id
