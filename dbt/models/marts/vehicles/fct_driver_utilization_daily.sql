{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'driver_key', 'local_date'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_driver_day_touched', 'key': ['tenant_id', 'driver_key'], 'since': 'local_date'}}) }}
-- depends_on: {{ ref('int_driver_day_touched') }}

-- A driver's local day, over all vehicles that he was logged in to.
with driver as (
    select
        k.tenant_id,
        k.driver_id,
        k.driver_key
        {%- if is_incremental() %},
        t.since
        {%- endif %}
    from {{ source('store', 'int_driver_pseudonym') }} as k
    {%- if is_incremental() %}
    inner join {{ ref('int_driver_day_touched') }} as t on k.tenant_id = t.tenant_id and k.driver_key = t.driver_key
    {%- endif %}
),

day as (
    select
        d.tenant_id,
        r.driver_id,
        r.driver_key,
        d.local_date,
        (array_agg(d.time_zone order by d.driving_s + d.stop_s desc, d.time_zone collate "C"))[1] as time_zone,
        count(distinct d.vehicle_id)::integer as vehicles,
        {{ exact_sum('d.driving_s + d.stop_s + d.gap_s + d.carried_s - d.rest_s') }} as on_duty_s,
        {{ exact_sum('d.driving_s') }} as driving_s,
        {{ exact_sum('d.idle_s') }} as idle_s,
        {{ exact_sum('d.engine_known_s') }} as engine_known_s,
        {{ exact_sum('d.site_wait_s') }} as site_wait_s,
        sum(d.site_stops)::integer as site_stops,
        sum(d.trips)::integer as trips,
        {{ exact_sum('d.distance_km') }} as distance_km
    from {{ source('store', 'int_vehicle_day') }} as d
    inner join driver as r on d.tenant_id = r.tenant_id and d.driver_id = r.driver_id
    {%- if is_incremental() %} and d.local_date >= r.since {%- endif %}
    group by d.tenant_id, r.driver_id, r.driver_key, d.local_date
),

-- A trip over midnight is part of both days; no trip begins more than two days before it ends.
trip as (
    select
        d.tenant_id,
        d.driver_key,
        d.local_date,
        {{ exact_sum('t.empty_km') }} / nullif({{ exact_sum('t.distance_km') }}, 0) as empty_share
    from day as d
    inner join {{ ref('fct_trip') }} as t
        on d.tenant_id = t.tenant_id and d.driver_key = t.driver_key and {{ on_day('t', 'd') }}
    group by d.tenant_id, d.driver_key, d.local_date
),

-- What tachographs and drivers have recorded; what goes on lasts until the next. Whatever was faulty is left out.
recorded as (
    select
        a.tenant_id,
        a.driver_id,
        a.activity,
        tstzrange(a.started_at, greatest(a.started_at, coalesce(
            a.ended_at, lead(a.started_at) over (partition by a.tenant_id, a.driver_id order by a.started_at, a.event_id)
        ))) as during
    from {{ source('store', 'int_driver_activity') }} as a
    inner join driver as r on a.tenant_id = r.tenant_id and a.driver_id = r.driver_id
        {%- if is_incremental() %} and a.started_at >= r.since - 2 {%- endif %}
    where
        a.origin <> 'inferred'
        and not exists (
            select from {{ source('store', 'int_driver_activity_fault') }} as f
            where f.tenant_id = a.tenant_id and f.driver_id = a.driver_id and f.event_id = a.event_id and f.is_left_out
        )
),

duty as (
    select
        d.tenant_id,
        d.driver_id,
        d.local_date,
        range_agg(
            r.during * tstzrange(
                d.local_date::timestamp at time zone d.time_zone, (d.local_date + 1)::timestamp at time zone d.time_zone
            )
        ) filter (where r.activity in ('driving', 'other_work', 'availability')) as during
    from day as d
    inner join recorded as r
        on d.tenant_id = r.tenant_id and d.driver_id = r.driver_id
        -- No activity but a long rest begins two days before; so a day depends on the same records in every run.
        and lower(r.during) >= (d.local_date - 2)
        and r.during && tstzrange(
            d.local_date::timestamp at time zone d.time_zone, (d.local_date + 1)::timestamp at time zone d.time_zone
        )
    group by d.tenant_id, d.driver_id, d.local_date
),

-- Less than was driven is no whole record of the day: it goes on, or a card is still to be read.
worked as (
    select
        u.tenant_id,
        u.driver_id,
        u.local_date,
        coalesce((
            select sum(extract(epoch from upper(stretch) - lower(stretch))) from unnest(u.during) as stretch
        ), 0)::double precision as on_duty_s
    from duty as u
),

shipment as (
    select
        t.tenant_id,
        t.driver_id,
        t.local_date,
        count(distinct l.shipment_id)::integer as shipments
    from {{ source('store', 'int_trip') }} as t
    inner join driver as r on t.tenant_id = r.tenant_id and t.driver_id = r.driver_id
    {%- if is_incremental() %} and t.local_date >= r.since {%- endif %}
    inner join {{ source('store', 'int_vehicle_load') }} as l
        on t.tenant_id = l.tenant_id and t.vehicle_id = l.vehicle_id
        and t.ended_at > l.loaded_from and t.started_at < coalesce(l.loaded_until, 'infinity')
    group by t.tenant_id, t.driver_id, t.local_date
)

select
    d.tenant_id,
    d.driver_key,
    d.local_date,
    d.time_zone,
    {{ length_of_day('d.local_date', 'd.time_zone') }} as day_s,
    coalesce(w.on_duty_s, d.on_duty_s) as on_duty_s,
    case when w.on_duty_s is null then 'tracks' else 'activities' end as on_duty_source,
    d.driving_s,
    d.driving_s / nullif(coalesce(w.on_duty_s, d.on_duty_s), 0) as utilization_share,
    case when d.engine_known_s > 0 then d.idle_s end as idle_s,
    d.site_wait_s,
    d.site_stops,
    d.trips,
    d.vehicles,
    coalesce(s.shipments, 0) as shipments,
    d.distance_km,
    d.distance_km * 3600 / nullif(d.driving_s, 0) as mean_kmh,
    d.distance_km * coalesce(t.empty_share, 0) as empty_km,
    t.empty_share
from day as d
left join trip as t on d.tenant_id = t.tenant_id and d.driver_key = t.driver_key and d.local_date = t.local_date
left join shipment as s on d.tenant_id = s.tenant_id and d.driver_id = s.driver_id and d.local_date = s.local_date
left join worked as w
    on d.tenant_id = w.tenant_id and d.driver_id = w.driver_id and d.local_date = w.local_date and d.driving_s <= w.on_duty_s
