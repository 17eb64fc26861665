"""Whether every event that is transformed stands in the marts.

An event is looked up by its key, a shipment's events are counted once more from the store: an entity whose mart says
another number than its events is stale. Looked at again after the run that may just be writing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from quality.reconcile.ledger import SHOWN, values
from quality.reconcile.model import Cause, Connection, Counted, Difference, Mend, Window


@dataclass(frozen=True)
class Store:
    """Where a feed's events are kept beyond landing, and by which key."""

    table: tuple[str, str]
    key: tuple[str, ...]


STORES: Mapping[str, Store] = {
    "shipment_event": Store(
        ("intermediate", "int_shipment_status_history"), ("tenant_id", "shipment_id", "event_id")
    ),
    "driver_assignment_event": Store(
        ("intermediate", "int_shipment_assignment"), ("tenant_id", "shipment_id", "event_id")
    ),
}


def count_marts(conn: Connection, counted: Counted) -> None:
    """Look up every transformed event of the window in its store, and count the shipments' events once more."""
    window = counted.window
    store = STORES.get(window.feed)
    if store is None:
        return
    if not _is_built(conn, store):
        if counted.counts.get("shipments_rows"):
            counted.differences.append(
                Difference(
                    "marts", Cause.NOT_COUNTED, f"{'.'.join(store.table)} is not there; no model is built"
                )
            )
        return
    if counted.counts.get("landing_rows_dropped"):
        counted.counts["marts_rows"] = (
            None  # the events are looked up by landing's rows, and these are past keeping
        )
        return
    bounds = conn.execute(_BOUNDS, values(window)).fetchone()
    assert bounds is not None
    if bounds[0] is None:
        counted.counts["marts_rows"] = 0
        return
    row = conn.execute(_events_statement(window, store, bounds), values(window)).fetchone()
    assert row is not None
    distinct, missing, batches = row
    counted.counts["marts_rows"] = distinct - missing
    for batch_id, number in sorted((batches or {}).items(), key=lambda item: int(item[0]))[:SHOWN]:
        words = f"batch {batch_id}: {number} events are marked as transformed and are not in {store.table[1]}"
        counted.differences.append(
            Difference("marts", Cause.MISSING, words, number, Mend.REFOLD, int(batch_id), "shipments")
        )
    if window.feed == "shipment_event":
        _count_stale(conn, counted, bounds)


_TRANSFORMED = (
    " from ops.batch as b join ops.transformed_batch as t on t.batch_id = b.batch_id and t.pipeline = 'shipments'"
    " where b.feed = %(feed)s and b.source <> 'cdc' and b.accepted > 0"
    " and b.first_arrived_at >= %(start)s and b.first_arrived_at < %(end)s"
)
_BOUNDS = (
    "select min(b.batch_id), max(b.batch_id), min(b.first_arrived_at), max(b.last_arrived_at)" + _TRANSFORMED
)


def _is_built(conn: Connection, store: Store) -> bool:
    row = conn.execute("select to_regclass(%s) is not null", (".".join(store.table),)).fetchone()
    return bool(row and row[0])


def _landed(window: Window, bounds: tuple[Any, ...], columns: sql.Composable) -> sql.Composed:
    first, last, from_at, to_at = (sql.Literal(value) for value in bounds)
    return sql.SQL(
        "select {columns} from {table} as l where l.batch_id between {first} and {last}"
        " and l.arrived_at between {from_at}::timestamptz and {to_at}::timestamptz"
        " and l.batch_id in (select b.batch_id {transformed})"
    ).format(
        columns=columns,
        table=sql.Identifier("landing", window.feed),
        first=first,
        last=last,
        from_at=from_at,
        to_at=to_at,
        transformed=sql.SQL(_TRANSFORMED),
    )


def _events_statement(window: Window, store: Store, bounds: tuple[Any, ...]) -> sql.Composed:
    keys = sql.SQL(", ").join(sql.Identifier("l", name) for name in store.key)
    same = sql.SQL(" and ").join(sql.SQL("s.{0} = e.{0}").format(sql.Identifier(name)) for name in store.key)
    landed = _landed(window, bounds, sql.SQL("{}, min(l.batch_id) as batch_id").format(keys))
    return sql.SQL(
        "with events as (select {names}, batch_id from ({landed} group by {keys}) as l),"
        " missing as (select e.batch_id, count(*) as rows from events as e"
        "  where not exists (select from {store} as s where {same}) group by 1)"
        " select (select count(*) from events), coalesce(sum(rows), 0)::bigint,"
        " jsonb_object_agg(batch_id, rows) from missing"
    ).format(
        names=sql.SQL(", ").join(map(sql.Identifier, store.key)),
        landed=landed,
        keys=keys,
        store=sql.Identifier(*store.table),
        same=same,
    )


def _count_stale(conn: Connection, counted: Counted, bounds: tuple[Any, ...]) -> None:
    """Find the shipments whose life or mart does not say as many events as the store holds of them."""
    window = counted.window
    landed = _landed(window, bounds, sql.SQL("l.tenant_id, l.shipment_id, max(l.batch_id) as batch_id"))
    statement = sql.SQL(
        "with touched as ({landed} group by l.tenant_id, l.shipment_id)"
        " select t.batch_id, count(*), min(t.shipment_id) from touched as t"
        " left join intermediate.int_shipment_life as l using (tenant_id, shipment_id)"
        " left join marts.fct_shipment as f using (tenant_id, shipment_id)"
        " cross join lateral (select count(*) as events from intermediate.int_shipment_status_history as h"
        "  where h.tenant_id = t.tenant_id and h.shipment_id = t.shipment_id) as c"
        " where l.events is distinct from c.events or f.events is distinct from c.events"
        "  or coalesce(l.status, f.status) is distinct from f.status and f.status is distinct from 'cancelled'"
        " group by t.batch_id order by t.batch_id"
    ).format(landed=landed)
    for batch_id, number, example in conn.execute(statement, values(window)).fetchall():
        words = f"{number} shipments of batch {batch_id} are stale in the marts, for example {example}"
        counted.differences.append(
            Difference("marts", Cause.STALE, words, number, Mend.REFOLD, batch_id, "shipments")
        )
