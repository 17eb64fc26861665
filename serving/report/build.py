"""Reads the marts and the ledger into a `MorningReport`. Reads only; one transaction, one snapshot.

Trusts, unchecked: that `reports.rpt_morning_sla` and `marts.fct_on_time_daily` count the same shipments.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from serving.report import statements as sql
from serving.report.model import (
    HISTORY_DAYS,
    CdcPull,
    DayCount,
    ExceptionReason,
    FailedCheck,
    FeedCount,
    Health,
    Lane,
    MorningReport,
    OpenWindow,
    Reconciliation,
    RejectCount,
    RepairedWindow,
    Risks,
    RiskyShipment,
    RunCounts,
    SlaRow,
    TransformRun,
    VerifiedFeed,
)
from serving.report.vehicles.read import Marts, hold_marts, read_marts, read_sections

PIPELINE = "shipments"
LANES_SHOWN = 8
RISKS_READ = 50_000
WINDOWS_SHOWN = 8

Connection = psycopg.Connection[Any]


def build_report(conn: Connection, tenant: str, as_of: datetime | None = None) -> MorningReport:
    """Read the report of the day before `as_of` (UTC; None is the database's now).

    The connection must be idle and its role must read marts, reports and ops. Waits at most 60 s for a table
    that is being replaced. A back-dated report says what is known today about that day.

    Raises:
        ValueError: `as_of` has no zone.
        psycopg.Error: the database refuses, or a mart of the shipments is missing; one of the vehicle side that is
            missing makes a section that says so.
    """
    if as_of is not None and as_of.tzinfo is None:
        raise ValueError(f"as_of {as_of.isoformat()} has no zone")
    marts = read_marts(conn)
    with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
        for statement in sql.BEGIN:
            cursor.execute(statement)
        hold_marts(cursor, marts)
        moment, clock = cursor.execute(sql.CLOCK, {"as_of": as_of}).fetchall()[0]
        return _Reader(cursor, tenant, moment.astimezone(UTC), marts).report(clock.astimezone(UTC))


class _Reader:
    """Runs the statements with one set of parameters."""

    def __init__(
        self, cursor: psycopg.Cursor[tuple[Any, ...]], tenant: str, as_of: datetime, marts: Marts
    ) -> None:
        self.cursor, self.marts = cursor, marts
        report_date = as_of.date() - timedelta(days=1)
        self.values: dict[str, object] = {
            "tenant": tenant,
            "as_of": as_of,
            "since": as_of - timedelta(days=1),
            "report_date": report_date,
            "today": as_of.date(),
            "from_date": report_date - timedelta(days=HISTORY_DAYS),
            "pipeline": PIPELINE,
        }
        self.tenant, self.as_of, self.report_date = tenant, as_of, report_date
        cursor.execute(sql.SCOPE, {"as_of": as_of.isoformat(), "tenant": tenant})

    def rows(self, statement: str, **more: object) -> list[tuple[Any, ...]]:
        return self.cursor.execute(statement, {**self.values, **more}).fetchall()

    def report(self, generated_at: datetime) -> MorningReport:
        lane_rows = self.rows(sql.LANES, limit=LANES_SHOWN)
        risk_rows = self.rows(sql.RISKS, limit=RISKS_READ)
        names = self.site_names([row[0] for row in lane_rows] + [row[5] for row in risk_rows])
        return MorningReport(
            tenant=self.tenant,
            report_date=self.report_date,
            as_of=self.as_of,
            generated_at=generated_at,
            sla=tuple(_sla_row(row) for row in self.rows(sql.SLA)),
            days=tuple(DayCount(*row) for row in self.rows(sql.DAYS)),
            lanes=tuple(Lane(*_ends(row[0], names), *row[1:8]) for row in lane_rows),
            lanes_total=lane_rows[0][8] if lane_rows else 0,
            risks=Risks(tuple(_risk(row, names) for row in risk_rows), *self.rows(sql.RISK_TOTALS)[0]),
            exceptions=tuple(ExceptionReason(*row) for row in self.rows(sql.EXCEPTIONS)),
            health=self.health(),
            vehicles=read_sections(self.rows, self.marts, self.report_date, self.as_of.date()),
        )

    def site_names(self, lanes: list[str | None]) -> dict[str, str]:
        sites = sorted({site for lane in lanes if lane for site in lane.split(">")})
        return dict(self.rows(sql.SITES, sites=sites)) if sites else {}

    def health(self) -> Health:
        return Health(
            runs=tuple(TransformRun(*row) for row in self.rows(sql.RUNS)),
            run_counts=RunCounts(*self.rows(sql.RUN_COUNTS)[0]),
            feeds=tuple(FeedCount(*row) for row in self.rows(sql.FEEDS)),
            rejects=tuple(RejectCount(*row) for row in self.rows(sql.REJECTS)),
            failed_checks=tuple(FailedCheck(*row) for row in self.rows(sql.FAILED_CHECKS)),
            checks_total=self.rows(sql.CHECKS_TOTAL)[0][0],
            cdc=tuple(CdcPull(*row) for row in self.rows(sql.CDC)),
            reconciliation=self.reconciliation(),
        )

    def reconciliation(self) -> Reconciliation:
        open_rows = self.rows(sql.OPEN_WINDOWS, limit=WINDOWS_SHOWN)
        repaired = self.rows(sql.REPAIRED_WINDOWS, limit=WINDOWS_SHOWN)
        return Reconciliation(
            feeds=tuple(VerifiedFeed(*row) for row in self.rows(sql.VERIFIED)),
            open=tuple(OpenWindow(*row[:7]) for row in open_rows),
            open_total=open_rows[0][7] if open_rows else 0,
            repaired=tuple(RepairedWindow(*row[:5]) for row in repaired),
            checked_at=self.rows(sql.RECONCILED_AT)[0][0],
        )


def _sla_row(row: tuple[Any, ...]) -> SlaRow:
    dimension, member, *counts = row[:7]
    return SlaRow(
        dimension, member or "unknown", *counts, *(None if s is None else float(s) for s in row[7:])
    )


def _ends(lane: str | None, names: dict[str, str]) -> tuple[str, str]:
    origin, _, destination = (lane or "").partition(">")
    return names.get(origin, origin) or "unknown", names.get(destination, destination) or "unknown"


def _risk(row: tuple[Any, ...], names: dict[str, str]) -> RiskyShipment:
    shipment_id, carrier_id, service_level, mode, region, lane, *rest = row
    return RiskyShipment(shipment_id, carrier_id, service_level, mode, region, *_ends(lane, names), *rest)
