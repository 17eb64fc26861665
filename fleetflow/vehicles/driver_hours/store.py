"""The tables of driver hours: what is stored, read back, replaced and purged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql

from domain.driver_hours.evidence import is_inferred
from domain.driver_hours.model import DriverDay, Finding, Kind, Minute, Origin, moment_of
from domain.driver_hours.recorded import FIRST_TACHOGRAPHS, LEFT_OUT, Report
from domain.driver_hours.warned import Warned
from fleetflow.runtime import Connection
from fleetflow.vehicles.driver_hours.fold import FOLD, Folded
from fleetflow.vehicles.touched import Entity, Touched

KEPT = timedelta(days=92)
_KINDS, _ORIGINS = {kind.value: kind for kind in Kind}, {origin.value: origin for origin in Origin}
# Of an event that was sent with different content the first sent counts, then this order.
_CONTENT = (
    "({0}.recorded_at, {0}.started_at, coalesce({0}.ended_at, 'infinity'), {0}.activity, coalesce({0}.vehicle_id, ''),"
    " coalesce({0}.slot, 0), coalesce({0}.crew, ''), {0}.origin)"
)
_FIELDS = "tenant_id, driver_id, event_id, started_at, ended_at, activity, vehicle_id, slot, crew, origin, recorded_at"
_CLAIMED = (
    "select distinct on (e.tenant_id, e.driver_id, e.event_id)"
    f" {', '.join('e.' + name.strip() for name in _FIELDS.split(','))}, e.arrived_at"
    " from landing.driver_activity as e"
    " where e.batch_id = any(array(select batch_id from ops.pending_batch where run_id = %(run_id)s))"
    f" order by e.tenant_id, e.driver_id, e.event_id, {_CONTENT.format('e')}"
)
# Cards are read within 28 days; what was sent after 92 concerns hours that nobody keeps any more.
_LATE = "{0}.started_at < greatest(to_timestamp(%(first)s), {0}.recorded_at - %(kept)s)"
_REJECT = (
    f"with claimed as ({_CLAIMED})"
    " insert into intermediate.int_driver_activity_fault"
    " (tenant_id, driver_id, event_id, fault, started_at, known_at, is_left_out)"
    " select tenant_id, driver_id, event_id,"
    " case when started_at < to_timestamp(%(first)s) then 'before_tachographs' else 'too_late' end,"
    f" started_at, arrived_at, true from claimed where {_LATE.format('claimed')} on conflict do nothing"
)
_REFUSED = ("before_tachographs", "too_late")
# What was refused before it was stored is in no fold; it is known since it came, as its own clock may be any.
_NOT_REFUSED = sql.SQL(" and r.fault not in ({})").format(sql.SQL(", ").join(map(sql.Literal, _REFUSED)))
_STORE = (
    f"with claimed as materialized (select * from ({_CLAIMED}) as c where not {_LATE.format('c')}),"
    f" written as (insert into intermediate.int_driver_activity as kept ({_FIELDS})"
    f" select {_FIELDS} from claimed on conflict (tenant_id, driver_id, event_id) do update set"
    " started_at = excluded.started_at, ended_at = excluded.ended_at, activity = excluded.activity,"
    " vehicle_id = excluded.vehicle_id, slot = excluded.slot, crew = excluded.crew, origin = excluded.origin,"
    " recorded_at = excluded.recorded_at"
    f" where {_CONTENT.format('excluded')} < {_CONTENT.format('kept')} returning 1)"
    " select c.tenant_id, c.driver_id, min(least(c.started_at, k.started_at)), (select count(*) from written)"
    " from claimed as c left join intermediate.int_driver_activity as k"
    " on c.tenant_id = k.tenant_id and c.driver_id = k.driver_id and c.event_id = k.event_id"
    " group by c.tenant_id, c.driver_id"
)


class Law(NamedTuple):
    """Whose rules hold for a driver; `zone` and `cycle` are of the US rules."""

    name: str
    cycle: str
    zone: str


EU = Law("eu", "70/8", "UTC")


def store_claimed(conn: Connection, run_id: UUID) -> tuple[Touched, int]:
    """Keep the claimed activities; return the drivers with the earliest time of theirs, and how many were new."""
    values = {"run_id": run_id, "kept": KEPT, "first": FIRST_TACHOGRAPHS}
    with conn.transaction():
        conn.execute(_REJECT, values)
        rows = conn.execute(_STORE, values).fetchall()
    touched = {Entity(tenant, driver): since for tenant, driver, since, _ in rows}
    return touched, rows[0][3] if rows else 0


def store_inferred(conn: Connection) -> Touched:
    """Have trips of touched vehicles stand for driving, where a driver was logged in; return the drivers.

    A trip is no more than that: what lies between trips is left to be a gap, which proves no rest.
    """
    rows = conn.execute(
        "with trip as (select t.tenant_id, t.driver_id, 'trip:' || t.vehicle_id || ':'"
        "  || extract(epoch from t.started_at)::bigint as event_id, t.started_at, t.ended_at, t.vehicle_id"
        "  from intermediate.int_trip as t join intermediate.int_vehicle_touched as v"
        "  on t.tenant_id = v.tenant_id and t.vehicle_id = v.vehicle_id and t.started_at >= v.since"
        "  where t.driver_id is not null),"
        " gone as (delete from intermediate.int_driver_activity as a using intermediate.int_vehicle_touched as v"
        "  where a.origin = 'inferred' and a.event_id like 'trip:%' and a.tenant_id = v.tenant_id"
        "  and a.vehicle_id = v.vehicle_id and a.started_at >= v.since and not exists (select from trip as t"
        "   where t.tenant_id = a.tenant_id and t.driver_id = a.driver_id and t.event_id = a.event_id)"
        "  returning a.tenant_id, a.driver_id, a.started_at),"
        " made as (insert into intermediate.int_driver_activity as kept"
        "  (tenant_id, driver_id, event_id, started_at, ended_at, activity, vehicle_id, origin, recorded_at)"
        "  select tenant_id, driver_id, event_id, started_at, ended_at, 'driving', vehicle_id, 'inferred', ended_at"
        "  from trip on conflict (tenant_id, driver_id, event_id) do update"
        "  set started_at = excluded.started_at, ended_at = excluded.ended_at, recorded_at = excluded.recorded_at"
        "  where (kept.started_at, kept.ended_at) is distinct from (excluded.started_at, excluded.ended_at)"
        "  returning kept.tenant_id, kept.driver_id, kept.started_at)"
        " select tenant_id, driver_id, min(started_at) from (select * from gone union all select * from made) as c"
        " group by tenant_id, driver_id"
    )
    return {Entity(tenant, driver): since for tenant, driver, since in rows}


def read_laws(conn: Connection, drivers: Iterable[Entity]) -> Mapping[Entity, Law]:
    """Return the rules of drivers whose are not the EU's: by the country of their home site."""
    known = list(drivers)
    rows = conn.execute(
        "select d.tenant_id, d.driver_id, l.law, coalesce(l.us_cycle, '70/8'), coalesce(s.timezone, 'UTC')"
        " from unnest(%s::text[], %s::text[]) as n (tenant_id, driver_id)"
        " join source.drivers as d on d.driver_id = n.driver_id and d.tenant_id = n.tenant_id"
        " join source.sites as s on s.site_id = d.home_site_id and s.tenant_id = d.tenant_id"
        " join ops.driver_hours_law as l on l.country = s.country where l.law <> 'eu'",
        ([one.tenant_id for one in known], [one.entity_id for one in known]),
    )
    return {Entity(tenant, driver): Law(*law) for tenant, driver, *law in rows}


def read_reports(conn: Connection, since: Mapping[Entity, datetime]) -> dict[Entity, list[Report]]:
    """Return each driver's activities that start at a time or later."""
    drivers = list(since)
    rows = conn.execute(
        "select a.tenant_id, a.driver_id, floor(extract(epoch from a.started_at))::bigint,"
        " floor(extract(epoch from a.ended_at))::bigint, a.activity, coalesce(a.crew = 'crew', false), a.origin,"
        " floor(extract(epoch from a.recorded_at))::bigint, a.event_id, a.vehicle_id"
        " from unnest(%s::text[], %s::text[], %s::timestamptz[]) as n (tenant_id, driver_id, since)"
        " join intermediate.int_driver_activity as a on a.tenant_id = n.tenant_id and a.driver_id = n.driver_id"
        " and a.started_at >= n.since order by a.tenant_id, a.driver_id",
        (
            [one.tenant_id for one in drivers],
            [one.entity_id for one in drivers],
            [since[one] for one in drivers],
        ),
    )
    return {
        Entity(*key): [
            Report(start, end, _KINDS[kind], crew, _ORIGINS[origin], sent, event, vehicle)
            for _, _, start, end, kind, crew, origin, sent, event, vehicle in own
        ]
        for key, own in groupby(rows, key=lambda row: (row[0], row[1]))
    }


def replace(conn: Connection, folded: Mapping[Entity, Folded], law: str) -> int:
    """Replace what drivers' histories come to, from where each was folded; return the number of findings."""
    _forget(conn, folded)
    rows = {table: list[Sequence[Any]]() for table in _COLUMNS}
    for driver, one in folded.items():
        _collect(rows, driver, one, law)
    with conn.cursor() as cursor:
        for table, columns in _COLUMNS.items():
            statement = sql.SQL("copy intermediate.{} ({}) from stdin").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns.split()))
            )
            with cursor.copy(statement) as copy:
                for row in rows[table]:
                    copy.write_row(row)
    return len(rows["int_driver_hours_finding"])


def purge(conn: Connection, heads: Mapping[Entity, datetime]) -> int:
    """Drop what no late card of these drivers can concern any more; return how many activities went.

    It counts from each driver's newest activity, not from today: so a driver who is away loses nothing, and what an old
    history comes to does not depend on when it is folded. Of states go the heads of earlier runs, and those of Mondays
    from before the kept time but for the newest.
    """
    drivers = list(heads)
    columns = (
        [one.tenant_id for one in drivers],
        [one.entity_id for one in drivers],
        [heads[one] for one in drivers],
    )
    conn.execute(
        f"delete from intermediate.fold_state as f using {_HEADS}"
        " where f.fold = %s and f.tenant_id = h.tenant_id and f.entity_id = h.driver_id and f.as_of < h.head"
        " and (f.as_of <> date_trunc('week', f.as_of, 'UTC') or exists (select from intermediate.fold_state as n"
        "  where n.fold = f.fold and n.tenant_id = f.tenant_id and n.entity_id = f.entity_id"
        "  and n.as_of > f.as_of and n.as_of <= h.head - %s))".encode(),
        (*columns, FOLD, KEPT),
    )
    conn.execute(
        f"delete from intermediate.int_driver_activity_fault as f using {_HEADS}"
        " where f.tenant_id = h.tenant_id and f.driver_id = h.driver_id and f.known_at < h.head - %s".encode(),
        (*columns, KEPT),
    )
    return conn.execute(
        f"delete from intermediate.int_driver_activity as a using {_HEADS}"
        " where a.tenant_id = h.tenant_id and a.driver_id = h.driver_id and a.started_at < h.head - %s".encode(),
        (*columns, KEPT),
    ).rowcount


_HEADS = "unnest(%s::text[], %s::text[], %s::timestamptz[]) as h (tenant_id, driver_id, head)"
_COLUMNS = {
    "int_driver_hours_finding": "tenant_id driver_id rule started_at broken_at limit_min ended_at article severity"
    " measured_min needs_evidence reason is_inferred is_open known_at",
    "int_driver_day": "tenant_id driver_id started_at ended_at driving_min other_work_min availability_min"
    " driving_limit_min is_crew rest_min rest_kind is_open known_at",
    "int_driver_hours_warning": "tenant_id driver_id rule period_start level_pct limit_min warned_at is_open known_at",
    "int_driver_hours_head": "tenant_id driver_id at believed_until law is_driving in_weekly_rest stint_min break_min"
    " day_started_at day_driving_min day_limit_min extensions_left reductions_left week_min fortnight_min rest_by"
    " rest_min weekly_rest_ended_at",
    "int_driver_activity_fault": "tenant_id driver_id event_id fault started_at known_at is_left_out",
}


def _forget(conn: Connection, folded: Mapping[Entity, Folded]) -> None:
    drivers = list(folded)
    keys = [one.tenant_id for one in drivers], [one.entity_id for one in drivers]
    since = [moment_of(folded[one].since) for one in drivers]
    faults_since = [_second(folded[one].faults_since) for one in drivers]
    for table, times in (
        ("int_driver_hours_finding", since),
        ("int_driver_day", since),
        ("int_driver_hours_warning", since),
        ("int_driver_activity_fault", faults_since),
    ):
        statement = sql.SQL(
            "delete from intermediate.{} as r"
            " using unnest(%s::text[], %s::text[], %s::timestamptz[]) as n (tenant_id, driver_id, since)"
            " where r.tenant_id = n.tenant_id and r.driver_id = n.driver_id and r.known_at >= n.since{}"
        ).format(sql.Identifier(table), _NOT_REFUSED if table == "int_driver_activity_fault" else sql.SQL(""))
        conn.execute(statement, (*keys, times))
    conn.execute(
        "delete from intermediate.int_driver_hours_head as r"
        " using unnest(%s::text[], %s::text[]) as n (tenant_id, driver_id)"
        " where r.tenant_id = n.tenant_id and r.driver_id = n.driver_id",
        keys,
    )


def _collect(rows: Mapping[str, list[Sequence[Any]]], driver: Entity, folded: Folded, law: str) -> None:
    """Lay a driver's rows beside the others', each key once."""
    keyed: dict[tuple[Any, ...], tuple[str, Sequence[Any]]] = {}
    for known in folded.known:
        key, table, row = _row(known.found)
        keyed.setdefault((table, *key), (table, (*driver, *row, known.is_open, moment_of(known.known))))
    for fault in folded.faulty:
        row = (
            *driver, fault.event_id, fault.fault.value, _second(fault.start), _second(fault.known),
            fault.fault in LEFT_OUT,
        )  # fmt: skip
        keyed.setdefault(("fault", fault.event_id, fault.fault), ("int_driver_activity_fault", row))
    for table, row in keyed.values():
        rows[table].append(row)
    believed = _moment(folded.believed_until)
    rows["int_driver_hours_head"].extend(
        (
            *driver, moment_of(at.at), believed, law, at.is_driving, at.in_weekly_rest, at.stint, at.break_minutes,
            _moment(at.day_start), at.day_driving, at.day_limit, at.extensions_left, at.reductions_left, at.week,
            at.fortnight, _moment(at.rest_by), at.rest_minutes, _moment(at.weekly_rest_end),
        )
        for at in folded.head
    )  # fmt: skip


def _row(found: Finding | DriverDay | Warned) -> tuple[tuple[Any, ...], str, Sequence[Any]]:
    """Return the key, the table, and the columns between the driver's and those of when it was known."""
    match found:
        case Finding():
            key = (found.rule.value, found.at, found.start, found.limit)
            severity = found.severity.value if found.severity else None
            return key, "int_driver_hours_finding", (
                found.rule.value, moment_of(found.start), moment_of(found.at), found.limit, moment_of(found.end),
                found.article, severity, found.measured, found.needs_evidence, found.reason or None,
                is_inferred(found),
            )  # fmt: skip
        case DriverDay():
            return (found.start,), "int_driver_day", (
                moment_of(found.start), moment_of(found.end), found.driving, found.other_work, found.availability,
                found.limit, found.crew, found.rest, found.rest_kind,
            )  # fmt: skip
        case Warned():
            return (*found[:3], found.limit), "int_driver_hours_warning", (
                found.rule.value, moment_of(found.start), found.level, found.limit, moment_of(found.at),
            )  # fmt: skip


def _moment(minute: Minute | None) -> datetime | None:
    return None if minute is None else moment_of(minute)


def _second(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
