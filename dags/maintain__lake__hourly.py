"""Take what landed into the lake's Iceberg tables at minute 5 of every hour; keep the tables fit at 02:05 UTC.

`compact` claims what waits and commits it table by table, until nothing waits. `maintain`, once a day, merges the small
files of closed days, expires snapshots and removes files that no snapshot names. Both may be repeated and killed.
Runbook: [maintain__lake__hourly](docs/runbooks/maintain__lake__hourly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from fleetflow import orchestration
from fleetflow.tasks import lake

# Without it, and with a start date, a new installation would run for hours before it existed.
FIRST_ONE_AHEAD = timedelta(0)
# A try that was killed holds its claim for 60 s: the next one comes after that.
DEFAULTS = {
    **orchestration.task_defaults(timeout=timedelta(hours=2), retries=2),
    "retry_delay": timedelta(seconds=90),
}


@dag(
    dag_id="maintain__lake__hourly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("5 * * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    tags=["maintain", "lake", "hourly"],
    default_args=DEFAULTS,
    params={
        "maintain": Param(
            False, type="boolean", description="Maintain the tables in this run, whatever the hour."
        )
    },
)
def maintain_lake() -> None:
    @task
    def compact() -> dict[str, Any]:
        report = lake.compact_lake()
        if report is None:
            raise AirflowSkipException("another compaction is at work, and takes what waits")
        return report

    @task
    def maintain() -> dict[str, Any]:
        context = get_current_context()
        if not (context["params"]["maintain"] or lake.is_maintenance_hour(context["dag_run"].run_after)):
            raise AirflowSkipException(f"tables are maintained at {lake.MAINTENANCE_HOUR:02d}:05 UTC")
        return lake.maintain_tables()

    # Side by side: each may fail without the other, and their commits give way to each other.
    compact()
    maintain()


maintain_lake()
