"""Write the days of the lake's table `signal` whose CAN frames have changed, at 01:35 UTC.

A day is decoded whole from the lake's frames, by the manifest as it is now, and put in the place of what the day had in
one commit. Both a repetition and a kill leave whole days.
Runbook: [transform__signals__nightly](docs/runbooks/transform__signals__nightly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task

from fleetflow import orchestration
from fleetflow.tasks import telemetry

# Without it, and with a start date, a new installation would run for the night before it existed.
FIRST_ONE_AHEAD = timedelta(0)


@dag(
    dag_id="transform__signals__nightly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("35 1 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    tags=["transform", "lake", "vehicles", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(hours=2), retries=2),
)
def transform_signals() -> None:
    @task
    def write() -> dict[str, Any]:
        return telemetry.write_changed_days()

    write()


transform_signals()
