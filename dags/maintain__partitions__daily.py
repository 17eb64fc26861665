"""Keep landing's daily partitions: three days ahead, seven days behind, every day at 01:00 UTC.

A partition whose rows no pipeline has transformed is never dropped. Rows that arrived on a day without a
partition are reported by an alert.
Runbook: [maintain__partitions__daily](docs/runbooks/maintain__partitions__daily.md)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task

from fleetflow import orchestration


@dag(
    dag_id="maintain__partitions__daily",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 1 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    tags=["maintain", "partitions", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=10), retries=3),
    params={
        "keep_days": Param(7, type="integer", minimum=1),
        "ahead_days": Param(3, type="integer", minimum=1),
    },
)
def maintain_partitions() -> None:
    @task
    def keep() -> dict[str, Any]:
        params = get_current_context()["params"]
        return orchestration.keep_partitions(params["keep_days"], params["ahead_days"])

    keep()


maintain_partitions()
