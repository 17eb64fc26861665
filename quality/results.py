"""Keeps and reads verdicts: `ops.check_result`, one row per check and run of a suite."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from quality.model import SuiteReport
from quality.suites import SUITES

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class StoredResult:
    """A row of `ops.check_result`."""

    suite: str
    check_name: str
    subject: str
    severity: str
    passed: bool
    observed: float | None
    threshold: float | None
    unexpected: int | None
    total: int | None
    detail: str
    run_id: UUID | None
    checked_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        plain = asdict(self)
        run = self.run_id and str(self.run_id)
        return {**plain, "run_id": run, "checked_at": self.checked_at.isoformat()}


_COLUMNS = (
    "suite, check_name, subject, severity, passed, observed, threshold,"
    " unexpected, total, detail, run_id, checked_at"
)


def write_results(conn: Connection, report: SuiteReport) -> None:
    """Store every verdict of a report, in one transaction and under one time."""
    rows = [
        (
            report.suite,
            r.check.name,
            r.check.subject,
            r.severity,
            r.passed,
            r.observation.observed,
            r.threshold,
            r.observation.unexpected,
            r.observation.total,
            r.detail,
            report.run_id,
        )
        for r in report.results
    ]
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            f"insert into ops.check_result ({_COLUMNS})"
            " values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now())",
            rows,
        )


def read_latest(conn: Connection, suite: str | None = None) -> list[StoredResult]:
    """Return the newest verdict of the last week on each check, the failed ones first."""
    with conn.cursor(row_factory=class_row(StoredResult)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from (select distinct on (suite, subject, check_name) * from ops.check_result"
            " where checked_at > clock_timestamp() - interval '7 days'"
            " and (%(suite)s::text is null or suite = %(suite)s)"
            " order by suite, subject, check_name, checked_at desc, check_result_id desc) as latest"
            " order by passed, severity, suite, subject, check_name",
            {"suite": suite},
        ).fetchall()


def read_open_errors(conn: Connection) -> list[StoredResult]:
    """Return the checks whose newest verdict is a failure of severity error, of those that exist."""
    known = {(suite, check.subject, check.name) for suite, checks in SUITES.items() for check in checks}
    failed = [r for r in read_latest(conn) if not r.passed and r.severity == "error"]
    return [r for r in failed if (r.suite, r.subject, r.check_name) in known]
