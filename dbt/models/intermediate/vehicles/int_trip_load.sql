{{ config(
    materialized='incremental',
    incremental_strategy='upsert',
    unique_key=['tenant_id', 'vehicle_id', 'started_at'],
    on_schema_change='fail',
    contract={'enforced': true},
    meta={'scope': {'model': 'int_track_touched', 'key': ['tenant_id', 'vehicle_id'], 'since': 'started_at'}}
) }}
-- depends_on: {{ ref('int_track_touched') }}

-- What a trip carried: the shipments that were on the vehicle at any time of it, and for how long any was.
with carried as (
    select
        t.tenant_id,
        t.vehicle_id,
        t.started_at,
        l.shipment_id,
        tstzrange(greatest(l.loaded_from, t.started_at), least(l.loaded_until, t.ended_at)) as during
    from {{ source('store', 'int_trip') }} as t
    {{ of_tracks('t', 'started_at') }}
    inner join {{ source('store', 'int_vehicle_load') }} as l
        on t.tenant_id = l.tenant_id and t.vehicle_id = l.vehicle_id
        and t.ended_at > l.loaded_from and t.started_at < coalesce(l.loaded_until, 'infinity')
),

summed as (
    select
        c.tenant_id,
        c.vehicle_id,
        c.started_at,
        count(distinct c.shipment_id)::integer as shipments,
        range_agg(c.during) as during
    from carried as c
    group by c.tenant_id, c.vehicle_id, c.started_at
)

select
    s.tenant_id,
    s.vehicle_id,
    s.started_at,
    s.shipments,
    (
        select sum(extract(epoch from upper(stretch) - lower(stretch))) from unnest(s.during) as stretch
    )::double precision as loaded_s
from summed as s
