-- Every image of a site, and the region before it: a new region moves shipments from one row of the SLA to another.
select
    h.tenant_id,
    h.site_id,
    h.region,
    lag(h.region) over (partition by h.tenant_id, h.site_id order by h._lsn, h._seq) as previous_region,
    h.batch_id
from {{ source('source', 'sites_history') }} as h
where h.site_id is not null
