"""The lake's DAG run for real: what landed comes in; the tables are maintained at their hour, or when asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fleetflow.lake import lake_status
from fleetflow.runtime import client, connect
from fleetflow.settings import Settings
from fleetflow.tasks.lake import MAINTENANCE_HOUR, is_maintenance_hour
from fleetflow.transform import STALE_S
from tests.integration.lake_stack import gps, land, sql

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

pytestmark = [
    pytest.mark.usefixtures("airflow_database"),
    pytest.mark.filterwarnings("ignore"),  # Airflow's own, while tasks run in here
]


def run(bag: DagBag, **conf: Any) -> dict[str, str]:
    """Run the DAG once; return the state of each task."""
    dag: Any = bag.dags["maintain__lake__hourly"]
    for task in dag.tasks:
        task.retry_delay = timedelta(0)
        task.retries = 0
    done = dag.test(logical_date=datetime.now(UTC), run_conf=conf)
    return {task.task_id: str(task.state) for task in done.get_task_instances()}


def test_what_landed_comes_in_and_tables_are_maintained_on_demand(bag: DagBag, stack: Settings) -> None:
    land(stack, "gps_location", [gps("a", 10), gps("b", 20)])
    assert run(bag, maintain=True) == {"compact": "success", "maintain": "success"}
    (here,) = [feed for feed in lake_status(stack) if feed.feed == "gps_location"]
    assert (here.rows, here.waiting_batches) == (2, 0)
    lost = land(stack, "gps_location", [gps("lost", 30)])
    ((key,),) = sql(stack, "select object_key from ops.batch where batch_id = %s", lost)
    client(stack, "s3").delete_object(Bucket=stack.raw_bucket, Key=key)
    assert run(bag, maintain=True)["compact"] == "failed"
    found = sql(stack, "select detail from ops.alert where subject = 'maintain__lake__hourly.compact'")
    assert any(f"batch {lost}: {key} is not in the raw bucket" in detail for (detail,) in found)


def test_a_compaction_that_finds_another_at_work_is_skipped_and_takes_over_a_dead_one(
    bag: DagBag, stack: Settings
) -> None:
    land(stack, "gps_location", [gps("busy", 40)])
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute("insert into ops.transform_run (pipeline, claimed_by) values ('lake', 'another')")
        assert run(bag, maintain=False)["compact"] == "skipped"
        conn.execute(
            "update ops.transform_run set heartbeat_at = heartbeat_at - make_interval(secs => %s)"
            " where claimed_by = 'another'",
            (STALE_S + 1,),
        )
        run(bag, maintain=False)
        assert conn.execute(
            "select state from ops.transform_run where claimed_by = 'another'"
        ).fetchall() == [("failed",)]
    assert sql(
        stack, "select count(*) from ops.pending_batch as p join ops.transform_run as r using (run_id)"
    ) == [(0,)]


def test_the_hour_of_maintenance() -> None:
    at = datetime(2026, 3, 10, MAINTENANCE_HOUR, 5, tzinfo=UTC)
    assert is_maintenance_hour(at)
    assert not is_maintenance_hour(at + timedelta(hours=1))
