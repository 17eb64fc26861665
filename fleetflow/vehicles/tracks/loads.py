"""Which shipments were on which vehicle when, and what they weigh: for the km driven empty, and for fuel.

Reads what runs of the shipments have judged since the last look, so loads are as fresh as the run of the vehicle side,
and a status that comes after its trip was folded changes the trip's row all the same. What has changed stays noted
until the run that found it is done.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fleetflow.runtime import Connection

_RUNS = """
select run_id, finished_at from ops.transform_run
where pipeline = 'shipments' and state = 'done'
    and finished_at > coalesce((select max(finished_at) from intermediate.int_load_mark), '-infinity')
order by finished_at
"""

_CHANGED = """
create temporary table changed on commit drop as
select h.tenant_id, h.shipment_id from intermediate.int_shipment_status_history as h
where not exists (select from intermediate.int_load_mark)
group by h.tenant_id, h.shipment_id
union
select e.tenant_id, e.shipment_id from landing.shipment_event as e
where e.batch_id = any(array(select batch_id from ops.transformed_batch where run_id = any(%(runs)s)))
union
select a.tenant_id, a.shipment_id from landing.driver_assignment_event as a
where a.batch_id = any(array(select batch_id from ops.transformed_batch where run_id = any(%(runs)s)))
union
-- Shipments that the order system came to know, or to know another weight of, after they were on their way.
select o.tenant_id, o.shipment_id from source.shipments as o
where o.batch_id = any(array(select batch_id from ops.transformed_batch where run_id = any(%(runs)s)))
"""

# What a run that was not done has found is this run's now.
_ADOPT = """
insert into intermediate.int_load_touched as known (run_id, tenant_id, vehicle_id, since)
select %(run_id)s, t.tenant_id, t.vehicle_id, min(t.since) from intermediate.int_load_touched as t
where t.run_id <> %(run_id)s group by t.tenant_id, t.vehicle_id
on conflict (run_id, tenant_id, vehicle_id) do update set since = least(known.since, excluded.since)
"""

# A shipment is on the vehicle that an event names, or the last one before it did, from pick-up until it leaves.
_LOADED = """
create temporary table loaded on commit drop as
with named as (
    select h.tenant_id, h.shipment_id, h.position, h.status, h.occurred_at, h.vehicle_id,
        count(h.vehicle_id) over life as known,
        max(h.position) filter (where h.status = 'picked_up') over life as picked_up,
        lead(h.occurred_at) over life as until
    from intermediate.int_shipment_status_history as h
    inner join changed as c on h.tenant_id = c.tenant_id and h.shipment_id = c.shipment_id
    where h.is_legal
    window life as (partition by h.tenant_id, h.shipment_id order by h.position)
), placed as (
    select n.*, max(n.vehicle_id) over (partition by n.tenant_id, n.shipment_id, n.known) as on_vehicle from named as n
)
select p.tenant_id, p.shipment_id, p.position, coalesce(p.on_vehicle, s.vehicle_id) as vehicle_id,
    p.occurred_at as loaded_from, p.until as loaded_until, o.weight_kg
from placed as p
inner join marts.fct_shipment as s on p.tenant_id = s.tenant_id and p.shipment_id = s.shipment_id
left join source.shipments as o on p.tenant_id = o.tenant_id and p.shipment_id = o.shipment_id
where p.picked_up is not null and p.status not in ('delivered', 'returned', 'cancelled')
    and coalesce(p.on_vehicle, s.vehicle_id) is not null and p.until is distinct from p.occurred_at
"""

# What was loaded and is no longer so, and what is loaded now and was not.
_DIFFERENCE = """
create temporary table moved on commit drop as
with before as (
    select l.* from intermediate.int_vehicle_load as l
    inner join changed as c on l.tenant_id = c.tenant_id and l.shipment_id = c.shipment_id
), now as (select * from loaded)
select d.* from (
    (select tenant_id, shipment_id, position, vehicle_id, loaded_from, loaded_until, weight_kg from before
     except select * from now)
    union all
    (select * from now
     except select tenant_id, shipment_id, position, vehicle_id, loaded_from, loaded_until, weight_kg from before)
) as d
"""

_REPLACE = (
    "delete from intermediate.int_vehicle_load as l using moved as m"
    " where l.tenant_id = m.tenant_id and l.shipment_id = m.shipment_id",
    "insert into intermediate.int_vehicle_load"
    " (tenant_id, shipment_id, position, vehicle_id, loaded_from, loaded_until, weight_kg)"
    " select * from loaded as n where exists (select from moved as m"
    "  where m.tenant_id = n.tenant_id and m.shipment_id = n.shipment_id)",
)

# From the day before that of the trip that was under way, so that days in any zone are made anew.
_TOUCH = """
insert into intermediate.int_load_touched as known (run_id, tenant_id, vehicle_id, since)
select %(run_id)s, m.tenant_id, m.vehicle_id, date_trunc('day', least(min(m.loaded_from), (
    select max(t.started_at) from intermediate.int_trip as t
    where t.tenant_id = m.tenant_id and t.vehicle_id = m.vehicle_id and t.started_at <= min(m.loaded_from)
)), 'UTC') - interval '1 day'
from moved as m group by m.tenant_id, m.vehicle_id
on conflict (run_id, tenant_id, vehicle_id) do update set since = least(known.since, excluded.since)
"""


def follow_loads(conn: Connection, run_id: UUID) -> int:
    """Bring the loads up to what the shipments' runs have judged; return the intervals that changed."""
    with conn.transaction():
        conn.execute(
            "delete from intermediate.int_load_touched as t using ops.transform_run as r"
            " where r.run_id = t.run_id and r.state = 'done'"
        )
        conn.execute(_ADOPT, {"run_id": run_id})
        conn.execute("delete from intermediate.int_load_touched where run_id <> %s", (run_id,))
    made = conn.execute("select to_regclass('marts.fct_shipment') is not null").fetchone()
    runs = conn.execute(_RUNS).fetchall()
    if not runs or made is None or not made[0]:
        return 0
    values: dict[str, Any] = {"runs": [run for run, _ in runs], "run_id": run_id}
    with conn.transaction():
        conn.execute(_CHANGED, values)
        conn.execute(_LOADED)
        conn.execute(_DIFFERENCE)
        changed = conn.execute("select from moved").rowcount
        for statement in _REPLACE:
            conn.execute(statement.encode())
        conn.execute(_TOUCH, values)
        conn.execute("delete from intermediate.int_load_mark")
        conn.execute("insert into intermediate.int_load_mark (run_id, finished_at) values (%s, %s)", runs[-1])
    return changed
