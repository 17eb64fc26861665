{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- How each service task stands for each vehicle now, by km, months and engine hours, whichever comes first. The rules
-- are those of domain/maintenance/due.py; a property test holds both against each other.
with fleet as (
    select
        v.tenant_id,
        v.vehicle_id,
        v.vehicle_class,
        v.home_site_id,
        v.in_service_from,
        v.status = 'retired' as is_retired,
        ({{ as_of() }} at time zone coalesce(s.timezone, 'UTC'))::date as today
    from {{ ref('dim_vehicle') }} as v
    left join {{ ref('dim_site') }} as s on v.tenant_id = s.tenant_id and v.home_site_id = s.site_id
),

done as (
    select
        f.*,
        t.task_id,
        t.service,
        t.every_km,
        t.every_months,
        t.every_engine_hours,
        t.duration_days,
        t.priority,
        d.last_done_on,
        d.services_before_commissioning,
        d.services_in_future
    from fleet as f
    inner join {{ ref('service_task') }} as t on f.vehicle_class = t.vehicle_class
    cross join lateral (
        select
            max(x.done_on) filter (where x.done_on <= f.today and x.done_on >= coalesce(f.in_service_from, x.done_on))
                as last_done_on,
            count(distinct x.done_on) filter (where x.done_on <= f.today and x.done_on < f.in_service_from)::integer
                as services_before_commissioning,
            count(distinct x.done_on) filter (where x.done_on > f.today)::integer as services_in_future
        from {{ ref('fct_service') }} as x
        where x.tenant_id = f.tenant_id and x.vehicle_id = f.vehicle_id and x.service = t.service
    ) as d
),

-- Use by now, and by the end of the day of the last service: straight between two readings, the last one's after it.
metered as (
    select
        d.*,
        km.now as odometer_km,
        km.since as km_since,
        km.first_day as km_first_day,
        h.now as engine_hours,
        h.since as hours_since,
        h.first_day as hours_first_day
    from done as d
    {%- for name, meter in [('km', 'odometer'), ('h', 'engine_hours')] %}
    cross join lateral (
        select
            (select m.used from {{ ref('fct_meter_day') }} as m
            where m.tenant_id = d.tenant_id and m.vehicle_id = d.vehicle_id and m.meter = '{{ meter }}' and m.day <= d.today
            order by m.day desc limit 1) as now,
            (select m.day from {{ ref('fct_meter_day') }} as m
            where m.tenant_id = d.tenant_id and m.vehicle_id = d.vehicle_id and m.meter = '{{ meter }}' and m.day <= d.today
            order by m.day limit 1) as first_day,
            case
                when last.done_on is null then 0.0
                when b.day = last.done_on or a.day is null then b.used
                else b.used + ((last.done_on - b.day)::double precision / (a.day - b.day)) * (a.used - b.used)
            end as since
        from (values (d.last_done_on)) as last (done_on)
        left join lateral (
            select m.day, m.used from {{ ref('fct_meter_day') }} as m
            where m.tenant_id = d.tenant_id and m.vehicle_id = d.vehicle_id and m.meter = '{{ meter }}'
                and m.day <= last.done_on
            order by m.day desc limit 1
        ) as b on true
        left join lateral (
            select m.day, m.used from {{ ref('fct_meter_day') }} as m
            where m.tenant_id = d.tenant_id and m.vehicle_id = d.vehicle_id and m.meter = '{{ meter }}'
                and m.day > last.done_on and m.day <= d.today
            order by m.day limit 1
        ) as a on true
    ) as {{ name }}
    {%- endfor %}
),

limits as (
    select
        m.*,
        case when m.odometer_km is not null then m.km_since + m.every_km end as km_limit,
        case when m.odometer_km is not null then m.km_since + m.every_km - m.odometer_km end as km_left,
        case when m.engine_hours is not null then m.hours_since + m.every_engine_hours end as hours_limit,
        case when m.engine_hours is not null then m.hours_since + m.every_engine_hours - m.engine_hours end as hours_left,
        (coalesce(m.last_done_on, m.in_service_from) + make_interval(months => m.every_months))::date as months_due_on
    from metered as m
),

judged as (
    select
        l.*,
        l.months_due_on - l.today as days_left,
        (select min(r.day) from {{ ref('fct_meter_day') }} as r
        where r.tenant_id = l.tenant_id and r.vehicle_id = l.vehicle_id and r.meter = 'odometer'
            and r.day <= l.today and l.km_left <= 0 and r.used >= l.km_limit) as km_due_on,
        (select min(r.day) from {{ ref('fct_meter_day') }} as r
        where r.tenant_id = l.tenant_id and r.vehicle_id = l.vehicle_id and r.meter = 'engine_hours'
            and r.day <= l.today and l.hours_left <= 0 and r.used >= l.hours_limit) as hours_due_on,
        least(l.km_left, l.hours_left, l.months_due_on - l.today) as least_left
    from limits as l
)

select
    j.tenant_id,
    j.vehicle_id,
    j.task_id,
    j.today as as_of_date,
    j.service,
    j.vehicle_class,
    j.home_site_id,
    j.priority,
    j.duration_days,
    case
        when j.is_retired then 'retired'
        when j.least_left is null then 'unknown'
        when j.least_left < 0 then 'overdue'
        when j.least_left = 0 then 'due'
        else 'not_due'
    end as status,
    j.last_done_on,
    least(j.km_due_on, j.hours_due_on, case when j.days_left <= 0 then j.months_due_on end) as due_since,
    j.odometer_km,
    j.km_limit,
    j.km_left,
    j.km_due_on,
    case
        when j.every_km is null then null
        when j.odometer_km is null then 'the meter was never read'
        when j.km_since is null then 'the meter was first read on ' || j.km_first_day || ', after the service on ' || j.last_done_on
    end as km_missing,
    j.months_due_on,
    j.days_left,
    case
        when j.every_months is not null and j.months_due_on is null
            then 'neither a service nor the day of commissioning is known'
    end as months_missing,
    j.engine_hours,
    j.hours_limit,
    j.hours_left,
    j.hours_due_on,
    case
        when j.every_engine_hours is null then null
        when j.engine_hours is null then 'the meter was never read'
        when j.hours_since is null
            then 'the meter was first read on ' || j.hours_first_day || ', after the service on ' || j.last_done_on
    end as hours_missing,
    j.services_before_commissioning,
    j.services_in_future
from judged as j
