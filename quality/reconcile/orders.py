"""The order database against its mirror, and the mirror against the marts: counts and sums, tenant by tenant.

The order database is counted at one snapshot of its own, the mirror after it has applied everything committed before
that. What was committed later is in the mirror and not in the count: these rows are known by their LSN, left out on
both sides, and said. Marts lag the mirror by what waits in the ledger: those rows are left out and said too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import sql

from quality.reconcile.ledger import SHOWN
from quality.reconcile.model import Cause, Connection, CouldNotCount, Counted, Difference, Mend, Note, Window

ENTITY_KEYS = {
    "sites": "site_id",
    "drivers": "driver_id",
    "vehicles": "vehicle_id",
    "shipments": "shipment_id",
    "driver_assignments": "assignment_id",
}
_ROWS = ("rows", "count(*)")
_MEASURES: Mapping[str, Sequence[tuple[str, str]]] = {
    "shipments": (
        _ROWS,
        ("cancelled", "count(*) filter (where cancelled_at is not null)"),
        ("sum of promised", "coalesce(sum(extract(epoch from promised_at)), 0)"),
        ("value", "coalesce(sum(declared_value_minor), 0)"),
        ("pieces", "coalesce(sum(pieces), 0)"),
    ),
}
"""What is counted and summed of an entity in each tenant and status, promises in seconds since 1970."""
MOST_CHANGED = 500_000
"""So many keys may change while an entity is counted; of more it cannot be told apart what is missing."""

Sums = dict[tuple[str, ...], tuple[Any, ...]]


@dataclass(frozen=True)
class OrdersCount:
    """One entity in the order database: sums by tenant and status, as of a moment before which all is counted."""

    entity: str
    lsn: str
    sums: Sums


def read_lsn(orders: Connection) -> str:
    """Return how far the order database's log is on disk.

    Asked before the snapshot that is counted it bounds what the snapshot surely holds, asked after it what it may hold.
    """
    row = orders.execute("select pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return str(row[0])


def count_orders(orders: Connection, entity: str, lsn: str, without: Sequence[str] = ()) -> OrdersCount:
    """Count an entity in the order database, but for some keys."""
    query = _sums(entity, sql.Identifier(entity), sql.SQL("true"))
    return OrdersCount(entity, lsn, _read(orders, query, without))


def changed_since(warehouse: Connection, entity: str, lsn: str) -> list[str]:
    """Return the keys that the mirror has changed since a moment of the order database's log.

    Raises:
        CouldNotCount: more have changed than can be left out.
    """
    key = sql.Identifier(ENTITY_KEYS[entity])
    rows = warehouse.execute(
        sql.SQL(
            "select distinct {key}, _op = 't' from {table} where _lsn > %s::pg_lsn and batch_id >= ("
            " select min(b.batch_id) from ops.batch as b"
            " where b.source = 'cdc' and b.landed_at > now() - interval '6 hours') limit {limit}"
        ).format(
            key=key,
            table=sql.Identifier("source", f"{entity}_history"),
            limit=sql.Literal(MOST_CHANGED + 1),
        ),
        (lsn,),
    ).fetchall()
    if len(rows) > MOST_CHANGED:
        raise CouldNotCount(
            f"more than {MOST_CHANGED:,} {entity} changed while they were counted; count again"
        )
    if any(emptied for _, emptied in rows):
        raise CouldNotCount(f"the order system emptied {entity} while they were counted; count again")
    return list({key for key, _ in rows})


def compare_mirror(
    warehouse: Connection, counted: Counted, orders: OrdersCount, without: Sequence[str]
) -> None:
    """Hold the mirror against the order database's count."""
    entity = orders.entity
    query = _sums(entity, sql.Identifier("source", entity), sql.SQL("not _deleted"))
    mirror = _read(warehouse, query, without)
    counted.counts[f"{entity}_ordered"] = sum(int(row[0]) for row in orders.sums.values())
    counted.counts[f"{entity}_mirrored"] = sum(int(row[0]) for row in mirror.values())
    names = [name for name, _ in _MEASURES.get(entity, (_ROWS,))]
    for group in sorted({*orders.sums, *mirror}):
        said, found = orders.sums.get(group), mirror.get(group)
        if said != found:
            words = (
                f"{entity} of {' '.join(group).strip()}: the order database says {_plain(names, said)},"
                f" the mirror {_plain(names, found)}"
            )
            count = abs(int((said or (0,))[0]) - int((found or (0,))[0])) or 1
            counted.differences.append(Difference("order database", Cause.MISSING, words, count))
    if without:
        words = f"{entity} changed while they were counted: left out on both sides"
        counted.notes.append(Note(Cause.IN_FLIGHT, words, len(without)))


def _sums(entity: str, table: sql.Composable, condition: sql.Composable) -> sql.Composed:
    status = sql.SQL("status" if entity in ("shipments", "drivers", "vehicles") else "''")
    return sql.SQL(
        "select tenant_id, coalesce({status}, '') as status, {measures} from {table}"
        " where {condition} and {key} <> all(%s) group by 1, 2"
    ).format(
        status=status,
        measures=sql.SQL(", ".join(measure for _, measure in _MEASURES.get(entity, (_ROWS,)))),
        table=table,
        condition=condition,
        key=sql.Identifier(ENTITY_KEYS[entity]),
    )


def _read(conn: Connection, query: sql.Composed, without: Sequence[str]) -> Sums:
    return {(row[0], row[1]): tuple(row[2:]) for row in conn.execute(query, (list(without),)).fetchall()}


def _plain(names: Sequence[str], values: tuple[Any, ...] | None) -> str:
    if values is None:
        return "nothing"
    return ", ".join(f"{float(value):,.0f} {name}" for name, value in zip(names, values, strict=True))


def compare_marts(warehouse: Connection, counted: Counted) -> None:
    """Hold `fct_shipment` against the mirror: per tenant, shipments, promises, cancellations, what is delivered."""
    row = warehouse.execute("select to_regclass('marts.fct_shipment') is not null").fetchone()
    if not row or not row[0]:
        counted.differences.append(Difference("marts", Cause.NOT_COUNTED, "marts.fct_shipment is not built"))
        return
    waiting = _count_waiting(warehouse)
    mirror = _keyed(warehouse, _MIRROR)
    marts = _keyed(warehouse, _MARTS)
    counted.counts["shipments_in_marts"] = sum(int(values[0]) for values in marts.values())
    names = ("rows", "sum of promised")
    for tenant in sorted({*mirror, *marts}):
        if mirror.get(tenant) != marts.get(tenant):
            words = (
                f"shipments of {tenant}: the mirror says {_plain(names, mirror.get(tenant))},"
                f" the marts {_plain(names, marts.get(tenant))}"
            )
            counted.differences.append(Difference("marts", Cause.STALE, words))
    if waiting:
        words = "shipments in batches that wait for a run: left out on both sides"
        counted.notes.append(Note(Cause.IN_FLIGHT, words, waiting))
    _stale_orders(warehouse, counted)
    _delivered(warehouse, counted)


# Marts keep three years; what is near that limit may be gone from them and not from the mirror.
_KEPT = "now() - interval '1065 days'"
# Shipments whose changes or events no run has taken to its end: left out on both sides, however many.
_WAITING = (
    "with waiting as materialized (select h.shipment_id from source.shipments_history as h"
    "  where h.shipment_id is not null and h.batch_id in ("
    "  select p.batch_id from ops.pending_batch as p join ops.batch as b using (batch_id)"
    "  where p.pipeline = 'shipments' and b.feed = 'shipments')"
    " union select e.shipment_id from landing.shipment_event as e where e.batch_id in ("
    "  select p.batch_id from ops.pending_batch as p join ops.batch as b using (batch_id)"
    "  where p.pipeline = 'shipments' and b.feed = 'shipment_event')) "
)
_MIRROR = (
    f"{_WAITING}select s.tenant_id, count(*), coalesce(sum(extract(epoch from s.promised_at)), 0)::numeric"
    " from source.shipments as s where not s._deleted and s.shipment_id not in (select shipment_id from waiting)"
    f" and s.promised_at >= {_KEPT} group by 1"
)
_MARTS = (
    f"{_WAITING}select f.tenant_id, count(*), coalesce(sum(extract(epoch from f.promised_at)), 0)::numeric"
    " from marts.fct_shipment as f"
    " where f.in_order_system and f.shipment_id not in (select shipment_id from waiting)"
    f" and f.promised_at >= {_KEPT} group by 1"
)


def _keyed(conn: Connection, query: str) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in conn.execute(query.encode()).fetchall()}


def _count_waiting(conn: Connection) -> int:
    """Count what waits.

    Raises:
        CouldNotCount: the order system emptied its table, and no run has taken that to its end: all of it waits.
    """
    row = conn.execute(
        f"{_WAITING}select (select count(*) from waiting), exists (select from source.shipments_history as h"
        " join ops.pending_batch as p on p.batch_id = h.batch_id and p.pipeline = 'shipments'"
        " where h._op = 't')".encode()
    ).fetchone()
    assert row is not None
    if row[1]:
        raise CouldNotCount("the order system emptied shipments, and no run has taken that to the marts yet")
    return int(row[0])


def _stale_orders(conn: Connection, counted: Counted) -> None:
    """Name the batches of shipments whose mart does not say what the mirror says; they can be made anew."""
    rows = conn.execute(
        f"{_WAITING}select s.batch_id, count(*), min(s.shipment_id) from source.shipments as s"
        " left join marts.fct_shipment as f using (tenant_id, shipment_id)"
        f" where s.shipment_id not in (select shipment_id from waiting) and s.promised_at >= {_KEPT}"
        " and (f.in_order_system is distinct from not s._deleted"
        "  and not (s._deleted and f.shipment_id is null) or not s._deleted and"
        "  (f.promised_at is distinct from s.promised_at or f.carrier_id is distinct from s.carrier_id"
        "   or f.service_level is distinct from s.service_level))"
        " group by 1 order by 1".encode()
    ).fetchall()
    for batch_id, number, example in rows[:SHOWN]:
        words = f"{number} shipments of CDC batch {batch_id} are stale in the marts, for example {example}"
        counted.differences.append(
            Difference("marts", Cause.STALE, words, number, Mend.REFOLD, batch_id, "shipments")
        )


def _delivered(conn: Connection, counted: Counted) -> None:
    """Explain each shipment that the order system says is delivered and the marts do not.

    Its event may have been refused by its contract in the last week, or may break the lifecycle; else it never came.
    """
    row = conn.execute(
        f"{_WAITING}, odd as (select s.tenant_id, s.shipment_id from source.shipments as s"
        "  left join marts.fct_shipment as f using (tenant_id, shipment_id)"
        "  where not s._deleted and s.status = 'delivered' and f.status is distinct from 'delivered'"
        f" and s.promised_at >= {_KEPT}"
        "  and s.shipment_id not in (select shipment_id from waiting)),"
        ' refused as (select distinct substring(encode(r.raw, \'escape\') from \'"shipment_id": ?"([^"]+)"\') as id'
        "  from ops.rejected as r where r.feed = 'shipment_event' and r.state = 'open'"
        "  and r.rejected_at > now() - interval '7 days'),"
        " judged as (select o.shipment_id, case"
        "  when exists (select from intermediate.int_shipment_status_history as h where h.tenant_id = o.tenant_id"
        "   and h.shipment_id = o.shipment_id and h.status = 'delivered') then 'held'"
        "  when exists (select from refused as r where r.id = o.shipment_id) then 'rejected'"
        "  else 'missing' end as cause"
        "  from odd as o)"
        " select count(*) filter (where cause = 'held'), count(*) filter (where cause = 'rejected'),"
        " count(*) filter (where cause = 'missing'), min(shipment_id) filter (where cause = 'missing')"
        " from judged".encode()
    ).fetchone()
    assert row is not None
    held, rejected, missing, example = row
    if held:
        words = "shipments delivered by the order system whose event the lifecycle does not allow"
        counted.notes.append(Note(Cause.HELD, words, held))
    if rejected:
        words = "shipments delivered by the order system of which an event was refused"
        counted.notes.append(Note(Cause.REJECTED, words, rejected))
    counted.counts["delivered_without_event"] = missing
    if missing:
        words = f"shipments delivered by the order system whose event never came, for example {example}"
        counted.notes.append(Note(Cause.MISSING, words, missing))


def orders_window(day_start: datetime, day_end: datetime) -> Window:
    """Return the window under which a night's look at the order database is kept."""
    return Window("order_database", "day", day_start, day_end)
