"""Check the marts, the mirrors, the last day of landing, the vehicle side and the audit, every night at 03:00 UTC.

Writes `ops.check_result` and the data docs below `<home>/data_docs`. A failed check of severity error fails
the run, alerts, and keeps the morning report from going out until it is mended or published by decision.
A chain of the audit that is not as it was recorded fails the run and alerts; the report goes out all the same.
Runbook: [check__marts__nightly](docs/runbooks/check__marts__nightly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

from fleetflow import orchestration
from fleetflow.tasks import audit

# Without it, and with a start date, a new installation would run for the morning before it existed.
FIRST_ONE_AHEAD = timedelta(0)


@dag(
    dag_id="check__marts__nightly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["check", "marts", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=50)),
)
def check_marts() -> None:
    @task
    def run_suite() -> dict[str, Any]:
        try:
            return orchestration.check_marts()
        except orchestration.ChecksFailedError as failed:
            raise AirflowFailException(str(failed)) from failed

    @task(execution_timeout=timedelta(minutes=110))
    def verify_audit() -> dict[str, Any]:
        run = get_current_context()["dag_run"]
        try:
            return audit.verify_chains((run.logical_date or run.run_after).date().isoformat())
        except orchestration.ChecksFailedError as broken:
            raise AirflowFailException(str(broken)) from broken

    # Side by side: marts that fail a check keep nobody from the audit.
    run_suite()
    verify_audit()


check_marts()
