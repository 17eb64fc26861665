"""Retention of the marts: shipments that ended before the limit, with everything kept about them, in bounded chunks.

Their audit goes with them, and then the batches that no entry of the audit cites any more.
"""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from fleetflow.retention import Action, Task
from fleetflow.runtime import Connection, connect

CHUNK = 5_000
FEED = "shipment_event"
_BY_SHIPMENT = (
    ("marts", "fct_delivery_exception"),
    ("intermediate", "int_shipment_assignment"),
    ("intermediate", "int_shipment_status_history"),
    ("intermediate", "int_shipment_life"),
    ("intermediate", "int_shipment_order_head"),
    ("marts", "fct_shipment"),
)
_BY_DAY = ("fct_on_time_daily", "fct_on_time_daily_history")

# The end of a shipment is the last thing known of it, its promise included; `greatest` skips what is null.
_ENDED = """
insert into ended
select
    s.tenant_id, s.shipment_id,
    (
        select min(h.hold_id) from ops.legal_hold as h
        where h.released_at is null and (h.tenant_id is null or h.tenant_id = s.tenant_id)
            and (h.feed is null or h.feed in ('shipment_event', 'driver_assignment_event'))
            and coalesce(h.from_at, '-infinity') <= s.ended_at
            and coalesce(h.to_at, 'infinity') > coalesce(s.first_event_at, s.created_at, s.ended_at)
    ) as hold_id
from (
    select
        f.tenant_id, f.shipment_id, f.first_event_at, f.created_at,
        greatest(f.last_event_at, f.status_at, f.delivered_at, f.promised_at, f.created_at) as ended_at
    from marts.fct_shipment as f
) as s
where s.ended_at < %(before)s
"""
_DAYS = """
delete from marts.{table} as d
where d.promised_date < %(before)s::timestamptz at time zone 'UTC' and not exists (
    select from ops.legal_hold as h
    where h.released_at is null and h.feed is null and (h.tenant_id is null or h.tenant_id = d.tenant_id)
        and coalesce(h.from_at, '-infinity') < (d.promised_date + 1)::timestamp at time zone 'UTC'
        and coalesce(h.to_at, 'infinity') > d.promised_date::timestamp at time zone 'UTC'
)
"""


def drop_shipments(task: Task) -> Iterator[Action]:
    """Delete ended shipments chunk by chunk; a chunk goes with its entry in the ledger, or stays."""
    before = task.before("marts")
    with connect(task.settings.dsn("transformer"), autocommit=True) as conn:
        built = conn.execute("select to_regclass('marts.fct_shipment') is not null").fetchone()
        if not built or not built[0]:
            return
        refusal = conn.execute(
            "select coalesce(ops.untransformed(%(feed)s, '-infinity', %(before)s),"
            " ops.unverified(%(feed)s, %(before)s), ops.unverified_events(%(feed)s, '-infinity', %(before)s))",
            {"feed": FEED, "before": before},
        ).fetchone()
        conn.execute("create temporary table ended (tenant_id text, shipment_id text, hold_id bigint)")
        conn.execute(_ENDED, {"before": before})
        free, held = _counts(conn)
        if refusal and refusal[0] and free:
            yield task.keep(conn, Action("marts", "marts.fct_shipment", "refused", refusal[0], free))
            return
        for hold_id, reason, kept in held:
            words = f"legal hold {hold_id}: {reason}"
            yield task.keep(conn, Action("marts", "marts.fct_shipment", "refused", words, kept))
        if task.dry_run:
            if free:
                yield task.keep(conn, Action("marts", "marts.fct_shipment", "dropped", "past its days", free))
            return
        yield from _delete(task, conn)
        for table in _BY_DAY:
            with conn.transaction():
                days = sql.SQL(_DAYS).format(table=sql.Identifier(table))
                rows = conn.execute(days, {"before": before}).rowcount
                if rows:
                    yield task.keep(conn, Action("marts", f"marts.{table}", "dropped", "past its days", rows))
        yield from _delete_sources(task, conn)


def _counts(conn: Connection) -> tuple[int, list[tuple[int, str, int]]]:
    rows = conn.execute(
        "select e.hold_id, h.reason, count(*) from ended as e left join ops.legal_hold as h using (hold_id)"
        " group by 1, 2 order by 1"
    ).fetchall()
    held = [(hold_id, reason, count) for hold_id, reason, count in rows if hold_id is not None]
    return sum(count for hold_id, _, count in rows if hold_id is None), held


def _delete(task: Task, conn: Connection) -> Iterator[Action]:
    while True:
        with conn.transaction():
            conn.execute(
                "create temporary table chunk (tenant_id text, shipment_id text, primary key (tenant_id, shipment_id))"
                " on commit drop"
            )
            taken = conn.execute(
                "insert into chunk select tenant_id, shipment_id from ended where hold_id is null"
                " order by 1, 2 limit %s",
                (CHUNK,),
            ).rowcount
            if taken <= 0:
                return
            for table in _BY_SHIPMENT:
                conn.execute(
                    sql.SQL(
                        "delete from {} as t using chunk as c"
                        " where t.tenant_id = c.tenant_id and t.shipment_id = c.shipment_id"
                    ).format(sql.Identifier(*table))
                )
            conn.execute(
                "select ops.expire_shipment_audit(array_agg(tenant_id), array_agg(shipment_id)) from chunk"
            )
            conn.execute(
                "delete from ended as e using chunk as c"
                " where e.tenant_id = c.tenant_id and e.shipment_id = c.shipment_id"
            )
            done = task.keep(conn, Action("marts", "marts.fct_shipment", "dropped", "past its days", taken))
            task.step("marts chunk")
        task.step("marts chunk done")
        yield done


def _delete_sources(task: Task, conn: Connection) -> Iterator[Action]:
    while True:
        with conn.transaction():
            row = conn.execute(
                "select ops.expire_audit_sources(%s, %s)", (task.before("marts"), CHUNK)
            ).fetchone()
            assert row is not None
            if not row[0]:
                return
            action = Action(
                "marts", "audit.source_batch", "dropped", "no entry of the audit cites it", row[0]
            )
            done = task.keep(conn, action)
            task.step("sources chunk")
        task.step("sources chunk done")
        yield done
