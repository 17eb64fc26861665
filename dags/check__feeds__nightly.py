"""Reconcile each feed's closed days, and the order database, every night at 04:00 UTC; done by 06:00.

`check_days` counts every arm of the days that are due once more, `check_orders` holds the order database against its
mirror and the marts. What comes out is a part of the morning report. If the run is not done by 06:00 UTC, an alert
says so.
Runbook: [check__feeds__nightly](docs/runbooks/check__feeds__nightly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import AsyncCallback, CronTriggerTimetable, DeadlineAlert, DeadlineReference, dag, task

from fleetflow import orchestration
from fleetflow.tasks import reconciliation

DAG_ID = "check__feeds__nightly"
DUE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
    interval=timedelta(hours=2),
    callback=AsyncCallback(orchestration.alert_deadline, kwargs={"dag_id": DAG_ID, "due": "06:00 UTC"}),
)

# Without it, and with a start date, a new installation would run for the night before it existed.
FIRST_ONE_AHEAD = timedelta(0)
DEFAULTS = {
    **orchestration.task_defaults(timeout=timedelta(minutes=80), retries=3),
    "retry_delay": timedelta(minutes=3),
}


@dag(
    dag_id=DAG_ID,
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 4 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    deadline=DUE,
    dagrun_timeout=timedelta(hours=3),
    tags=["check", "feeds", "orders", "daily"],
    default_args=DEFAULTS,
)
def check_feeds_nightly() -> None:
    @task
    def check_days() -> dict[str, Any]:
        return reconciliation.check_windows("day")

    @task
    def check_orders() -> dict[str, Any]:
        return reconciliation.check_orders()

    # Side by side: a day that differs keeps nobody from the orders, and either one fails the run.
    check_days()
    check_orders()


check_feeds_nightly()
