select
    v.tenant_id,
    v.vehicle_id,
    v.make,
    v.model,
    v.model_year,
    v.vehicle_class,
    v.capacity_kg,
    v.tank_l,
    v.home_site_id,
    v.status,
    v.in_service_from,
    v.batch_id
from {{ source('source', 'vehicles') }} as v
