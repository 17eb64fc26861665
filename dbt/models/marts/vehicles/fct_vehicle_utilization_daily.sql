{{ config(materialized='incremental', incremental_strategy='upsert', unique_key=['tenant_id', 'vehicle_id', 'local_date'],
    on_schema_change='fail', post_hook='{{ tenant_policy() }}',
    meta={'scope': {'model': 'int_track_touched', 'key': ['tenant_id', 'vehicle_id'], 'since': 'local_date'}}) }}
-- depends_on: {{ ref('int_track_touched') }}

-- A vehicle's local day, over all of its drivers.
with day as (
    select
        d.tenant_id,
        d.vehicle_id,
        d.local_date,
        (array_agg(d.time_zone order by d.driving_s + d.stop_s desc, d.time_zone collate "C"))[1] as time_zone,
        count(distinct nullif(d.driver_id, ''))::integer as drivers,
        {{ exact_sum('d.driving_s') }} as driving_s,
        {{ exact_sum('d.stop_s') }} as stop_s,
        {{ exact_sum('d.gap_s') }} as gap_s,
        {{ exact_sum('d.carried_s') }} as carried_s,
        {{ exact_sum('d.site_wait_s') }} as site_wait_s,
        sum(d.trips)::integer as trips,
        sum(d.site_stops)::integer as site_stops,
        {{ exact_sum('d.distance_km') }} as distance_km,
        {{ exact_sum('d.manoeuvre_km') }} as manoeuvre_km,
        {{ exact_sum('d.carried_km') }} as carried_km,
        {{ exact_sum('d.idle_s') }} as idle_s,
        {{ exact_sum('d.engine_on_s') }} as engine_on_s,
        {{ exact_sum('d.engine_known_s') }} as engine_known_s,
        {{ exact_sum('d.odometer_km') }} as odometer_km,
        {{ exact_sum('d.odometer_track_km') }} as odometer_track_km,
        sum(d.odometer_faults)::integer as odometer_faults,
        (array_agg(d.odometer_end_km order by d.odometer_read_at desc nulls last))[1] as odometer_end_km
    from {{ source('store', 'int_vehicle_day') }} as d
    {{ of_tracks('d', 'local_date') }}
    group by d.tenant_id, d.vehicle_id, d.local_date
),

trip as (
    select
        t.tenant_id,
        t.vehicle_id,
        t.local_date,
        {{ exact_sum('t.empty_km') }} as empty_km,
        {{ exact_sum('t.empty_km') }} / nullif({{ exact_sum('t.distance_km') }}, 0) as empty_share
    from {{ ref('fct_trip') }} as t
    {{ of_tracks('t', 'local_date') }}
    group by t.tenant_id, t.vehicle_id, t.local_date
)

select
    d.tenant_id,
    d.vehicle_id,
    d.local_date,
    d.time_zone,
    {{ length_of_day('d.local_date', 'd.time_zone') }} as day_s,
    d.driving_s,
    d.stop_s,
    d.gap_s,
    d.carried_s,
    d.driving_s / {{ length_of_day('d.local_date', 'd.time_zone') }} as utilization_share,
    case when d.engine_known_s > 0 then d.engine_on_s end as engine_on_s,
    case when d.engine_known_s > 0 then d.idle_s end as idle_s,
    d.engine_known_s,
    d.site_wait_s,
    d.site_stops,
    d.trips,
    d.drivers,
    d.distance_km,
    d.manoeuvre_km,
    d.carried_km,
    d.distance_km * 3600 / nullif(d.driving_s, 0) as mean_kmh,
    coalesce(t.empty_km, 0) as empty_km,
    t.empty_share,
    d.odometer_km,
    d.odometer_track_km,
    case when d.odometer_km > 0 then (d.odometer_track_km - d.odometer_km) / d.odometer_km end as odometer_difference_share,
    d.odometer_faults,
    d.odometer_end_km
from day as d
left join trip as t on d.tenant_id = t.tenant_id and d.vehicle_id = t.vehicle_id and d.local_date = t.local_date
