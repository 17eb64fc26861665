"""Bring what landed into the marts, every 30 seconds: claim, gate, build, mark.

`claim` takes the batches that no run has transformed; with none waiting, the rest is skipped. `gate` checks
the claimed rows before a mart is touched and holds the run if a check of severity error fails. `build` runs
dbt on exactly these batches, `mark` closes the run. A failed run gives its batches free for the next.
Runbook: [transform__shipments__microbatch](docs/runbooks/transform__shipments__microbatch.md)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import DeltaTriggerTimetable, dag, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from fleetflow import orchestration

DEFAULTS = {
    **orchestration.task_defaults(timeout=timedelta(minutes=10)),
    "on_failure_callback": orchestration.fail_claimed_run,
}


@dag(
    dag_id="transform__shipments__microbatch",
    doc_md=__doc__,
    schedule=DeltaTriggerTimetable(timedelta(seconds=30)),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    tags=["transform", "shipments", "marts", "every-minute"],
    default_args=DEFAULTS,
)
def transform_shipments() -> None:
    @task
    def claim() -> str:
        run = orchestration.claim_shipments()
        if run is None:
            raise AirflowSkipException("nothing has landed since the last run")
        return run

    @task
    def gate(run: str) -> dict[str, Any]:
        try:
            return orchestration.gate_run(run)
        except orchestration.ChecksFailedError as held:
            raise AirflowFailException(str(held)) from held

    @task
    def build(run: str) -> dict[str, Any]:
        return orchestration.build_run(run)

    @task
    def mark(run: str) -> dict[str, Any]:
        return orchestration.mark_run(run)

    run = claim()
    gate(run) >> build(run) >> mark(run)


transform_shipments()
