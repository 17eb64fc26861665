"""Check the marts, the mirrors, the last day of landing and the vehicle side, every night at 03:00 UTC.

Writes `ops.check_result` and the data docs below `<home>/data_docs`. A failed check of severity error fails
the run, alerts, and keeps the morning report from going out until it is mended or published by decision.
Runbook: [check__marts__nightly](docs/runbooks/check__marts__nightly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowFailException

from fleetflow import orchestration

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

    run_suite()


check_marts()
