{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- Stays of shipments at sites, from where their legal events were sent: a site is the nearest within site_radius_m metres (dbt_project.yml).
-- A view: it reads one tenant's events once and finds sites by a grid; kept as a table it would be a second history.
with cell as (
    select
        s.tenant_id,
        s.site_id,
        s.lat,
        s.lon,
        floor(s.lat * 50)::integer + y.step as row_no,
        floor(s.lon * 50)::integer + x.step as column_no
    from {{ ref('dim_site') }} as s
    cross join (values (-1), (0), (1)) as y (step)
    cross join (values (-1), (0), (1)) as x (step)
    where s.lat is not null and s.lon is not null
),

near as (
    select
        a.tenant_id,
        a.shipment_id,
        a.position,
        a.status,
        a.occurred_at,
        c.site_id,
        -- Flat within a cell: 111,195 m a degree of latitude.
        111195 * sqrt(power(a.lat - c.lat, 2) + power((a.lon - c.lon) * cos(radians(c.lat)), 2)) as metres
    from {{ source('audit', 'shipment_status') }} as a
    left join cell as c
        on
            a.tenant_id = c.tenant_id
            and floor(a.lat * 50)::integer = c.row_no
            and floor(a.lon * 50)::integer = c.column_no
    where a.believed_until is null and a.is_legal
),

seen as (
    select distinct on (n.tenant_id, n.shipment_id, n.position)
        n.tenant_id,
        n.shipment_id,
        n.position,
        n.status,
        n.occurred_at,
        case when n.metres <= {{ var('site_radius_m') }} then n.site_id end as site_id
    from near as n
    order by n.tenant_id, n.shipment_id, n.position, n.metres nulls last, n.site_id
),

moved as (
    select
        s.*,
        (s.site_id is distinct from lag(s.site_id) over life) as is_new,
        lead(s.occurred_at) over life as next_at
    from seen as s
    window life as (partition by s.tenant_id, s.shipment_id order by s.position)
),

stay as (
    select
        m.*,
        count(*) filter (where m.is_new) over (partition by m.tenant_id, m.shipment_id order by m.position) as stay
    from moved as m
)

select
    s.tenant_id,
    s.shipment_id,
    s.site_id,
    min(s.occurred_at) as arrived_at,
    max(s.occurred_at) as last_seen_at,
    case when not bool_or(s.status in ('delivered', 'returned')) then max(s.next_at) end as next_seen_at,
    count(*) as events,
    floor(extract(epoch from max(s.occurred_at) - min(s.occurred_at)) / 60)::integer as dwell_minutes,
    case when not bool_or(s.status in ('delivered', 'returned'))
        then floor(extract(epoch from max(s.next_at) - min(s.occurred_at)) / 60)::integer end as dwell_minutes_at_most
from stay as s
where s.site_id is not null
group by s.tenant_id, s.shipment_id, s.site_id, s.stay
