"""Reconcile each feed's closed hours at minute 20: stream, raw objects, ledger, landing, lake and marts.

Repairs what another arm still has, counts again, and keeps every attempt in `ops.reconciliation`. A run fails, and
alerts, if any window does not hold; its retries count again, when what was queued has gone through.
Runbook: [check__feeds__hourly](docs/runbooks/check__feeds__hourly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task

from fleetflow import orchestration
from fleetflow.tasks import reconciliation

# Without it, and with a start date, a new installation would run for hours before it existed.
FIRST_ONE_AHEAD = timedelta(0)
DEFAULTS = {
    **orchestration.task_defaults(timeout=timedelta(minutes=25), retries=2),
    "retry_delay": timedelta(minutes=3),
}


@dag(
    dag_id="check__feeds__hourly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("20 * * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=55),
    tags=["check", "feeds", "hourly"],
    default_args=DEFAULTS,
)
def check_feeds_hourly() -> None:
    @task
    def check_hours() -> dict[str, Any]:
        return reconciliation.check_windows("hour")

    check_hours()


check_feeds_hourly()
