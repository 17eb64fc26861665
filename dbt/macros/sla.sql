{% macro promises_judged(shipments) -%}
    {#- How each promise stands as of the moment in `clock`: the common table expressions after it, and the last select up to
        where the reason of a breach (`e`) is joined. Read now or as of a close, a promise is judged by the same words. -#}
promise as (
    select
        s.*,
        c.as_of,
        case
            when s.status in ('cancelled', 'returned') then s.status
            when s.status = 'delivered' and s.delivered_at <= s.promised_at then 'on_time'
            when s.status = 'delivered' then 'late'
            when s.promised_at < c.as_of then 'overdue'
            else 'open'
        end as sla_state,
        coalesce(s.picked_up_at, s.delivered_at, c.as_of) as pickup_end,
        coalesce(s.out_for_delivery_at, s.delivered_at, c.as_of) as linehaul_end,
        coalesce(s.delivered_at, c.as_of) as last_mile_end,
        s.promised_at - s.created_at as span
    from {{ shipments }} as s
    cross join clock as c
    where s.in_order_system
),

overrun as (
    select
        p.*,
        p.pickup_end - p.created_at - p.span * {{ var('stage_share_pickup') }} as pickup_over,
        p.linehaul_end - p.pickup_end - p.span * {{ var('stage_share_linehaul') }} as linehaul_over,
        p.last_mile_end - p.linehaul_end - p.span * {{ var('stage_share_last_mile') }} as last_mile_over,
        p.sla_state in ('late', 'overdue') as is_breach,
        p.sla_state in ('open', 'overdue') as is_open,
        case when p.sla_state in ('open', 'overdue')
            then floor(extract(epoch from p.promised_at - p.as_of) / 60)::integer end as minutes_to_promise
    from promise as p
)

select
    o.tenant_id,
    o.shipment_id,
    o.carrier_id,
    o.service_level,
    o.mode,
    o.region,
    o.lane,
    o.promised_at,
    o.promised_date,
    o.delivered_at,
    o.status,
    o.status_at,
    o.sla_state,
    case o.sla_state when 'on_time' then true when 'late' then false when 'overdue' then false end as is_on_time,
    case when o.sla_state = 'late'
        then floor(extract(epoch from o.delivered_at - o.promised_at) / 60)::integer end as minutes_late,
    case
        when not o.is_breach then null
        when e.reason_code is not null then e.reason_code
        when o.pickup_over >= o.linehaul_over and o.pickup_over >= o.last_mile_over then 'late_pickup'
        when o.linehaul_over >= o.last_mile_over then 'late_linehaul'
        else 'late_last_mile'
    end as breach_reason,
    o.is_open,
    o.sla_state = 'open' and coalesce(o.minutes_to_promise < w.minutes_needed, false) as is_at_risk,
    o.minutes_to_promise
from overrun as o
left join {{ ref('sla_risk_window') }} as w on o.status = w.status
{%- endmacro %}

{% macro believed_at(entry, moment) -%}
    {#- Whether an entry of the audit was what was believed just before a moment. -#}
    {{ entry }}.believed_from < {{ moment }} and ({{ entry }}.believed_until is null or {{ entry }}.believed_until >= {{ moment }})
{%- endmacro %}

{% macro cancellable() -%}
    {#- The statuses in which the lifecycle allows a cancellation, as literals: a view of the marts cannot read the seed. -#}
    {%- set found = [] -%}
    {%- if execute -%}
        {%- set query = "select from_status from " ~ ref('shipment_transition') ~ " where to_status = 'cancelled' order by 1" -%}
        {%- for row in run_query(query).rows -%}
            {%- do found.append("'" ~ row[0] ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
    {{ found | join(', ') or "''" }}
{%- endmacro %}
