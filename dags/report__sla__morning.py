"""Publish the morning SLA report of the day before, at 05:00 UTC; operations has it before 06:00.

The report does not go out while a check of severity error stands failed, unless a run is triggered with
`publish_with_open_errors`. If the run is not done by 06:00 UTC, an alert says so.
Runbook: [report__sla__morning](docs/runbooks/report__sla__morning.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    AsyncCallback,
    CronTriggerTimetable,
    DeadlineAlert,
    DeadlineReference,
    Param,
    dag,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowFailException

from fleetflow import orchestration

DAG_ID = "report__sla__morning"
DUE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
    interval=timedelta(hours=1),
    callback=AsyncCallback(orchestration.alert_deadline, kwargs={"dag_id": DAG_ID, "due": "06:00 UTC"}),
)

# Without it, and with a start date, a new installation would run for the morning before it existed.
FIRST_ONE_AHEAD = timedelta(0)


@dag(
    dag_id=DAG_ID,
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 5 * * *", timezone="UTC", run_immediately=FIRST_ONE_AHEAD),
    catchup=False,
    max_active_runs=1,
    deadline=DUE,
    dagrun_timeout=timedelta(hours=3),
    tags=["report", "sla", "daily"],
    default_args=orchestration.task_defaults(timeout=timedelta(minutes=15), retries=2),
    params={
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            description="Day reported on; default: the day before",
        ),
        "publish_with_open_errors": Param(
            False, type="boolean", description="Publish although checks have failed"
        ),
    },
)
def report_sla() -> None:
    @task
    def require_checks() -> dict[str, Any]:
        if get_current_context()["params"]["publish_with_open_errors"]:
            return {"decided": "published although checks may have failed"}
        try:
            return orchestration.require_checks()
        except orchestration.ChecksFailedError as failed:
            raise AirflowFailException(str(failed)) from failed

    @task
    def publish() -> list[dict[str, Any]]:
        context = get_current_context()
        at = context["dag_run"].logical_date or context["dag_run"].run_after
        day = context["params"]["day"] or (at - timedelta(days=1)).date().isoformat()
        return [orchestration.publish_report(tenant, day) for tenant in orchestration.list_tenants()]

    require_checks() >> publish()


report_sla()
