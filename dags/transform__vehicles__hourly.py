"""Bring what vehicles and drivers sent into their marts, hourly at minute 10: claim, gate, fold, build, mark.

`claim` takes the batches that no run has transformed; with none waiting, the rest is skipped. `gate` holds
the run if rows are lost or most vehicles are unknown to the fleet. `fold` follows tracks, driver hours, fuel and
services, vehicle by vehicle and driver by driver; `build` runs dbt on what they touched, `mark`
closes the run. A failed run gives its batches free for the next.
Runbook: [transform__vehicles__hourly](docs/runbooks/transform__vehicles__hourly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from fleetflow import orchestration
from fleetflow.tasks import vehicles

# Without it, and with a start date, a new installation would run for hours before it existed.
FIRST_ONE_AHEAD = timedelta(0)
DEFAULTS = {
    **orchestration.task_defaults(timeout=timedelta(hours=1)),
    "on_failure_callback": orchestration.fail_claimed_run,
}


@dag(
    dag_id="transform__vehicles__hourly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("10 * * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["transform", "vehicles", "marts", "hourly"],
    default_args=DEFAULTS,
)
def transform_vehicles() -> None:
    @task
    def claim() -> str:
        run = vehicles.claim_vehicles()
        if run is None:
            raise AirflowSkipException("no vehicle or driver has sent anything since the last run")
        return run

    @task
    def gate(run: str) -> dict[str, Any]:
        try:
            return vehicles.gate_run(run)
        except orchestration.ChecksFailedError as failed:
            raise AirflowFailException(str(failed)) from failed

    @task
    def fold(run: str) -> dict[str, Any]:
        return vehicles.fold_run(run)

    @task
    def build(run: str) -> dict[str, Any]:
        return orchestration.build_run(run)

    @task
    def mark(run: str) -> dict[str, Any]:
        return orchestration.mark_run(run)

    run = claim()
    gate(run) >> fold(run) >> build(run) >> mark(run)


transform_vehicles()
