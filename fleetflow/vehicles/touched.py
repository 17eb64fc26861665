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


def known_touched(conn: Connection, kind: Kind) -> Touched:
    """Return whom the steps up to now have told the models of, in this run or in the failed one before it."""
    table, key = sql.Identifier(f"int_{kind}_touched"), sql.Identifier(f"{kind}_id")
    query = sql.SQL("select tenant_id, {key}, since from intermediate.{table}").format(key=key, table=table)
    return {Entity(tenant, entity): since for tenant, entity, since in conn.execute(query)}


def forget_touched(conn: Connection) -> None:
    """Begin a run: nothing is touched yet, but for what the run before it has, unless that came to its end.

    A step that is repeated may find nothing changed where it has written already; the marts have yet to be told.
    """
    before = conn.execute(
        "select state from ops.transform_run where pipeline = 'vehicles' and state <> 'claimed'"
        " order by started_at desc limit 1"
    ).fetchone()
    if before is not None and before[0] != "done":
        return
    conn.execute("truncate intermediate.int_vehicle_touched, intermediate.int_driver_touched")


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
