"""The step: claimed fixes, chunk by chunk, into the tables of schema intermediate."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from domain.tracks.table import Ints
from fleetflow.runtime import Connection
from fleetflow.vehicles.states import Snapshot, forget_older
from fleetflow.vehicles.touched import Entity, touch
from fleetflow.vehicles.tracks import timely
from fleetflow.vehicles.tracks.chunk import Chunk, make_chunk
from fleetflow.vehicles.tracks.codec import encode
from fleetflow.vehicles.tracks.follow import follow
from fleetflow.vehicles.tracks.loads import follow_loads
from fleetflow.vehicles.tracks.places import Places, read_places
from fleetflow.vehicles.tracks.plan import FOLD, Case, buckets, find_cases, late_groups
from fleetflow.vehicles.tracks.reading import open_reader
from fleetflow.vehicles.tracks.rows import make_rows
from fleetflow.vehicles.tracks.standing import Standing
from fleetflow.vehicles.tracks.writing import write

if TYPE_CHECKING:
    from fleetflow.vehicles.run import Work

# A fix is refused as outdated after 30 days, so hardly any goes back further.
KEEP_STATES = timely.OUTDATED + timedelta(days=5)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)

_UNTIMELY = f"""
with refused as (
    select e.tenant_id, e.vehicle_id, e.event_id, e.fixed_at, min(e.recorded_at) as recorded_at,
        case when {timely.condition(timely.TOO_LATE)} then 'future' else 'outdated' end as rule
    from landing.gps_location as e
    where e.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run_id)s))
        and ({timely.condition(timely.TOO_LATE)} or {timely.condition(timely.TOO_OLD)})
    group by e.tenant_id, e.vehicle_id, e.event_id, e.fixed_at, rule
), stored as (
    insert into intermediate.int_fix_untimely as u (tenant_id, vehicle_id, event_id, fixed_at, rule, recorded_at)
    select r.tenant_id, r.vehicle_id, r.event_id, r.fixed_at, r.rule, r.recorded_at from refused as r
    on conflict (tenant_id, vehicle_id, event_id, fixed_at, rule)
        do update set recorded_at = least(u.recorded_at, excluded.recorded_at)
    returning u.tenant_id, u.vehicle_id, u.recorded_at
)
select tenant_id, vehicle_id, min(recorded_at), count(*) from stored group by tenant_id, vehicle_id
"""


def fold_tracks(work: Work) -> Mapping[str, int]:
    """Follow the vehicles that the run's fixes are about; return what was counted. May be repeated.

    Raises:
        StateError: a kept state cannot be read.
    """
    counts: Counter[str] = Counter(refuse_untimely(work))
    cases = find_cases(work.conn, work.run_id, work.now)
    places: dict[str, Places] = {}
    done = 0
    for tenant, group, rows in _portions(work, cases):
        if tenant not in places:
            places[tenant] = read_places(work.conn, tenant)
            for words in places[tenant].refused:
                work.tell(f"tracks: {tenant}: {words}")
            counts["fences refused"] += len(places[tenant].refused)
        counts.update(fold_chunk(work.conn, make_chunk(tenant, group, rows, places[tenant])))
        done += len(group)
        work.tell(f"tracks: {done:,} of {len(cases):,} vehicles")
    counts["late vehicles"] += sum(case.is_late for case in cases)
    forget_older(work.conn, FOLD, work.now - KEEP_STATES)
    counts["changes of loads"] += follow_loads(work.conn, work.run_id)
    return counts


def refuse_untimely(work: Work) -> dict[str, int]:
    """Enter the claimed fixes of no believable time, once each."""
    values = {"run_id": work.run_id, **timely.limits(work.now)}
    found = work.conn.execute(_UNTIMELY.encode(), values).fetchall()
    if found:
        midnights = [at.replace(hour=0, minute=0, second=0, microsecond=0) for _, _, at, _ in found]
        vehicles = [Entity(tenant, vehicle) for tenant, vehicle, _, _ in found]
        touch(work.conn, "vehicle", dict(zip(vehicles, midnights, strict=True)))
    return {"untimely fixes": sum(count for *_, count in found)}


def fold_chunk(conn: Connection, chunk: Chunk) -> dict[str, int]:
    """Follow a chunk and write what it comes to; return what was counted."""
    states: list[tuple[Entity, Snapshot]] = []

    def keep(standing: Standing, vehicles: Ints) -> None:
        for code, state in zip(vehicles.tolist(), encode(standing, vehicles, chunk), strict=True):
            as_of = _FIRST + timedelta(microseconds=int(standing.as_of_us[code]))
            states.append((chunk.cases[code].entity, Snapshot(as_of, state)))

    followed = follow(chunk.standing, chunk.fixes, chunk.zones, chunk.fences, keep)
    rows = make_rows(chunk, followed)
    write(conn, chunk, rows, states)
    written = {f"rows of {name}": table.num_rows for name, table in rows.items()}
    return {"vehicles": len(chunk.cases), "fixes": len(chunk.fixes), **written}


def _portions(work: Work, cases: Sequence[Case]) -> Iterator[tuple[str, list[Case], pa.Table]]:
    """Give vehicles of one tenant with their fixes: first those that go on, then those that go back."""
    prompt, late = [case for case in cases if not case.is_late], [case for case in cases if case.is_late]
    with open_reader(work.settings, work.now) as reader:
        parts = buckets(prompt)
        for part in range(parts) if prompt else ():
            rows = reader.read_claimed(work.run_id, parts, part)
            found = _owners(rows)
            yield from _by_tenant([case for case in prompt if case.entity in found], rows)
        for group in late_groups(late, work.now):
            yield from _by_tenant(group, reader.read_history(work.conn, group))


def _by_tenant(cases: Sequence[Case], rows: pa.Table) -> Iterator[tuple[str, list[Case], pa.Table]]:
    tenants: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        tenants[case.entity.tenant_id].append(case)
    for tenant, mine in sorted(tenants.items()):
        alone = len(tenants) == 1 and pc.count_distinct(rows["tenant_id"]).as_py() == 1
        yield tenant, mine, rows if alone else rows.filter(pc.equal(rows["tenant_id"], tenant))


def _owners(rows: pa.Table) -> set[Entity]:
    pairs = rows.select(["tenant_id", "vehicle_id"]).group_by(["tenant_id", "vehicle_id"]).aggregate([])
    return set(map(Entity, pairs["tenant_id"].to_pylist(), pairs["vehicle_id"].to_pylist()))
