"""Look at the whole platform every minute: raise alerts, keep them, resolve them, and tell people once.

What is watched, and from when on it is a fault, stands in docs/reference/signals.md; `fleetflow doctor` shows the
same. Where Airflow itself may fail, `fleetflow metrics --notify-every 60` does this without it; both at once are fine.
Runbook: [check__platform__health](docs/runbooks/check__platform__health.md)
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task

from fleetflow import orchestration
from fleetflow.tasks import health


@dag(
    dag_id="check__platform__health",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("* * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(minutes=10),
    tags=["check", "platform", "every-minute"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=3)),
)
def check_platform_health() -> None:
    @task
    def check_platform() -> dict[str, Any]:
        return health.check_platform()

    check_platform()


check_platform_health()
