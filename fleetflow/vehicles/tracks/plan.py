"""Which vehicles a run follows, from which kept state, and what has to be read of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from fleetflow.runtime import Connection
from fleetflow.vehicles.states import Snapshot, restore
from fleetflow.vehicles.touched import Entity
from fleetflow.vehicles.tracks import timely
from fleetflow.vehicles.tracks.codec import VERSION

FOLD = "tracks"
# A chunk's fixes stand in memory at once: some 300 bytes each, at the peak.
CHUNK_FIXES = 1_000_000
_FIXES_A_DAY = 8_640


class Case(NamedTuple):
    """A vehicle to follow: its earliest new fix, its new fixes, and the state to go on from, if there is one.

    `is_late`: the state is not its newest, so that its history since has to be read again.
    """

    entity: Entity
    since: datetime
    fixes: int
    snapshot: Snapshot | None
    is_late: bool


_TOUCHED = f"""
select e.tenant_id, e.vehicle_id, min(e.fixed_at), count(*) from landing.gps_location as e
where e.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run_id)s))
    and not {timely.condition(timely.TOO_LATE)} and not {timely.condition(timely.TOO_OLD)}
group by e.tenant_id, e.vehicle_id
"""

_HEADS = """
select t.tenant_id, t.entity_id,
    (select max(f.as_of) from intermediate.fold_state as f
        where f.fold = %s and f.tenant_id = t.tenant_id and f.entity_id = t.entity_id)
from unnest(%s::text[], %s::text[]) as t (tenant_id, entity_id)
"""


def find_cases(conn: Connection, run_id: UUID, now: datetime) -> list[Case]:
    """Return the vehicles that a run's claimed fixes are about, those of no believable time left out."""
    values = {"run_id": run_id, **timely.limits(now)}
    touched = {
        Entity(tenant, vehicle): (since, fixes)
        for tenant, vehicle, since, fixes in conn.execute(_TOUCHED.encode(), values)
    }
    if not touched:
        return []
    snapshots = restore(conn, FOLD, VERSION, {entity: since for entity, (since, _) in touched.items()})
    names = [entity.tenant_id for entity in touched], [entity.entity_id for entity in touched]
    heads = {Entity(tenant, one): head for tenant, one, head in conn.execute(_HEADS, (FOLD, *names))}
    cases = []
    for entity, (since, fixes) in touched.items():
        snapshot, head = snapshots.get(entity), heads[entity]
        # A vehicle that no version ever followed has nothing but what is new.
        is_late = head is not None and (snapshot is None or snapshot.as_of < head)
        cases.append(Case(entity, since, fixes, snapshot, is_late))
    return cases


def buckets(cases: Sequence[Case]) -> int:
    """Return into how many parts the claimed fixes are read."""
    return max(1, -(-sum(case.fixes for case in cases) // CHUNK_FIXES))


def late_groups(cases: Sequence[Case], now: datetime) -> Iterator[list[Case]]:
    """Group late vehicles by how far they go back; each group is one look into history."""
    oldest = datetime.min.replace(tzinfo=now.tzinfo)
    group: list[Case] = []
    weight = 0
    for case in sorted(
        cases, key=lambda case: case.snapshot.as_of if case.snapshot else oldest, reverse=True
    ):
        back = now - case.snapshot.as_of if case.snapshot else timedelta(days=7)
        group.append(case)
        weight += case.fixes + int(max(back / timedelta(days=1), 0.0) * _FIXES_A_DAY)
        if weight >= CHUNK_FIXES:
            yield group
            group, weight = [], 0
    if group:
        yield group
