"""Reads the sections on vehicles and drivers, in the transaction of the report. Reads only.

A mart that is not built, and a day that no mart has yet, give a section that says so; neither is a fault.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import psycopg
import psycopg.rows
import psycopg.sql

from serving.report.vehicles import statements as sql
from serving.report.vehicles.model import (
    AHEAD_DAYS,
    LITTLE_MIN,
    SEVERITIES,
    Behind,
    Cause,
    Compliance,
    DriverFinding,
    DueService,
    DutyDay,
    FleetDay,
    Fuel,
    FuelAnomaly,
    FuelClass,
    FuelDay,
    LittleLeft,
    Maintenance,
    Missing,
    Offender,
    Plan,
    PlanChange,
    PlannedJob,
    RuleCount,
    SiteUse,
    TroubleCode,
    Utilization,
    VehicleDay,
    VehicleSections,
)
from serving.report.wording import day as day_words

ROWS_READ = 50_000

Rows = list[tuple[Any, ...]]
Run = Callable[..., Rows]
Marts = Mapping[str, frozenset[str]]


def read_marts(conn: psycopg.Connection[Any]) -> dict[str, frozenset[str]]:
    """Return the marts of the vehicle side that exist, with their columns; in a transaction of its own."""
    names = sorted({mart for part in sql.NEEDS.values() for mart in part})
    found: dict[str, set[str]] = defaultdict(set)
    with conn.transaction(), conn.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        for mart, column in cursor.execute(sql.COLUMNS, {"marts": names}).fetchall():
            found[mart].add(column)
    return {mart: frozenset(columns) for mart, columns in found.items()}


def hold_marts(cursor: psycopg.Cursor[Any], marts: Marts) -> None:
    """Keep marts from being replaced until the transaction ends; before its snapshot is taken."""
    if marts:
        tables = psycopg.sql.SQL(", ").join(psycopg.sql.Identifier("marts", mart) for mart in sorted(marts))
        cursor.execute(psycopg.sql.SQL("lock table {} in access share mode").format(tables))


def read_sections(run: Run, marts: Marts, report_date: date, today: date) -> VehicleSections:
    """Read all four sections. `run` executes a statement with the report's parameters and more by name."""
    reader = _Reader(run, marts, report_date, today)
    return VehicleSections(
        utilization=reader.lacking("utilization") or reader.utilization(),
        compliance=reader.lacking("compliance") or reader.compliance(),
        fuel=reader.lacking("fuel") or reader.fuel(),
        maintenance=reader.maintenance(),
        behind=Behind(*run(sql.BEHIND, vehicles=sql.PIPELINE)[0]),
    )


class _Reader:
    """Runs the statements of the sections."""

    def __init__(self, run: Run, marts: Marts, report_date: date, today: date) -> None:
        self.run, self.marts, self.report_date, self.today = run, marts, report_date, today

    def lacking(self, part: str) -> Missing | None:
        """Return why a part cannot be read, if it cannot."""
        for mart, columns in sql.NEEDS[part].items():
            if mart not in self.marts:
                return Missing(
                    f"Not known: the warehouse has no marts.{mart} yet; the next build of the vehicle side makes it."
                )
            if missing := sorted({"tenant_id", *columns} - self.marts[mart]):
                return Missing(
                    f"Not known: marts.{mart} of this warehouse is older than this report, it has no {missing[0]}."
                )
        return None

    def _no_day(self, what: str, last: date | None) -> Missing:
        if last is None:
            return Missing(f"Not known: there is no {what} of this tenant yet.")
        return Missing(
            f"Not known: there is no {what} of {day_words(self.report_date)};"
            f" the last one is of {day_words(last)}."
        )

    def utilization(self) -> Utilization | Missing:
        days = tuple(FleetDay(*row) for row in self.run(sql.FLEET_DAYS))
        if not days or days[-1].day != self.report_date:
            return self._no_day("vehicle-day", self.run(sql.LAST_FLEET_DAY)[0][0])
        return Utilization(
            days=days,
            sites=tuple(SiteUse(*row) for row in self.run(sql.SITE_USE)),
            vehicles=tuple(VehicleDay(*row) for row in self.run(sql.VEHICLE_DAYS, limit=ROWS_READ)),
            silent=self.run(sql.SILENT)[0][0],
        )

    def compliance(self) -> Compliance | Missing:
        duty: dict[date, int] = dict(self.run(sql.DUTY_DAYS))
        counts = self.run(sql.FINDING_COUNTS)
        # Findings of 49 CFR 395 come without driver-days, and are shown all the same.
        days = sorted({*duty, *(row[0] for row in counts)})
        if self.report_date not in days:
            return self._no_day("driver-day", self.run(sql.LAST_DUTY_DAY)[0][0])
        findings = tuple(DriverFinding(*row) for row in self.run(sql.FINDINGS, limit=ROWS_READ))
        rows = None
        if self.lacking("remaining") is None:
            rows = self.run(sql.REMAINING, little_min=LITTLE_MIN, limit=ROWS_READ)
        return Compliance(
            days=tuple(_duty_day(day, duty.get(day, 0), counts) for day in days),
            rules=_rules(counts, self.report_date),
            offenders=_offenders(findings),
            findings=findings,
            remaining=None if rows is None else tuple(LittleLeft(*row[:4]) for row in rows),
            remaining_total=rows[0][4] if rows else 0,
        )

    def fuel(self) -> Fuel | Missing:
        rows = self.run(sql.FUEL_DAYS)
        days = tuple(
            FuelDay(day, *(sum(row[at] for row in rows if row[0] == day) for at in range(2, 6)))
            for day in sorted({row[0] for row in rows})
        )
        if not days or days[-1].day != self.report_date:
            return self._no_day("trip with fuel", self.run(sql.LAST_FUEL_DAY)[0][0])
        return Fuel(
            days=days,
            classes=_fuel_classes(rows, self.report_date),
            anomalies=tuple(_anomaly(row) for row in self.run(sql.FUEL_ANOMALIES, limit=ROWS_READ)),
            anomalies_7d=dict(self.run(sql.FUEL_ANOMALIES_BEFORE)),
        )

    def maintenance(self) -> Maintenance | Missing:
        lacking = {part: self.lacking(part) for part in ("due", "projection", "plan", "codes")}
        gone = [fault for fault in lacking.values() if fault is not None]
        if len(gone) == len(lacking):
            return gone[0]
        notes = [fault.words for fault in gone]
        plan = None if lacking["plan"] else self._plan(notes)
        due = None if lacking["due"] else self._due(plan, lacking["projection"] is None, notes)
        codes = None if lacking["codes"] else self._codes(notes)
        if due is None and plan is None and codes is None:
            return Missing(" ".join(notes))
        return Maintenance(self.today, due, plan, codes, tuple(notes))

    def _plan(self, notes: list[str]) -> Plan | None:
        plan_date = self.run(sql.PLAN_DATE)[0][0]
        if plan_date is None:
            notes.append("Workshops are not planned yet.")
            return None
        if plan_date != self.today:
            notes.append(f"There is no plan of this night; the one shown is of {day_words(plan_date)}.")
        jobs = tuple(PlannedJob(*row) for row in self.run(sql.JOBS, plan_date=plan_date))
        return Plan(
            plan_date,
            jobs,
            tuple(PlanChange(*row) for row in self.run(sql.CHANGES, plan_date=plan_date)),
        )

    def _due(self, plan: Plan | None, projected: bool, notes: list[str]) -> tuple[DueService, ...] | None:
        if not self.run(sql.DUE_VEHICLES)[0][0]:
            notes.append("No vehicle of this tenant has services to be done.")
            return None
        jobs = {(job.vehicle_id, job.task_id): job for job in plan.jobs} if plan else {}
        found = [(*row[:2], True, *row[2:]) for row in self.run(sql.OVERDUE, limit=ROWS_READ)]
        overdue = {row[:2] for row in found}
        night = self.run(sql.PROJECTION_DATE)[0][0] if projected else None
        if night is None:
            notes.append("When services will be due is not projected yet.")
        else:
            rows = self.run(sql.PROJECTED, plan_date=night, ahead_days=AHEAD_DAYS, limit=ROWS_READ)
            found += [(*row[:2], False, *row[2:]) for row in rows if row[:2] not in overdue]
        return tuple(
            DueService(vehicle, task, is_overdue, due_on, by, jobs.get((vehicle, task)))
            for vehicle, task, is_overdue, due_on, by in found
        )

    def _codes(self, notes: list[str]) -> tuple[TroubleCode, ...] | None:
        if not self.run(sql.CODES_KNOWN)[0][0]:
            notes.append("No vehicle has reported a trouble code yet.")
            return None
        return tuple(TroubleCode(*row) for row in self.run(sql.CODES, limit=ROWS_READ))


def _by_severity(rows: Iterable[tuple[str | None, int]]) -> tuple[dict[str, int], int]:
    """Return counts by class, the gravest first, and the number without one."""
    counted: Counter[str | None] = Counter()
    for severity, number in rows:
        counted[severity] += number
    classed = {name: counted[name] for name in SEVERITIES if counted[name]}
    return classed, sum(counted.values()) - sum(classed.values())


def _duty_day(day: date, driver_days: int, counts: Rows) -> DutyDay:
    of_day = [row for row in counts if row[0] == day and not row[3]]
    by_severity = _by_severity((row[2], row[5]) for row in of_day)
    return DutyDay(day, driver_days, *by_severity, us=sum(row[6] for row in of_day))


def _rules(counts: Rows, report_date: date) -> tuple[RuleCount, ...]:
    found = []
    for rule in sorted({row[1] for row in counts}):
        mine = [row for row in counts if row[1] == rule]
        today = [row for row in mine if row[0] == report_date]
        found.append(
            RuleCount(
                rule,
                next((row[4] for row in mine if row[4]), None),
                *_by_severity((row[2], row[5]) for row in today if not row[3]),
                evidence=sum(row[5] for row in today if row[3]),
                total_7d=sum(row[5] for row in mine if row[0] != report_date and not row[3]),
            )
        )
    return tuple(sorted(found, key=lambda rule: (*_gravity(rule.by_severity), -rule.total, rule.rule)))


def _offenders(findings: tuple[DriverFinding, ...]) -> tuple[Offender, ...]:
    by_driver: dict[str, list[DriverFinding]] = defaultdict(list)
    for finding in findings:
        if not finding.needs_evidence:
            by_driver[finding.driver_key].append(finding)
    found = [
        Offender(
            driver,
            *_by_severity((finding.severity, 1) for finding in mine),
            rules=tuple(dict.fromkeys(finding.rule for finding in mine)),
        )
        for driver, mine in by_driver.items()
    ]
    return tuple(sorted(found, key=lambda one: (*_gravity(one.by_severity), -one.total, one.driver_key)))


def _gravity(by_severity: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(-by_severity.get(name, 0) for name in SEVERITIES)


def _fuel_classes(rows: Rows, report_date: date) -> tuple[FuelClass, ...]:
    found = []
    for name in sorted({row[1] for row in rows}):
        today = [row for row in rows if row[1] == name and row[0] == report_date]
        before = [row for row in rows if row[1] == name and row[0] != report_date]
        found.append(
            FuelClass(name, *(sum(row[at] for row in part) for part in (today, before) for at in (2, 3)))
        )
    return tuple(sorted(found, key=lambda one: (-one.litres, one.vehicle_class)))


def _anomaly(row: tuple[Any, ...]) -> FuelAnomaly:
    causes = tuple(Cause(one["cause"], one["confidence"], one["why"]) for one in row[6])
    vehicle_id, kind, severity, occurred_at, volume_l, score = row[:6]
    return FuelAnomaly(vehicle_id, kind, severity, occurred_at, volume_l, score, causes)
