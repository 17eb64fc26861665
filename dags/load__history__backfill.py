"""Land, build and verify a range of history again; by itself only verify the day before, every day at 02:30 UTC.

With `feed`, the run brings a range back: `from` to `to`, or the day of its data interval, so that
`airflow backfill create --dag-id load__history__backfill --dag-run-conf '{"feed": "shipment_event"}'` with two dates is
a backfill a day. Without it, the day of the interval is compared with what landed; nothing is changed. A run that was
killed goes on where it stopped. Transforming is left to transform__shipments__microbatch.
Runbook: [load__history__backfill](docs/runbooks/load__history__backfill.md)
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, Param, dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from fleetflow import orchestration

INSTANT = {
    "type": ["null", "string"],
    "description": "Day or instant (UTC); default: the day of the data interval",
}


@dag(
    dag_id="load__history__backfill",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("30 2 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
    tags=["load", "history", "daily", "on-demand"],
    default_args=orchestration.task_defaults(timeout=timedelta(hours=12), retries=2),
    params={
        "feed": Param(None, type=["null", "string"], description="The feed; none: only verify"),
        "from": Param(None, **INSTANT),
        "to": Param(None, **INSTANT),
        "dry_run": Param(False, type="boolean", description="Count what would be done; change nothing"),
        "max_rows": Param(4_000_000, type="integer", minimum=1, description="Rows of a chunk"),
        "transform_here": Param(False, type="boolean", description="Do the transform runs in this task"),
    },
)
def load_history() -> None:
    @task
    def bring_back() -> dict[str, Any]:
        from fleetflow.tasks import backfill

        context = get_current_context()
        params = context["params"]
        start = context["data_interval_start"] or context["dag_run"].run_after - timedelta(days=1)
        day = start.date()
        if params["feed"] is None:
            scheduled = context["dag_run"].run_type == "scheduled"
            if scheduled and not backfill.had_landed(context["data_interval_end"]):
                raise AirflowSkipException("a new installation: nothing had landed when this day ended")
            return backfill.verify_day(day.isoformat())
        return backfill.backfill_range(
            params["feed"],
            params["from"] or day.isoformat(),
            params["to"] or (day + timedelta(days=1)).isoformat(),
            dry_run=params["dry_run"],
            max_rows=params["max_rows"],
            transform_here=params["transform_here"],
            requested_by=f"airflow {context['dag_run'].run_id}",
        )

    bring_back()


load_history()
