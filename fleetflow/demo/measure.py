"""Holds the marts against what a simulator planted, as an analyst of the tenant sees them.

A subject whose mart is not there, or lacks a column, says so and is never a pass. Marts are read for the vehicles and
drivers of the truth alone: of the others nobody knows what is true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fleetflow.demo.planted import Planted, read_planted
from fleetflow.demo.recall import Fact, Score, Tolerance, judge
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

HOUR = timedelta(hours=1)
OVERLAP = Tolerance()
ANOMALIES = (
    "drain_parked", "drain_moving", "leak", "purchase_over_tank", "purchase_elsewhere", "purchase_without_rise",
    "sensor",
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What is compared: the truth's facts and a mart's rows (entity, kind, start, end)."""

    name: str
    truth: Callable[[Planted], list[Fact]]
    table: str
    columns: tuple[str, ...]
    query: str
    tolerance: Tolerance = OVERLAP


SUBJECTS = (
    Subject(
        "infringement", Planted.infringements, "fct_driver_hours_finding",
        ("driver_key", "rule", "started_at", "ended_at", "needs_evidence"),
        "select driver_key, rule, started_at, ended_at from marts.fct_driver_hours_finding"
        " where driver_key = any(%(drivers)s) and (not needs_evidence or rule = 'UNPROVEN_REST')",
    ),
    Subject(
        "driver day", Planted.multi_manned, "fct_driver_day", ("driver_key", "started_at", "ended_at", "is_crew"),
        "select driver_key, 'multi-manning', started_at, ended_at from marts.fct_driver_day"
        " where driver_key = any(%(drivers)s) and is_crew",
        Tolerance(share=0.5),
    ),
    Subject(
        "fuel event", lambda planted: planted.fuel("refill"), "fct_fuel_event",
        ("vehicle_id", "kind", "started_at", "ended_at"),
        "select vehicle_id, kind, started_at, ended_at from marts.fct_fuel_event"
        " where vehicle_id = any(%(vehicles)s) and kind = 'refill' and ended_at >= %(since)s",
        Tolerance(HOUR),
    ),
    Subject(
        "fuel anomaly", lambda planted: planted.fuel(*ANOMALIES), "fct_fuel_anomaly",
        ("vehicle_id", "kind", "occurred_at", "ended_at"),
        "select vehicle_id, kind, occurred_at, ended_at from marts.fct_fuel_anomaly"
        " where vehicle_id = any(%(vehicles)s) and ended_at >= %(since)s and kind <> 'consumption_high'",
        Tolerance(6 * HOUR, many=True),
    ),
    Subject(
        "fuel of a trip", Planted.thirsty_trips, "fct_fuel_anomaly", ("vehicle_id", "kind", "occurred_at", "ended_at"),
        "select vehicle_id, kind, occurred_at, ended_at from marts.fct_fuel_anomaly"
        " where vehicle_id = any(%(vehicles)s) and ended_at >= %(since)s and kind = 'consumption_high'",
        Tolerance(share=0.5),
    ),
    Subject(
        "odometer", lambda planted: planted.fuel("odometer_rollback"), "fct_trip",
        ("vehicle_id", "started_at", "ended_at", "odometer_faults"),
        "select vehicle_id, 'odometer_rollback', started_at, ended_at from marts.fct_trip"
        " where vehicle_id = any(%(vehicles)s) and ended_at >= %(since)s and odometer_faults > 0"
        " union all select vehicle_id, 'odometer_rollback', started_at, ended_at from marts.fct_stop"
        " where vehicle_id = any(%(vehicles)s) and ended_at >= %(since)s and odometer_faults > 0",
        Tolerance(HOUR, many=True),
    ),
    Subject(
        "trip", Planted.trips, "fct_trip", ("vehicle_id", "started_at", "ended_at"),
        "select vehicle_id, 'trip', started_at, ended_at from marts.fct_trip"
        " where vehicle_id = any(%(vehicles)s) and ended_at >= %(since)s",
        Tolerance(share=0.5),
    ),
    Subject(
        "site visit", Planted.site_visits, "fct_site_visit", ("vehicle_id", "site_id", "entered_at", "left_at"),
        "select vehicle_id || ' ' || site_id, 'site visit', entered_at, coalesce(left_at, %(until)s)"
        " from marts.fct_site_visit where vehicle_id = any(%(vehicles)s) and entered_at >= %(since)s",
        Tolerance(share=0.5),
    ),
    Subject(
        "service", Planted.overdue, "fct_maintenance_due", ("vehicle_id", "service", "status"),
        "select vehicle_id || ' ' || service, 'overdue service', %(until)s::timestamptz, %(until)s::timestamptz"
        " from marts.fct_maintenance_due where vehicle_id = any(%(vehicles)s) and status = 'overdue'",
    ),
    Subject(
        "trouble code", Planted.trouble_codes, "fct_dtc",
        ("vehicle_id", "spn", "fmi", "code", "first_seen_at", "last_seen_at"),
        "select vehicle_id || ' ' || coalesce(nullif(code, ''), 'SPN ' || spn || ' FMI ' || fmi), 'trouble code',"
        " first_seen_at, last_seen_at from marts.fct_dtc where vehicle_id = any(%(vehicles)s)"
        " and last_seen_at >= %(since)s",
        Tolerance(HOUR),
    ),
)  # fmt: skip


def measure(settings: Settings, directory: Path, run: str | None = None) -> list[tuple[str, Score]]:
    """Return a score for each kind, by subject.

    Raises:
        UserError: no run has told the truth of its vehicles.
    """
    content = read_planted(directory, run)
    with connect(settings.dsn("owner")) as conn:
        planted = Planted(content, _driver_keys(conn, str(content["tenant"]), content["drivers"]))
    with connect(settings.dsn("analyst")) as conn:
        conn.execute("select set_config('fleetflow.tenant', %s, false)", (planted.tenant,))
        return [(one.name, score) for one in SUBJECTS for score in _scores(conn, one, planted)]


def _driver_keys(conn: Connection, tenant: str, drivers: Sequence[str]) -> dict[str, str]:
    """The platform's own pseudonyms: marts hold nothing else of a driver."""
    rows = conn.execute(
        "select driver_id, ops.pseudonym(%s, driver_id) from unnest(%s::text[]) as d (driver_id)",
        (tenant, list(drivers)),
    )
    return dict(rows.fetchall())


def _scores(conn: Connection, subject: Subject, planted: Planted) -> Iterator[Score]:
    truth = subject.truth(planted)
    missing = _missing(conn, subject)
    if missing:
        for kind in dict.fromkeys(fact.kind for fact in truth) or [subject.name]:
            yield Score(kind, problem=missing)
        return
    scope = {
        "vehicles": planted.vehicles,
        "drivers": list(planted.driver_keys.values()),
        "since": planted.since,
        "until": planted.until,
    }
    found = [Fact(*row) for row in conn.execute(subject.query.encode(), scope).fetchall()]
    yield from judge(truth, found, subject.tolerance)


def _missing(conn: Connection, subject: Subject) -> str | None:
    """Say what of a mart is not there, as the analyst sees it."""
    rows = conn.execute(
        "select column_name from information_schema.columns where table_schema = 'marts' and table_name = %s",
        (subject.table,),
    ).fetchall()
    there = {name for (name,) in rows}
    if not there:
        return f"marts.{subject.table} is not there"
    lacking = [name for name in subject.columns if name not in there]
    return f"marts.{subject.table} has no {', '.join(lacking)}" if lacking else None
