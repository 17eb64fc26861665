"""Plan the workshops at 02:30 UTC, from that day on: what is due, what is expected, what ECUs report as broken.

Reads due services, meters, open trouble codes, duties and the plan of the night before; writes the night's plan with
its reasons and the difference to that one. The same night may be planned again and gives the same plan.
Runbook: [plan__maintenance__nightly](docs/runbooks/plan__maintenance__nightly.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, dag, get_current_context, task

from fleetflow import orchestration
from fleetflow.tasks import maintenance

# Without it, and with a start date, a new installation would run for the night before it existed.
FIRST_ONE_AHEAD = timedelta(0)


@dag(
    dag_id="plan__maintenance__nightly",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 2 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["plan", "vehicles", "maintenance", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=50)),
    params={
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            description="First day that may be planned; default: the day of the run",
        ),
    },
)
def plan_maintenance() -> None:
    @task
    def plan() -> dict[str, Any]:
        context = get_current_context()
        at = context["dag_run"].logical_date or context["dag_run"].run_after
        return maintenance.plan_services(context["params"]["day"] or at.date().isoformat())

    plan()


plan_maintenance()
