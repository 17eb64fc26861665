"""From when on a vehicle's rows are made anew, and from when on its readings are read for that.

What a minute tells changes events before it: a drain under way waits for an hour of driving after it. So rows go back
to the day that lies that much driving before what is new, and at least a day. What they themselves rest on goes back as
far again.
"""

from __future__ import annotations

from datetime import datetime

from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity, Touched

DRIVING_MINUTES = 120
"""Twice what `EventRules` reads on one side of a step: the window that finds it, and the one that settles it."""
MOVING_KMH = 3.0

_BACK = """
select t.tenant_id, t.vehicle_id,
    date_trunc('day', least(t.since - interval '1 day', min(driven.minute)))
from unnest(%(tenants)s::text[], %(vehicles)s::text[], %(since)s::timestamptz[]) as t (tenant_id, vehicle_id, since)
left join lateral (
    select distinct both_feeds.minute
    from (
        (select s.minute from intermediate.int_signal_minute as s
        where s.tenant_id = t.tenant_id and s.vehicle_id = t.vehicle_id and s.minute < t.since
            and s.name = 'vehicle_speed' and s.max_value >= %(kmh)s
        order by s.minute desc limit %(minutes)s)
        union all
        (select r.minute from intermediate.int_fuel_reading as r
        where r.tenant_id = t.tenant_id and r.vehicle_id = t.vehicle_id and r.minute < t.since
            and r.speed_kmh >= %(kmh)s
        order by r.minute desc limit %(minutes)s)
    ) as both_feeds
    order by both_feeds.minute desc
    limit %(minutes)s
) as driven on true
group by t.tenant_id, t.vehicle_id, t.since
"""


def go_back(conn: Connection, since: Touched) -> dict[Entity, datetime]:
    """Return, for each vehicle, the UTC midnight from which on what is new since a time may change its rows."""
    entities = list(since)
    rows = conn.execute(
        _BACK,
        {
            "tenants": [one.tenant_id for one in entities],
            "vehicles": [one.entity_id for one in entities],
            "since": [since[one] for one in entities],
            "kmh": MOVING_KMH,
            "minutes": DRIVING_MINUTES,
        },
    )
    return {Entity(tenant, vehicle): back for tenant, vehicle, back in rows}
