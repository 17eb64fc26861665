"""What has to hold of the stores of events and of what is made from them, as SQL that shares nothing with the models.

A shipment's history is checked by induction: the first event follows nothing, each next one follows what the one
before left, and the seed says whether it may. That proves the whole fold without folding. Lives are aggregated from
the history once more; the marts are compared with lives and mirrors, column by column.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from domain.contracts.model import Feed

_KEY = ("tenant_id", "shipment_id", "event_id")
_SAME_KEY = sql.SQL("s.tenant_id = e.tenant_id and s.shipment_id = e.shipment_id and s.event_id = e.event_id")


@dataclass(frozen=True)
class Store:
    """A table that keeps a feed's events once each: its content, and the order by which one of several is kept."""

    table: str
    landing: str
    event_time: str
    content: tuple[str, ...]
    order: tuple[str, ...]

    @property
    def _name(self) -> sql.Identifier:
        return sql.Identifier(*self.table.split("."))

    def _row(self, alias: str) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(alias, name) for name in self.content)

    def _hash(self, alias: str) -> sql.Composed:
        """A hash of one row; summed, it does not depend on any order."""
        return sql.SQL("hashtextextended(row({}, {})::text, 0)").format(
            sql.SQL(", ").join(sql.Identifier(alias, name) for name in _KEY), self._row(alias)
        )

    def expect(self, feed: Feed) -> sql.Composed:
        """Make the table of what had to come: the landed events of the chunk's batches and range, the first sent."""
        return sql.SQL(
            "create temporary table backfill_expected on commit drop as"
            " select distinct on (e.tenant_id, e.shipment_id, e.event_id) e.tenant_id, e.shipment_id, e.event_id, {row}"
            " from {landing} as e where e.batch_id between %(first)s and %(last)s and e.batch_id = any(%(ids)s)"
            " and e.{at} >= %(from_at)s and e.{at} < %(to_at)s"
            " order by e.tenant_id, e.shipment_id, e.event_id, {order}"
        ).format(
            row=self._row("e"), landing=sql.Identifier(*self.landing.split(".")), at=sql.Identifier(feed.event_time),
            order=self._order("e"),
        )  # fmt: skip

    def _order(self, alias: str) -> sql.Composed:
        return sql.SQL(", ").join(
            sql.SQL('{} collate "C"' if name in _TEXTS else "{}").format(sql.Identifier(alias, name))
            for name in self.order
        )

    @property
    def hash_expected(self) -> sql.Composed:
        """Count and hash what had to come."""
        return sql.SQL(
            "select count(*), lpad(to_hex((coalesce(sum({}), 0) % 9223372036854775783)::bigint), 16, '0')"
            " from pg_temp.backfill_expected as e"
        ).format(self._hash("e"))

    @property
    def hash_found(self) -> sql.Composed:
        """Count and hash what is in the store of these events."""
        return sql.SQL(
            "select count(*), lpad(to_hex((coalesce(sum({}), 0) % 9223372036854775783)::bigint), 16, '0')"
            " from pg_temp.backfill_expected as e inner join {} as s on {}"
        ).format(self._hash("s"), self._name, _SAME_KEY)

    @property
    def missing(self) -> sql.Composed:
        """Events that had to come and are not there."""
        return sql.SQL(
            "select e.tenant_id, e.shipment_id, e.event_id from pg_temp.backfill_expected as e"
            " where not exists (select from {} as s where {})"
        ).format(self._name, _SAME_KEY)

    @property
    def differing(self) -> sql.Composed:
        """Events whose stored content is none that ever landed.

        An earlier version under the same id rightly stays; it may lie in another batch, or have arrived when landing
        no longer reaches. Not so if the chunk came from the lake: that holds the version that stays.
        """
        return sql.SQL(
            "with differing as ("
            " select s.* from pg_temp.backfill_expected as e inner join {store} as s on {same}"
            " where ({stored}) is distinct from ({expected})"
            "), kept as ("
            " select coalesce(min(to_date(right(c.relname, 8), 'YYYYMMDD')), 'infinity'::date) as kept_from"
            " from pg_inherits as i inner join pg_class as c on i.inhrelid = c.oid"
            " where i.inhparent = {landing_name}::regclass and c.relname ~ '_[0-9]{{8}}$'"
            "), horizon as ("
            " select coalesce(max(b.last_arrived_at), '-infinity') as gone_until"
            " from ops.batch as b cross join kept as k where b.feed = {feed} and b.accepted > 0"
            " and b.last_arrived_at < k.kept_from)"
            " select s.tenant_id, s.shipment_id, s.event_id from differing as s cross join horizon as h"
            " where (%(in_lake)s or s.recorded_at > h.gone_until or ({order_s}) > (select {order_x}"
            "   from pg_temp.backfill_expected as x where x.tenant_id = s.tenant_id and x.shipment_id = s.shipment_id"
            "   and x.event_id = s.event_id))"
            " and not exists (select from {landing} as e where {same} and ({stored}) is not distinct from ({expected}))"
            " order by 1, 2, 3 limit 10000"
        ).format(
            store=self._name, same=_SAME_KEY, stored=self._row("s"), expected=self._row("e"),
            landing=sql.Identifier(*self.landing.split(".")), landing_name=sql.Literal(self.landing),
            feed=sql.Literal(self.landing.partition(".")[2]),
            order_s=sql.Identifier("s", "recorded_at"),
            order_x=sql.Identifier("x", "recorded_at"),
        )  # fmt: skip

    @property
    def collect_extra(self) -> sql.Composed:
        """Make the table of stored events of the range that the chunk's batches do not explain."""
        return sql.SQL(
            "create temporary table backfill_extra on commit drop as"
            " select s.tenant_id, s.shipment_id, s.event_id from {} as s"
            " where s.{at} >= %(from_at)s and s.{at} < %(to_at)s"
            " and not exists (select from pg_temp.backfill_expected as e where {})"
        ).format(self._name, _SAME_KEY, at=sql.Identifier(self.event_time))

    @property
    def explain_extra(self) -> sql.Composed:
        """Take out those that any landed row explains."""
        return sql.SQL("delete from pg_temp.backfill_extra as s using {} as e where {}").format(
            sql.Identifier(*self.landing.split(".")), _SAME_KEY
        )


EVENT_STORE = Store(
    table="intermediate.int_shipment_status_history",
    landing="landing.shipment_event",
    event_time="occurred_at",
    content=(
        "status", "occurred_at", "recorded_at", "sequence", "reason_code", "driver_id", "vehicle_id", "lat", "lon",
        "origin",
    ),
    order=(
        "recorded_at", "occurred_at", "sequence", "status", "reason_code", "driver_id", "vehicle_id", "lat", "lon",
        "origin",
    ),
)  # fmt: skip
ASSIGNMENT_STORE = Store(
    table="intermediate.int_shipment_assignment",
    landing="landing.driver_assignment_event",
    event_time="effective_at",
    content=("assignment_id", "driver_id", "vehicle_id", "action", "effective_at", "recorded_at", "sequence"),
    order=("recorded_at", "effective_at", "sequence", "action", "driver_id", "vehicle_id", "assignment_id"),
)
_TEXTS = frozenset({"status", "reason_code", "driver_id", "vehicle_id", "origin", "action", "assignment_id"})

_HISTORY_BY_INDUCTION = sql.SQL("""
    select j.tenant_id, j.shipment_id, j.event_id from (
        select h.*,
            row_number() over life as place,
            case when lag(h.is_legal) over life then lag(h.status) over life
                else lag(h.previous_status) over life end as left_by_the_one_before
        from intermediate.int_shipment_status_history as h
        inner join pg_temp.backfill_shipment as t on h.tenant_id = t.tenant_id and h.shipment_id = t.shipment_id
        window life as (
            partition by h.tenant_id, h.shipment_id
            order by h.occurred_at, h.sequence nulls last, h.recorded_at, h.event_id collate "C"
        )
    ) as j
    left join staging.shipment_transition as may
        on may.to_status = j.status and coalesce(may.from_status, '') = coalesce(j.previous_status, '')
    where j.position <> j.place
        or j.previous_status is distinct from j.left_by_the_one_before
        or j.is_legal <> (may.to_status is not null)
""")
_LIVES = sql.SQL("""
    select t.tenant_id, t.shipment_id from pg_temp.backfill_shipment as t
    left join intermediate.int_shipment_life as l on t.tenant_id = l.tenant_id and t.shipment_id = l.shipment_id
    left join lateral (
        select
            (array_agg(h.status order by h.position desc) filter (where h.is_legal))[1] as status,
            (array_agg(h.driver_id order by h.position desc) filter (where h.is_legal and h.driver_id is not null))[1]
                as driver_id,
            (array_agg(h.vehicle_id order by h.position desc) filter (where h.is_legal and h.vehicle_id is not null))[1]
                as vehicle_id,
            max(case when h.is_legal then h.occurred_at end) as status_at,
            min(case when h.is_legal and h.status = 'assigned' then h.occurred_at end) as assigned_at,
            min(case when h.is_legal and h.status = 'picked_up' then h.occurred_at end) as picked_up_at,
            max(case when h.is_legal and h.status = 'out_for_delivery' then h.occurred_at end) as out_for_delivery_at,
            max(case when h.is_legal and h.status = 'delivered' then h.occurred_at end) as delivered_at,
            sum((h.is_legal and h.status = 'failed_attempt')::integer) as failed_attempts,
            sum((h.is_legal and h.status = 'exception')::integer) as exceptions,
            sum((not h.is_legal)::integer) as illegal_transitions,
            sum(1) as events,
            min(h.occurred_at) as first_event_at,
            max(h.occurred_at) as last_event_at
        from intermediate.int_shipment_status_history as h
        where h.tenant_id = t.tenant_id and h.shipment_id = t.shipment_id
    ) as m on true
    where (l.status, l.driver_id, l.vehicle_id, l.status_at, l.assigned_at, l.picked_up_at, l.out_for_delivery_at,
        l.delivered_at, l.failed_attempts, l.exceptions, l.illegal_transitions, l.events, l.first_event_at,
        l.last_event_at)
        is distinct from (m.status, m.driver_id, m.vehicle_id, m.status_at, m.assigned_at, m.picked_up_at,
        m.out_for_delivery_at, m.delivered_at, m.failed_attempts, m.exceptions, m.illegal_transitions, m.events,
        m.first_event_at, m.last_event_at)
""")
_SHIPMENTS = sql.SQL("""
    select t.tenant_id, t.shipment_id from pg_temp.backfill_shipment as t
    left join marts.fct_shipment as f on t.tenant_id = f.tenant_id and t.shipment_id = f.shipment_id
    left join intermediate.int_shipment_life as l on t.tenant_id = l.tenant_id and t.shipment_id = l.shipment_id
    left join source.shipments as o on t.tenant_id = o.tenant_id and t.shipment_id = o.shipment_id
    where f.shipment_id is null
        or (f.assigned_at, f.picked_up_at, f.out_for_delivery_at, f.delivered_at, f.first_event_at, f.last_event_at)
        is distinct from
        (l.assigned_at, l.picked_up_at, l.out_for_delivery_at, l.delivered_at, l.first_event_at, l.last_event_at)
        or (f.failed_attempts, f.exceptions, f.illegal_transitions, f.events)
        is distinct from (coalesce(l.failed_attempts, 0), coalesce(l.exceptions, 0),
        coalesce(l.illegal_transitions, 0), coalesce(l.events, 0))
        or (f.customer_id, f.carrier_id, f.service_level, f.mode, f.origin_site_id, f.destination_site_id,
        f.created_at, f.promised_at, f.in_order_system)
        is distinct from (o.customer_id, o.carrier_id, o.service_level, o.mode, o.origin_site_id,
        o.destination_site_id, o.created_at, o.promised_at, coalesce(not o._deleted, false))
        or f.status is distinct from case
            when o.cancelled_at is not null and coalesce(l.status, 'created') in ('created', 'assigned')
                then 'cancelled'
            when o.shipment_id is not null then coalesce(l.status, 'created')
            else l.status
        end
""")
_EXCEPTIONS = sql.SQL("""
    select coalesce(h.tenant_id, x.tenant_id), coalesce(h.shipment_id, x.shipment_id), coalesce(h.event_id, x.event_id)
    from (
        select s.* from intermediate.int_shipment_status_history as s
        inner join pg_temp.backfill_shipment as t on s.tenant_id = t.tenant_id and s.shipment_id = t.shipment_id
        where s.is_legal and s.status in ('failed_attempt', 'exception')
    ) as h
    full outer join (
        select s.* from marts.fct_delivery_exception as s
        inner join pg_temp.backfill_shipment as t on s.tenant_id = t.tenant_id and s.shipment_id = t.shipment_id
    ) as x on h.tenant_id = x.tenant_id and h.shipment_id = x.shipment_id and h.event_id = x.event_id
    where (h.status, h.occurred_at, h.reason_code) is distinct from (x.kind, x.occurred_at, x.reason_code)
""")
_PROMISED_DAYS = sql.SQL("""
    select coalesce(s.tenant_id, d.tenant_id), coalesce(s.promised_date, d.promised_date)::text from (
        select f.tenant_id, f.promised_date, count(*) as due,
            count(*) filter (where f.status = 'delivered') as delivered,
            count(*) filter (where f.status = 'delivered' and f.delivered_at <= f.promised_at) as on_time
        from marts.fct_shipment as f
        where f.in_order_system and f.promised_date is not null and f.status <> 'cancelled'
        group by f.tenant_id, f.promised_date
    ) as s
    full outer join (
        select c.tenant_id, c.promised_date, sum(c.due) as due, sum(c.delivered) as delivered, sum(c.on_time) as on_time
        from marts.fct_on_time_daily as c group by c.tenant_id, c.promised_date
    ) as d on s.tenant_id = d.tenant_id and s.promised_date = d.promised_date
    where (s.due, s.delivered, s.on_time) is distinct from (d.due, d.delivered, d.on_time)
""")

Checks = dict[str, sql.Composed | sql.SQL]


def derived_checks(feed: str) -> Checks:
    """Return what has to hold of a chunk's shipments: in words what fails, and the query of the keys that do."""
    if feed != "shipment_event":
        return {"shipments are not in marts.fct_shipment": _MISSING_SHIPMENTS}
    return {
        "events of intermediate.int_shipment_status_history have the wrong place or verdict": _HISTORY_BY_INDUCTION,
        "rows of intermediate.int_shipment_life are not what the history comes to": _LIVES,
        "rows of marts.fct_shipment are not what lives and orders come to": _SHIPMENTS,
        "rows of marts.fct_delivery_exception are not the exceptions of the history": _EXCEPTIONS,
    }


_MISSING_SHIPMENTS = sql.SQL("""
    select t.tenant_id, t.shipment_id from pg_temp.backfill_shipment as t
    where not exists (
        select from marts.fct_shipment as f where f.tenant_id = t.tenant_id and f.shipment_id = t.shipment_id
    )
""")


def closing_checks() -> Checks:
    """Return what is looked at once, when every chunk is verified: the days, over all their shipments."""
    return {"days of marts.fct_on_time_daily are not the sum of their shipments": _PROMISED_DAYS}
