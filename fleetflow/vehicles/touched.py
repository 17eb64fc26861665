"""Which vehicles and drivers a run's batches are about, and since when: what the steps fold and the models rebuild."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from psycopg import sql

from domain.contracts.model import Feed
from fleetflow.runtime import Connection

Kind = Literal["vehicle", "driver"]


class Entity(NamedTuple):
    """A vehicle or a driver of a tenant."""

    tenant_id: str
    entity_id: str


Touched = Mapping[Entity, datetime]


def find_touched(conn: Connection, run_id: UUID, feed: Feed, entity_key: str | None = None) -> Touched:
    """Return the entities that a run's rows of a feed are about, each with the earliest time of its events.

    `entity_key`: the column that names the entity, if it is not the feed's own; rows without it are passed over.
    """
    key, at = sql.Identifier(entity_key or feed.entity_key), sql.Identifier(feed.event_time)
    query = sql.SQL(
        "select tenant_id, {key}, min({at}) from landing.{feed}"
        " where batch_id = any(array(select batch_id from ops.pending_batch where run_id = %s)) and {key} is not null"
        " group by tenant_id, {key}"
    ).format(key=key, at=at, feed=sql.Identifier(feed.name))
    return {Entity(tenant, entity): since for tenant, entity, since in conn.execute(query, (run_id,))}


def touch(conn: Connection, kind: Kind, touched: Touched) -> None:
    """Have the models rebuild these entities' rows from these times on, or from earlier, if told so before."""
    table, key = sql.Identifier(f"int_{kind}_touched"), sql.Identifier(f"{kind}_id")
    statement = sql.SQL(
        "insert into intermediate.{table} as known (tenant_id, {key}, since)"
        " select * from unnest(%s::text[], %s::text[], %s::timestamptz[])"
        " on conflict (tenant_id, {key}) do update set since = least(known.since, excluded.since)"
    ).format(table=table, key=key)
    entities = list(touched)
    tenants, ids = [one.tenant_id for one in entities], [one.entity_id for one in entities]
    conn.execute(statement, (tenants, ids, [touched[one] for one in entities]))


def begin_fold(conn: Connection, run_id: UUID) -> bool:
    """Forget what was touched, unless by a fold whose run is not done: then say that this one goes on from it.

    That may have been this run: a step that is repeated may find nothing changed where it has written already, and the
    marts have yet to be told.
    """
    with conn.transaction():
        (goes_on,) = conn.execute(
            "select exists (select from intermediate.last_fold join ops.transform_run using (run_id)"
            " where state <> 'done')"
        ).fetchall()[0]
        if not goes_on:
            conn.execute("truncate intermediate.int_vehicle_touched, intermediate.int_driver_touched")
        conn.execute(
            "insert into intermediate.last_fold (run_id) values (%s)"
            " on conflict (one) do update set run_id = excluded.run_id",
            (run_id,),
        )
    return bool(goes_on)


def name_drivers(conn: Connection, drivers: Iterable[Entity]) -> None:
    """Make the pseudonyms of drivers who have none yet."""
    known = sorted(set(drivers))
    conn.execute(
        "insert into intermediate.int_driver_pseudonym (tenant_id, driver_id, driver_key)"
        " select d.tenant_id, d.driver_id, ops.pseudonym(d.tenant_id, d.driver_id)"
        " from unnest(%s::text[], %s::text[]) as d (tenant_id, driver_id)"
        " where not exists (select from intermediate.int_driver_pseudonym as p"
        "  where p.tenant_id = d.tenant_id and p.driver_id = d.driver_id)"
        " on conflict do nothing",
        ([one.tenant_id for one in known], [one.entity_id for one in known]),
    )
