{{ config(materialized='view', post_hook='{{ invoker_view() }}') }}

-- What each driver may still do as of ops.as_of(), if his last activity goes on until then. The limits are those of
-- domain/driver_hours/limits.py; a property test holds both together.
with clock as (
    select date_trunc('minute', {{ as_of() }}) as as_of
),

head as (
    select distinct on (h.tenant_id, h.driver_key)
        h.*,
        c.as_of,
        case when h.is_driving then extract(epoch from c.as_of - h.at)::integer / 60 else 0 end as driven_min
    from {{ ref('fct_driver_hours_head') }} as h
    cross join clock as c
    where h.at <= c.as_of
    order by h.tenant_id, h.driver_key, h.at desc
),

used as (
    select
        h.*,
        h.stint_min + h.driven_min as stint_used,
        h.day_driving_min + h.driven_min as day_used,
        h.week_min + h.driven_min as week_used,
        h.fortnight_min + h.driven_min as fortnight_used,
        case when h.in_weekly_rest then h.as_of else h.weekly_rest_ended_at end + interval '144 hours' as weekly_rest_by
    from head as h
    where h.believed_until is null or h.as_of < h.believed_until
)

select
    u.tenant_id,
    u.driver_key,
    u.as_of,
    u.is_driving,
    g.driving_min,
    greatest(0, 270 - u.stint_used) as until_break_min,
    u.break_min,
    greatest(0, u.day_limit_min - u.day_used) as today_min,
    greatest(0, 3360 - u.week_used) as this_week_min,
    greatest(0, 5400 - u.fortnight_used) as this_fortnight_min,
    u.rest_by,
    u.rest_min,
    u.weekly_rest_by,
    u.extensions_left,
    u.reductions_left,
    g.warnings
from used as u
cross join lateral (
    select
        min(greatest(0, r.limit_min - r.used_min))::integer as driving_min,
        coalesce(
            jsonb_agg(
                jsonb_build_object(
                    'rule', r.rule, 'used_min', r.used_min, 'limit_min', r.limit_min,
                    'level_pct', least(100, r.used_min * 10 / r.limit_min * 10)
                ) order by r.place
            ) filter (where u.is_driving and r.used_min * 100 >= 80 * r.limit_min),
            '[]'::jsonb
        ) as warnings
    from (
        values
        (1, 'BREAK', u.stint_used, 270),
        (2, 'DAILY_DRIVING', u.day_used, u.day_limit_min),
        (3, 'WEEKLY_DRIVING', u.week_used, 3360),
        (4, 'FORTNIGHTLY_DRIVING', u.fortnight_used, 5400),
        (
            5, 'DAILY_REST', extract(epoch from u.as_of - u.day_started_at)::integer / 60,
            extract(epoch from u.rest_by - u.day_started_at)::integer / 60
        ),
        (6, 'WEEKLY_REST_SPACING', 8640 - extract(epoch from u.weekly_rest_by - u.as_of)::integer / 60, 8640)
    ) as r (place, rule, used_min, limit_min)
    where r.used_min is not null and r.limit_min is not null
) as g
