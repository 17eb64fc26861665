"""Where the folds of vehicles and drivers stood: states to go on from, and to go back to when an event comes late.

A state at `as_of` holds every event before that time and none at or after it. So it is good for an entity whose
earliest new event is not before it. `version` is that of the fold's code: states of another version are passed over,
and the entity is folded from its first event.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from fleetflow.runtime import Connection
from fleetflow.vehicles.touched import Entity, Touched


class Snapshot(NamedTuple):
    """A state and the time that it stands at."""

    as_of: datetime
    state: bytes


def restore(conn: Connection, fold: str, version: int, touched: Touched) -> dict[Entity, Snapshot]:
    """Return each entity's newest state from before its earliest new event; none for those that have none."""
    entities = list(touched)
    rows = conn.execute(
        "select t.tenant_id, t.entity_id, s.as_of, s.state"
        " from unnest(%s::text[], %s::text[], %s::timestamptz[]) as t (tenant_id, entity_id, since)"
        " cross join lateral (select f.as_of, f.state from intermediate.fold_state as f"
        "  where f.fold = %s and f.tenant_id = t.tenant_id and f.entity_id = t.entity_id and f.version = %s"
        "  and f.as_of <= t.since order by f.as_of desc limit 1) as s",
        (*_columns(entities), [touched[one] for one in entities], fold, version),
    )
    return {Entity(tenant, entity): Snapshot(as_of, state) for tenant, entity, as_of, state in rows}


def keep(
    conn: Connection, fold: str, version: int, since: Touched, states: Sequence[tuple[Entity, Snapshot]]
) -> None:
    """Keep new states; those of the same entities that stand after `since` are wrong now, and go."""
    entities = list(since)
    conn.execute(
        "delete from intermediate.fold_state as f"
        " using unnest(%s::text[], %s::text[], %s::timestamptz[]) as t (tenant_id, entity_id, since)"
        " where f.fold = %s and f.tenant_id = t.tenant_id and f.entity_id = t.entity_id and f.as_of > t.since",
        (*_columns(entities), [since[one] for one in entities], fold),
    )
    columns = _columns([entity for entity, _ in states])
    at, content = [one.as_of for _, one in states], [one.state for _, one in states]
    conn.execute(
        "insert into intermediate.fold_state (fold, tenant_id, entity_id, as_of, version, state)"
        " select %s, n.tenant_id, n.entity_id, n.as_of, %s, n.state"
        " from unnest(%s::text[], %s::text[], %s::timestamptz[], %s::bytea[]) as n (tenant_id, entity_id, as_of, state)"
        " on conflict (fold, tenant_id, entity_id, as_of) do update"
        " set version = excluded.version, state = excluded.state",
        (fold, version, *columns, at, content),
    )


def forget_older(conn: Connection, fold: str, before: datetime) -> int:
    """Drop states from before a time, but for each entity's newest of them; return how many went."""
    return conn.execute(
        "delete from intermediate.fold_state as f where f.fold = %s and f.as_of < %s and exists ("
        " select from intermediate.fold_state as n where n.fold = f.fold and n.tenant_id = f.tenant_id"
        " and n.entity_id = f.entity_id and n.as_of > f.as_of and n.as_of <= %s)",
        (fold, before, before),
    ).rowcount


def _columns(entities: Sequence[Entity]) -> tuple[list[str], list[str]]:
    return [one.tenant_id for one in entities], [one.entity_id for one in entities]
