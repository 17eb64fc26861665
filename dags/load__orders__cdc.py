"""Mirror the order database into the warehouse, every minute.

One task applies what was committed since the last pull, with its position, in one transaction; repeatable.
Runbook: [load__orders__cdc](docs/runbooks/load__orders__cdc.md)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task

from fleetflow import orchestration


@dag(
    dag_id="load__orders__cdc",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=30),
    tags=["load", "orders", "every-minute"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=20), retries=2),
)
def load_orders() -> None:
    @task
    def pull() -> dict[str, Any]:
        return orchestration.pull_orders()

    pull()


load_orders()
