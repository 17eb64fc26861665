-- The daily counts hold exactly the promised shipments of the order system that are not cancelled.
with promised as (
    select
        s.tenant_id,
        s.promised_date,
        count(*) as due
    from {{ ref('fct_shipment') }} as s
    where s.in_order_system and s.promised_date is not null and s.status <> 'cancelled'
    group by s.tenant_id, s.promised_date
),

counted as (
    select
        d.tenant_id,
        d.promised_date,
        sum(d.due) as due
    from {{ ref('fct_on_time_daily') }} as d
    group by d.tenant_id, d.promised_date
)

select
    coalesce(p.tenant_id, c.tenant_id) as tenant_id,
    coalesce(p.promised_date, c.promised_date) as promised_date
from promised as p
full outer join counted as c on p.tenant_id = c.tenant_id and p.promised_date = c.promised_date
where p.due is distinct from c.due
