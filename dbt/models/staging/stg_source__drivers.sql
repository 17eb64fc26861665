select
    d.tenant_id,
    d.driver_id,
    d.licence_class,
    d.home_site_id,
    d.status,
    extract(year from d.hired_on)::integer as hired_year,
    d.batch_id
from {{ source('source', 'drivers') }} as d
