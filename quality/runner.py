"""Runs a suite: finds its rows, measures every check, draws the verdicts, stores them, writes the data docs.

Reads landing, source, marts and ops; writes `ops.check_result` and files below `docs_dir`; changes no data.
Asserted: every check of the suite has exactly one verdict. What could not be measured is a failure.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import psycopg

from quality.docs import write_docs
from quality.expectations import Session, observe, open_session
from quality.model import Check, CheckError, CheckResult, SuiteReport, judge
from quality.results import write_results
from quality.scope import Connection, read_claim
from quality.subject import Subject
from quality.subjects import gate_subjects, nightly_subjects
from quality.suites import read_suite
from quality.vehicles import subjects as vehicles

EXAMPLES = 20


def run_suite(
    dsn: str, suite: str, *, run_id: UUID | str | None = None, docs_dir: Path | None = None
) -> SuiteReport:
    """Run a suite of `SUITES`, those of gates on what run `run_id` claimed, and store its verdicts.

    `dsn` is a postgresql:// address whose role reads the subjects and writes `ops.check_result`.

    Raises:
        CheckError: no such suite or run, or a gate without a run.
        psycopg.OperationalError: the warehouse cannot be reached.
    """
    checks = read_suite(suite)
    run = UUID(str(run_id)) if run_id is not None else None
    started = time.perf_counter()
    with psycopg.connect(dsn, autocommit=True, options="-c timezone=UTC", connect_timeout=10) as conn:
        subjects = _subjects(conn, suite, run)
        with open_session(dsn, examples=EXAMPLES if docs_dir else 0) as session:
            results = _measure(session, suite, subjects, checks)
            report = SuiteReport(suite, run, results, time.perf_counter() - started)
            # Before the docs: what was found counts, also if a page cannot be written.
            write_results(conn, report)
            if docs_dir is not None:
                report = replace(report, docs=str(write_docs(session.context, report, docs_dir)))
    return report


def _subjects(conn: Connection, suite: str, run_id: UUID | None) -> list[Subject]:
    if suite == "nightly":
        return nightly_subjects()
    if suite == "vehicles":
        return vehicles.nightly_subjects(conn)
    if run_id is None:
        raise CheckError("the gate judges what a run has claimed: give its run id")
    claim = read_claim(conn, run_id)
    return vehicles.gate_subjects(claim) if suite == "vehicles_gate" else gate_subjects(claim)


def _measure(
    session: Session, suite: str, subjects: list[Subject], checks: tuple[Check, ...]
) -> tuple[CheckResult, ...]:
    by_subject: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        by_subject[check.subject].append(check)
    if strangers := sorted(by_subject.keys() - {subject.name for subject in subjects}):
        raise CheckError(f"suite {suite}: no subject {', '.join(strangers)}")
    results = []
    for subject in subjects:
        if asked := by_subject[subject.name]:
            seen = observe(session, suite, subject, asked)
            results += [judge(suite, check, found) for check, found in zip(asked, seen, strict=True)]
    return tuple(results)
