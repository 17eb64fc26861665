"""Verifies the audit of shipments, and reads one shipment's life from it.

Reads as operations: audit.shipment_status, audit.shipment_order, audit.source_batch, the heads of the
chains in `intermediate`, the store of events. Writes nothing. The hashes are computed here from the rows alone, so
a fault of the SQL that recorded them would show, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import groupby
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from domain.audit_chain import (
    ORDER_COLUMNS,
    STATUS_COLUMNS,
    Broken,
    Columns,
    Head,
    count_entries,
    first_broken,
)
from fleetflow.runtime import Connection

_FETCH = 5_000
Row = Mapping[str, Any]
Watch = Callable[[int], None]


@dataclass(frozen=True)
class Scope:
    """What to look at: a tenant, a shipment, chains that were added to since a day (UTC); else everything."""

    tenant: str | None = None
    shipment: str | None = None
    since: date | None = None

    def values(self) -> dict[str, Any]:
        """Return the parameters of the queries."""
        return asdict(self)


@dataclass(frozen=True)
class Chain:
    """One of the two logs: its table, where its heads are kept, and the columns that are hashed."""

    name: str
    log: sql.Identifier
    heads: sql.Identifier
    columns: Columns


STATUS = Chain(
    "status",
    sql.Identifier("audit", "shipment_status"),
    sql.Identifier("intermediate", "int_shipment_life"),
    STATUS_COLUMNS,
)
ORDER = Chain(
    "order",
    sql.Identifier("audit", "shipment_order"),
    sql.Identifier("intermediate", "int_shipment_order_head"),
    ORDER_COLUMNS,
)


@dataclass(frozen=True)
class Finding:
    """A row of the audit that is not as it was recorded: of which chain and shipment, which entry, and how."""

    chain: str
    tenant_id: str
    shipment_id: str
    entry: int | None
    finding: str
    detail: str

    def __str__(self) -> str:
        place = f"entry {self.entry}" if self.entry else "no entry"
        return f"{self.chain} {self.tenant_id}/{self.shipment_id} {place}: {self.finding}: {self.detail}"


@dataclass
class Verified:
    """What was looked at, and each shipment's first finding, by tenant and shipment."""

    chains: int = 0
    entries: int = 0
    findings: list[Finding] = field(default_factory=list)


_CHAINS = sql.SQL("""
{touched}
select coalesce(a.tenant_id, h.tenant_id) as tenant_id, coalesce(a.shipment_id, h.shipment_id) as shipment_id,
    {columns}, a.hash, a.believed_until, h.audit_entries, h.audit_hash
from (select l.* from {log} as l where {entries}) as a
full join (
    select k.tenant_id, k.shipment_id, k.audit_entries, k.audit_hash from {heads} as k
    where k.audit_entries > 0 and {kept}
) as h on a.tenant_id = h.tenant_id and a.shipment_id = h.shipment_id
order by 1, 2, a.entry
""")

# What the audit believes now has to be what the store of events holds: neither may say what the other does not.
_BESIDE_STORE = sql.SQL("""
{touched}
select coalesce(a.tenant_id, h.tenant_id) as tenant_id, coalesce(a.shipment_id, h.shipment_id) as shipment_id,
    min(a.entry) as entry, min(coalesce(a.event_id, h.event_id)) as event_id,
    bool_or(a.entry is null) as is_unrecorded, bool_or(h.event_id is null) as is_unknown
from (select l.* from {log} as l where l.believed_until is null and {entries}) as a
full join (select k.* from intermediate.int_shipment_status_history as k where {kept}) as h
    on a.tenant_id = h.tenant_id and a.shipment_id = h.shipment_id and a.event_id = h.event_id
where (
    a.position, a.previous_status, a.status, a.is_legal, a.occurred_at, a.recorded_at, a.sequence, a.reason_code,
    a.vehicle_id, a.lat, a.lon, a.origin
) is distinct from (
    h.position, h.previous_status, h.status, h.is_legal, h.occurred_at, h.recorded_at, h.sequence, h.reason_code,
    h.vehicle_id, h.lat, h.lon, h.origin
)
group by 1, 2
order by 1, 2
""")

# Both sides of a join are cut to these chains before they meet: what is asked of a day reads no other chain.
_TOUCHED = sql.SQL("""
with touched as materialized (
    select distinct n.tenant_id, n.shipment_id from {log} as n
    where n.believed_from >= %(since)s::date::timestamp at time zone 'UTC'
)
""")


def _scoped(query: sql.SQL, chain: Chain, scope: Scope, **parts: sql.Composable) -> sql.Composed:
    return query.format(
        touched=_TOUCHED.format(log=chain.log) if scope.since else sql.SQL(""),
        log=chain.log,
        entries=_within(scope, "l"),
        kept=_within(scope, "k"),
        **parts,
    )


def _within(scope: Scope, rows: str) -> sql.Composed:
    conditions = ["true"]
    if scope.tenant is not None:
        conditions.append("{rows}.tenant_id = %(tenant)s")
    if scope.shipment is not None:
        conditions.append("{rows}.shipment_id = %(shipment)s")
    if scope.since is not None:
        conditions.append(
            "({rows}.tenant_id, {rows}.shipment_id) in (select t.tenant_id, t.shipment_id from touched as t)"
        )
    return sql.SQL(" and ").join(
        sql.SQL(condition).format(rows=sql.Identifier(rows)) for condition in conditions
    )


def verify(conn: Connection, scope: Scope, watch: Watch = lambda entries: None) -> Verified:
    """Recompute the chains of the scope and hold them against their heads and the store of events.

    Reads in one snapshot, so a run that records meanwhile is not taken for a fault.
    """
    with conn.transaction():
        conn.execute("set transaction isolation level repeatable read, read only")
        return verify_within(conn, scope, watch)


def verify_within(conn: Connection, scope: Scope, watch: Watch = lambda entries: None) -> Verified:
    """Do as `verify`, in the caller's transaction and with what it sees."""
    found = Verified()
    for chain in (STATUS, ORDER):
        for (tenant, shipment), rows in _chains(conn, chain, scope):
            found.chains += 1
            found.entries += count_entries(rows)
            broken = _judge(rows, chain)
            if broken is not None:
                place = (broken.entry, broken.finding, broken.detail)
                found.findings.append(Finding(chain.name, tenant, shipment, *place))
            watch(found.entries)
    known = {(f.tenant_id, f.shipment_id) for f in found.findings if f.chain == STATUS.name}
    found.findings += [f for f in _beside_store(conn, scope) if (f.tenant_id, f.shipment_id) not in known]
    return found


def _judge(rows: Sequence[Row], chain: Chain) -> Broken | None:
    first = rows[0]
    head = None if first["audit_entries"] is None else Head(first["audit_entries"], first["audit_hash"])
    return first_broken([row for row in rows if row["entry"] is not None], head, chain.columns)


def _chains(conn: Connection, chain: Chain, scope: Scope) -> Iterator[tuple[tuple[str, str], list[Row]]]:
    names = [name for name, _ in chain.columns if name not in ("tenant_id", "shipment_id")]
    query = _scoped(
        _CHAINS,
        chain,
        scope,
        columns=sql.SQL(", ").join(sql.Identifier("a", name) for name in names),
        heads=chain.heads,
    )
    with conn.cursor(f"audit_{chain.name}", row_factory=dict_row) as cursor:
        cursor.itersize = _FETCH
        cursor.execute(query, scope.values())
        for key, rows in groupby(cursor, key=lambda row: (row["tenant_id"], row["shipment_id"])):
            yield key, list(rows)


def _beside_store(conn: Connection, scope: Scope) -> Iterator[Finding]:
    for tenant, shipment, entry, event, is_unrecorded, is_unknown in conn.execute(
        _scoped(_BESIDE_STORE, STATUS, scope), scope.values()
    ):
        if is_unrecorded:
            detail = f"event {event} is stored and not in the audit (transform --full-refresh records it)"
        elif is_unknown:
            detail = f"event {event} is in the audit and not in the store of events"
        else:
            detail = f"event {event} is not what the store of events holds"
        yield Finding(STATUS.name, tenant, shipment, entry, "store", detail)


_LIFE = """
select 'status' as chain, s.entry, s.believed_from, s.believed_until, s.version, s.supersedes, s.event_id, s.position,
    s.previous_status, s.status, s.is_legal, s.occurred_at, s.recorded_at, s.reason_code, s.vehicle_id, s.origin,
    s.source,
    s.batch_id, s.object_key, s.line, s.partner, s.file_name, null as lsn, null as promised_at, s.run_id::text, s.hash
from marts.fct_shipment_status_history as s where s.shipment_id = %(shipment)s and s.tenant_id = %(tenant)s
union all
select 'order', o.entry, o.believed_from, o.believed_until, o.entry, nullif(o.entry - 1, 0), null, null,
    null, o.change, null, o.committed_at, o.committed_at, null, null, 'order_system', 'cdc',
    o.batch_id, null, null, null, null, o.lsn, o.promised_at, o.run_id::text, o.hash
from marts.fct_shipment_order_history as o where o.shipment_id = %(shipment)s and o.tenant_id = %(tenant)s
order by believed_from, chain, entry
"""


def tenants_of(conn: Connection, shipment: str) -> list[str]:
    """Return the tenants that have a shipment of this name."""
    rows = conn.execute(
        "select distinct tenant_id from marts.fct_shipment where shipment_id = %s order by 1", (shipment,)
    )
    return [tenant for (tenant,) in rows]


def read_life(conn: Connection, tenant: str, shipment: str) -> list[dict[str, Any]]:
    """Return everything that was ever believed of a shipment, in the order of recording, with its sources."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_LIFE, {"tenant": tenant, "shipment": shipment}).fetchall()
