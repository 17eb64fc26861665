"""Drop what is past keeping, every day at 06:30 UTC: raw objects, days of landing, lake and ledger, marts rows, notes.

Nothing goes that is not reconciled, not transformed, not in the lake or under legal hold; what is refused is kept with
its reason in `ops.retention_action`.
Runbook: [maintain__retention__daily](docs/runbooks/maintain__retention__daily.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, dag, task

from fleetflow import orchestration
from fleetflow.tasks import retention

AREAS = ("landing", "raw", "lake", "marts", "rejects", "batches", "ledger")
# Without it, and with a start date, a new installation would run for the day before it existed.
FIRST_ONE_AHEAD = timedelta(0)


@dag(
    dag_id="maintain__retention__daily",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 6 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=6),
    tags=["maintain", "retention", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(hours=2), retries=2),
)
def maintain_retention() -> None:
    @task(map_index_template="{{ area }}", max_active_tis_per_dag=1)
    def drop_past_keeping(area: str) -> dict[str, Any]:
        return retention.drop_past_keeping(area)

    drop_past_keeping.expand(area=list(AREAS))


maintain_retention()
