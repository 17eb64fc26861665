-- Every shipment due is delivered, returned or open; every delivered one is on time or late.
select d.*
from {{ ref('fct_on_time_daily') }} as d
where d.due <> d.delivered + d.returned + d.open or d.delivered <> d.on_time + d.late
