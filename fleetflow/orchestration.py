"""What DAG tasks call: each function opens what it needs from the settings, does one step, returns counts.

Light to import, since the DAG processor does so for every parse: what is heavy is imported in the functions.
Return values are plain, small and free of rows and secrets, because Airflow keeps them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from fleetflow.runtime import Connection
    from fleetflow.transform import Run
    from quality.model import SuiteReport

PIPELINE = "shipments"
OWNER = "data-platform"
TAGS = frozenset({
    "load", "transform", "check", "report", "maintain", "plan",
    "orders", "shipments", "marts", "sla", "partitions",
    "partners", "lake", "feeds", "vehicles", "maintenance", "history", "retention", "platform",
    "every-minute", "hourly", "daily", "on-demand",
})  # fmt: skip

Report = dict[str, Any]

log = logging.getLogger("fleetflow.orchestration")


class ChecksFailedError(RuntimeError):
    """Checks of severity error failed; the message names each."""


def runbook_of(dag_id: str) -> str:
    """Return the path of a DAG's runbook in this repository; the DAGs of partners share one."""
    page = "load__partners__files" if dag_id.startswith("load__partner_") else dag_id
    return f"docs/runbooks/{page}.md"


def task_defaults(*, timeout: timedelta, retries: int = 1) -> dict[str, Any]:
    """Return the default arguments that every DAG gives to its tasks."""
    return {
        "owner": OWNER,
        "retries": retries,
        "retry_delay": timedelta(seconds=10),
        "execution_timeout": timeout,
        "on_failure_callback": alert_task_failure,
    }


def pull_orders() -> Report:
    """Apply to the mirrors what the order database committed; the first time, take the snapshot before."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion import cdc

    settings = load_settings()
    with connect(settings.dsn("loader")) as warehouse:
        pulls = cdc.sync(settings.orders_cdc_dsn.reveal(), warehouse)
    return {
        "changes": sum(pull.total for pull in pulls),
        "schema_changes": [change for pull in pulls for change in pull.schema_changes],
        "retained_bytes": max((pull.retained_bytes for pull in pulls), default=0),
        "seconds": round(sum(pull.seconds for pull in pulls), 3),
    }


def claim_shipments() -> str | None:
    """Claim what has landed and no run has transformed; return the run's id.

    None where nothing waits, or where a run outside Airflow is at work on it.
    """
    from fleetflow.transform import ROW_LIMIT

    return claim_batches(PIPELINE, ROW_LIMIT)


def claim_batches(pipeline: str, row_limit: int) -> str | None:
    """Claim what a pipeline has not transformed; return the run's id, or None as `claim_shipments` does."""
    from fleetflow import transform
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("transformer"), autocommit=True) as conn:
        try:
            run = transform.claim(conn, pipeline, row_limit=row_limit)
        except transform.PipelineBusyError as busy:
            log.info("%s", busy)
            return None
    return None if run is None else str(run.run_id)


def gate_run(run_id: str) -> Report:
    """Judge what a run has claimed; hold the run if a check of severity error fails.

    Raises:
        ChecksFailedError: the run is held; its batches stay out of the marts until they are released.
    """
    from fleetflow import transform
    from fleetflow.settings import load_settings
    from quality.runner import run_suite

    settings = load_settings()
    dsn = settings.dsn("transformer")
    with claimed(dsn, run_id) as (conn, run):
        with transform.heartbeat(settings, run):
            report = run_suite(dsn, "gate", run_id=run_id)
        if not report.passed:
            transform.hold(conn, run, report.summary())
            raise ChecksFailedError(f"run {run_id} is held: {report.summary()}")
    return _counts(report)


def build_run(run_id: str) -> Report:
    """Build the marts from the batches that a run has claimed; safe to repeat."""
    from fleetflow import transform
    from fleetflow.settings import load_settings

    settings = load_settings()
    models: dict[str, float] = {}
    with claimed(settings.dsn("transformer"), run_id) as (_, run):
        transform.build(settings, run, watch=lambda model, seconds: models.update({model: round(seconds, 3)}))
        return {"batches": run.batches, "events": run.events, "model_seconds": models}


def mark_run(run_id: str) -> Report:
    """Enter a run's batches as transformed; the run is done."""
    from fleetflow import transform
    from fleetflow.settings import load_settings

    with claimed(load_settings().dsn("transformer"), run_id) as (conn, run):
        return asdict(transform.mark(conn, run))


@contextmanager
def claimed(dsn: str, run_id: str) -> Iterator[tuple[Connection, Run]]:
    """Open the warehouse and find a run that still holds its claim."""
    from fleetflow import transform
    from fleetflow.runtime import connect

    with connect(dsn, autocommit=True) as conn:
        yield conn, transform.read_run(conn, UUID(run_id))


def check_marts() -> Report:
    """Run the nightly suite, write the data docs, and alert on what failed.

    Raises:
        ChecksFailedError: a check of severity error failed; the morning report will not go out.
    """
    from fleetflow.settings import load_settings
    from quality.runner import run_suite

    settings = load_settings()
    report = run_suite(settings.dsn("transformer"), "nightly", docs_dir=settings.home / "data_docs")
    if not report.passed:
        raise ChecksFailedError(report.summary())
    return _counts(report)


def require_checks() -> Report:
    """Stop the morning report while a check of severity error stands failed.

    Raises:
        ChecksFailedError: one does.
    """
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from quality.results import read_open_errors

    with connect(load_settings().dsn("ops")) as conn:
        failed = read_open_errors(conn)
    if failed:
        raise ChecksFailedError(
            "; ".join(f"{r.suite} {r.subject}.{r.check_name}: {r.detail}" for r in failed)
        )
    return {"open_errors": 0}


def list_tenants() -> list[str]:
    """Return the tenants to whom anything was ever promised."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        rows = conn.execute("select distinct tenant_id from marts.fct_on_time_daily order by 1").fetchall()
    return [tenant for (tenant,) in rows]


def publish_report(tenant: str, day: str) -> Report:
    """Write the morning SLA report of one tenant and day (YYYY-MM-DD, UTC) to disk and to the bucket."""
    from fleetflow.commands.report import moment
    from fleetflow.runtime import client, connect
    from fleetflow.settings import load_settings
    from serving.report import build_report, publish

    settings = load_settings()
    with connect(settings.dsn("ops")) as conn:
        built = build_report(conn, tenant, moment(day, datetime.now(UTC)))
    published = publish(built, settings.home / "reports", client(settings, "s3"), settings.report_bucket)
    return {"tenant": tenant, "day": day, "due": built.headline.due, "path": str(published.path)}


def keep_partitions(keep_days: int, ahead_days: int) -> Report:
    """Make landing's partitions of the days ahead, drop those that are past keeping; return what was done."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("loader")) as conn:
        rows = conn.execute(
            "select feed, day, action from ops.keep_landing(%s, %s)", (keep_days, ahead_days)
        ).fetchall()
        strays = _stray_rows(conn)
    return {"actions": [f"{feed} {day} {action}" for feed, day, action in rows], "strays": strays}


def _stray_rows(conn: Connection) -> dict[str, int]:
    """Count the rows of each default partition that has any."""
    from psycopg import sql

    tables = conn.execute(
        "select c.relname from pg_class as c join pg_inherits as i on i.inhrelid = c.oid"
        " where c.relnamespace = 'landing'::regnamespace and c.relname ~ '_default$'"
    ).fetchall()
    count = sql.SQL("select count(*) from landing.{}")
    found = {name: conn.execute(count.format(sql.Identifier(name))).fetchall()[0][0] for (name,) in tables}
    return {name: rows for name, rows in found.items() if rows}


def alert_task_failure(context: Mapping[str, Any]) -> None:
    """Tell people that a task failed for good; Airflow calls it once the retries are used up."""
    task = context["task_instance"]
    fault = context.get("exception")
    detail = f"run {task.run_id}, try {task.try_number}: {type(fault).__name__}: {fault}"
    alert("dag_failed", "error", f"{task.dag_id}.{task.task_id}", detail, runbook_of(task.dag_id))


def fail_claimed_run(context: Mapping[str, Any]) -> None:
    """Give the batches of a failed run free for the next, and tell people; a held run stays held."""
    run_id = context["task_instance"].xcom_pull(task_ids="claim")
    if run_id:
        _fail_run(run_id, str(context.get("exception")))
    alert_task_failure(context)


def _fail_run(run_id: str, reason: str) -> None:
    import psycopg

    from fleetflow import transform
    from fleetflow.settings import load_settings

    try:
        with claimed(load_settings().dsn("transformer"), run_id) as (conn, run):
            transform.fail(conn, run, reason)
    except transform.RunLostError:
        log.info("run %s had ended already", run_id)
    except psycopg.Error:
        # The alert still goes out; the next claim takes over a run whose heartbeat has stopped.
        log.exception("run %s could not be failed", run_id)


async def alert_deadline(dag_id: str, due: str, **_: Any) -> None:
    """Tell people that a DAG is not done by its deadline; runs in the triggerer."""
    import asyncio

    detail = f"{dag_id} was not done by {due}"
    await asyncio.to_thread(alert, "deadline_missed", "error", dag_id, detail, runbook_of(dag_id))


def alert(name: str, severity: Any, subject: str, detail: str, runbook: str | None = None) -> None:
    """Tell people of something that happened once; its name is in `fleetflow.monitoring.signals`. Never raises.

    What stands for a while is a signal instead: it is raised, repeated and resolved by itself.
    """
    from fleetflow.notify import Alert, notify
    from fleetflow.settings import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError:
        log.exception("alert %s: %s: no settings to send it by: %s", name, subject, detail)
        return
    notify(settings, Alert(name, severity, subject, detail, runbook or f"docs/runbooks/alert_{name}.md"))


def _counts(report: SuiteReport) -> Report:
    return {
        "checks": len(report.results),
        "warnings": [f"{r.check.subject}.{r.check.name}: {r.detail}" for r in report.warnings],
        "seconds": round(report.seconds, 3),
    }
