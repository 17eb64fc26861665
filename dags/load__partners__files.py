"""Load a partner's files: one DAG per declared partner, on the partner's own schedule.

`wait` looks at the partner's SFTP directory from the triggerer, holding no worker, until files are whole or their
grace has passed. `load` takes what is whole, and waits again in the same way while the expected delivery is not among
it; `report_missing` enters what should be there and is not. Trigger a run with `wait: false` to load what is there
now. A partner without a schedule is loaded every hour.
Runbook: [load__partners__files](docs/runbooks/load__partners__files.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import MultipleCronTriggerTimetable, Param, dag, task

from fleetflow import orchestration
from fleetflow.partner_trigger import LoadPartnerFiles, WaitForPartnerFiles
from fleetflow.partners import Schedule, read_schedules
from fleetflow.settings import load_settings
from fleetflow.tasks import partners

# Without it, and with a start date, a new installation would run for the delivery before it existed.
FIRST_ONE_AHEAD = timedelta(0)
EVERY_HOUR = ("7 * * * *",)


def build_dag(schedule: Schedule) -> None:
    crons = schedule.crons or EVERY_HOUR

    @dag(
        dag_id=f"load__partner_{schedule.partner}__files",
        doc_md=__doc__,
        schedule=MultipleCronTriggerTimetable(
            *crons, timezone=schedule.zone, run_immediately=FIRST_ONE_AHEAD
        ),
        catchup=False,
        # Runs that wait for a delivery, and one that somebody triggers meanwhile; their loads take turns.
        max_active_runs=len(crons) + 1,
        dagrun_timeout=schedule.grace + timedelta(hours=4),
        tags=["load", "partners"],
        default_args=orchestration.task_defaults(timeout=timedelta(hours=2), retries=2),
        params={"wait": Param(True, type="boolean", description="Wait for files, or load what is there now")},
    )
    def load_files() -> None:
        wait = WaitForPartnerFiles(task_id="wait", partner=schedule.partner)
        load = LoadPartnerFiles(task_id="load", partner=schedule.partner, max_active_tis_per_dag=1)

        @task
        def report_missing() -> dict[str, Any]:
            return partners.report_missing(schedule.partner)

        wait >> load >> report_missing()

    load_files()


for found in read_schedules(load_settings().partners_dir):
    build_dag(found)
