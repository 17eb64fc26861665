"""Drop Airflow's own history of more than 30 days ago, every day at 07:30 UTC: runs, task instances, XComs, events.

The newest run of each DAG stays. Skipped where `FLEETFLOW_AIRFLOW_METADATA_URI` names no database: there whoever runs
Airflow keeps its history.
Runbook: [maintain__airflow__daily](docs/runbooks/maintain__airflow__daily.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from fleetflow import orchestration
from fleetflow.tasks import airflow_history

# Without it, and with a start date, a new installation would run for the day before it existed.
FIRST_ONE_AHEAD = timedelta(0)


@dag(
    dag_id="maintain__airflow__daily",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 7 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["maintain", "platform", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=50), retries=1),
    params={"keep_days": Param(30, type="integer", minimum=7)},
)
def maintain_airflow() -> None:
    @task
    def clean() -> dict[str, Any]:
        report = airflow_history.clean_history(get_current_context()["params"]["keep_days"])
        if report is None:
            raise AirflowSkipException(f"{airflow_history.ADDRESS} is not set")
        return report

    clean()


maintain_airflow()
