select
    s.tenant_id,
    s.site_id,
    s.name,
    s.kind,
    s.region,
    s.country,
    s.city,
    s.lat,
    s.lon,
    s.timezone,
    s.batch_id
from {{ source('source', 'sites') }} as s
