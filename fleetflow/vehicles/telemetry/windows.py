"""Which vehicle-hours a run decodes, and all of their frames: from landing, and, for old ones, from the lake."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc

from domain.contracts.can_frame import CAN_FRAME
from fleetflow.lake import open_lake
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles.history import landing_has_all_since, landing_keeps_since
from fleetflow.vehicles.touched import Entity, Touched
from ingestion.lake.read import scan_rows
from ingestion.telemetry.hours import HOUR, MARGIN, WINDOW_FRAMES, VehicleHour

CHUNK_FRAMES = 400_000
"""So many frames are decoded at a time: some 300 MiB."""

_CHOOSE = """
with claimed as materialized (
    select tenant_id, vehicle_id, date_trunc('hour', captured_at, 'UTC') as hour, batch_id, count(*) as frames,
        bool_or(captured_at >= date_trunc('hour', captured_at, 'UTC') + interval '1 hour' - %(margin)s) as at_its_end
    from landing.can_frame
    where batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run_id)s))
    group by 1, 2, 3, 4
), noted as (
    insert into intermediate.int_frame_batch (hour, batch_id) select distinct hour, batch_id from claimed
    on conflict do nothing
), wanted as (
    select tenant_id, vehicle_id, hour, frames from claimed
    union all
    -- A message of several frames may end in the hour after.
    select c.tenant_id, c.vehicle_id, n.hour, n.frames
    from claimed as c
    inner join intermediate.int_frame_count as n
        on c.tenant_id = n.tenant_id and c.vehicle_id = n.vehicle_id and c.hour + interval '1 hour' = n.hour
    where c.at_its_end
    union all
    select r.tenant_id, r.vehicle_id, r.hour, 0 from intermediate.int_redecode_hour as r
), touched as (
    select w.tenant_id, w.vehicle_id, w.hour, greatest(sum(w.frames), max(n.frames)) as frames
    from wanted as w
    left join intermediate.int_frame_count as n using (tenant_id, vehicle_id, hour)
    group by 1, 2, 3
)
insert into intermediate.int_vehicle_hour_touched
    (number, chunk, tenant_id, vehicle_id, hour, model, model_year, in_service_from)
select row_number() over (order by t.hour, t.tenant_id, t.vehicle_id) - 1, t.chunk,
    t.tenant_id, t.vehicle_id, t.hour, v.model, v.model_year, v.in_service_from
from (
    select *, (sum(frames) over (order by hour, tenant_id, vehicle_id) - 1)::bigint / %(chunk_frames)s as chunk
    from touched
) as t
left join source.vehicles as v on t.tenant_id = v.tenant_id and t.vehicle_id = v.vehicle_id
"""


def choose_hours(conn: Connection, run_id: UUID, *, goes_on: bool = False) -> list[int]:
    """Note which vehicle-hours the run decodes, with what is known of each vehicle; return their chunks.

    They are those of the claimed frames, the ones after where a frame came in the last `MARGIN` of an hour, and those
    that were asked to be decoded again. A fold that goes on from another chooses what that had chosen, too: it may
    have decoded them, and come no further.
    """
    if goes_on:
        conn.execute(
            "insert into intermediate.int_redecode_hour (tenant_id, vehicle_id, hour)"
            " select tenant_id, vehicle_id, hour from intermediate.int_vehicle_hour_touched on conflict do nothing"
        )
    conn.execute("truncate intermediate.int_vehicle_hour_touched")
    conn.execute(_CHOOSE, {"run_id": run_id, "margin": MARGIN, "chunk_frames": CHUNK_FRAMES})
    rows = conn.execute("select distinct chunk from intermediate.int_vehicle_hour_touched order by 1")
    return [chunk for (chunk,) in rows]


def forget_batches(conn: Connection) -> int:
    """Forget which hours batches hold frames of, once landing has none of their rows any more; return how many."""
    return conn.execute(
        "delete from intermediate.int_frame_batch as f using ops.batch as b"
        " where b.batch_id = f.batch_id and b.last_arrived_at < %s",
        (landing_keeps_since(conn, CAN_FRAME.name),),
    ).rowcount


def decoded_since(conn: Connection) -> Touched:
    """Return the vehicles whose hours this run has decoded, each with the first of them; also those decoded again."""
    rows = conn.execute(
        "select tenant_id, vehicle_id, min(hour) from intermediate.int_vehicle_hour_touched group by 1, 2"
    )
    return {Entity(tenant, vehicle): hour for tenant, vehicle, hour in rows}


def ask_again(settings: Settings, begin: datetime, end: datetime) -> int:
    """Have the next run decode every vehicle-hour from `begin` to `end` again; return how many there are."""
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        return conn.execute(
            "insert into intermediate.int_redecode_hour (tenant_id, vehicle_id, hour)"
            " select tenant_id, vehicle_id, hour from intermediate.int_frame_count where hour >= %s and hour < %s"
            " on conflict do nothing",
            (begin, end),
        ).rowcount


def chosen_hours(conn: Connection, chunk: int) -> list[VehicleHour]:
    """Return the vehicle-hours of a chunk in the order of their numbers, which go on from those of the last chunk."""
    rows = conn.execute(
        "select tenant_id, vehicle_id, hour, model, model_year, in_service_from"
        " from intermediate.int_vehicle_hour_touched where chunk = %s order by number",
        (chunk,),
    )
    return [VehicleHour(*row) for row in rows]


_READ = """
select
    h.number - (select min(t.number) from intermediate.int_vehicle_hour_touched as t where t.chunk = $1) as window,
    f.event_id, f.recorded_at, f.captured_at, f.channel, f.arbitration_id, f.is_extended, f.payload
from landing.can_frame as f
inner join intermediate.int_vehicle_hour_touched as h
    on f.tenant_id = h.tenant_id and f.vehicle_id = h.vehicle_id
    and f.captured_at >= h.hour - make_interval(secs => $2) and f.captured_at < h.hour + interval '1 hour'
where h.chunk = $1 and f.batch_id = any(array(
    select b.batch_id from intermediate.int_frame_batch as b
    where b.hour = any(array(
        select distinct t.hour - step.back from intermediate.int_vehicle_hour_touched as t
        cross join (values (interval '0'), (interval '1 hour')) as step (back) where t.chunk = $1
    ))
))
"""


def read_frames(settings: Settings, conn: Connection, chunk: int, hours: list[VehicleHour]) -> pa.Table:
    """Return every frame of the windows of a chunk as `WINDOW_FRAMES`, with repeats.

    The lake is asked for hours of which landing may have lost frames; it and landing may give the same frame.
    """
    with adbc.connect(settings.dsn("transformer")) as source, source.cursor() as cursor:
        cursor.execute(_READ, (chunk, MARGIN.total_seconds()))
        found = [cursor.fetch_arrow_table().cast(WINDOW_FRAMES)]
    floor = landing_has_all_since(conn, CAN_FRAME.name)
    old = [place for place, one in enumerate(hours) if one.hour - MARGIN < floor]
    if old:
        found += lake_frames(settings, hours, old)
    return pa.concat_tables(found)


def lake_frames(settings: Settings, hours: list[VehicleHour], places: list[int]) -> Iterator[pa.Table]:
    """Yield the frames of some windows that the lake has, as `WINDOW_FRAMES`; nothing where it has no such table."""
    lake = open_lake(settings, "ops")
    by_hour: dict[datetime, list[int]] = {}
    for place in places:
        by_hour.setdefault(hours[place].hour, []).append(place)
    for hour, some in by_hour.items():
        windows = pa.table(
            {
                "window": pa.array(some, pa.int32()),
                "tenant_id": [hours[place].tenant_id for place in some],
                "vehicle_id": [hours[place].vehicle_id for place in some],
            }
        )
        wanted = pc.field("vehicle_id").isin(windows["vehicle_id"].combine_chunks())
        columns = ["tenant_id", "vehicle_id", *WINDOW_FRAMES.names[1:]]
        batches = scan_rows(lake, CAN_FRAME.name, hour - MARGIN, hour + HOUR, columns=columns, where=wanted)
        for batch in batches:
            rows = pa.Table.from_batches([batch]).join(
                windows, ["tenant_id", "vehicle_id"], join_type="inner"
            )
            yield rows.select(WINDOW_FRAMES.names).cast(WINDOW_FRAMES)
