"""What every DAG of the house must have. A new DAG is added to IDS, with a runbook of its name."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fleetflow.orchestration import OWNER, TAGS, runbook_of
from fleetflow.settings import PROJECT_ROOT

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

IDS = (
    "check__feeds__hourly",
    "check__feeds__nightly",
    "check__marts__nightly",
    "check__platform__health",
    "load__history__backfill",
    "load__orders__cdc",
    "maintain__airflow__daily",
    "maintain__lake__hourly",
    "maintain__partitions__daily",
    "maintain__retention__daily",
    "plan__maintenance__nightly",
    "report__sla__morning",
    "transform__shipments__microbatch",
    "transform__signals__nightly",
    "transform__vehicles__hourly",
)
# One file makes a DAG for each declared partner.
FACTORY = "load__partners__files"
DECLARED = PROJECT_ROOT / "ingestion" / "partners" / "declared"
PARTNER_IDS = tuple(f"load__partner_{path.stem}__files" for path in sorted(DECLARED.glob("*.yaml")))
ALL_IDS = tuple(sorted((*IDS, *PARTNER_IDS)))
PARSE_LIMIT_S = 0.3
MAX_LINES = 80
NAME = re.compile(r"^(load|transform|check|report|maintain|plan)__[a-z0-9_]+__[a-z]+$")
FILES = sorted((PROJECT_ROOT / "dags").glob("*.py"))

every_dag = pytest.mark.parametrize("dag_id", ALL_IDS)
every_partner = pytest.mark.parametrize("dag_id", PARTNER_IDS)
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_the_bag_holds_exactly_the_known_dags(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == list(ALL_IDS)


def test_a_file_is_one_dag_of_its_name_or_the_factory() -> None:
    assert [path.stem for path in FILES] == sorted((*IDS, FACTORY))


@every_dag
def test_names_follow_the_pattern(bag: DagBag, dag_id: str) -> None:
    assert NAME.match(dag_id)
    assert all(re.fullmatch(r"[a-z_]+", task_id) for task_id in bag.dags[dag_id].task_ids)


@every_dag
def test_owner_and_tags_are_of_the_closed_vocabulary(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert {task.owner for task in dag.tasks} == {OWNER}
    assert dag.tags <= TAGS
    assert dag_id.split("__")[0] in dag.tags


@every_dag
def test_docs_link_a_runbook_that_exists(bag: DagBag, dag_id: str) -> None:
    runbook = runbook_of(dag_id)
    assert f"({runbook})" in (bag.dags[dag_id].doc_md or "")
    text = (PROJECT_ROOT / runbook).read_text(encoding="utf-8")
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["Symptom", "What it means", "Look at", "Fix", "Verify"]


@every_dag
def test_one_run_at_a_time_and_no_past_runs(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert dag.catchup is False
    assert dag.timetable is not None
    # A partner's runs wait beside one that is triggered meanwhile: there it is the loads that take turns.
    assert dag.max_active_runs == 1 or dag_id in PARTNER_IDS


@every_dag
def test_every_task_retries_ends_and_reports_failure(bag: DagBag, dag_id: str) -> None:
    dag = bag.dags[dag_id]
    assert dag.dagrun_timeout is not None
    for task in dag.tasks:
        assert task.retries >= 1
        assert task.execution_timeout is not None
        assert timedelta(0) < task.execution_timeout <= dag.dagrun_timeout
        assert _callbacks(task), f"{task.task_id} fails in silence"


@pytest.mark.parametrize(
    ("dag_id", "cron", "hours"),
    [("report__sla__morning", "0 5 * * *", 1), ("check__feeds__nightly", "0 4 * * *", 2)],
)
def test_what_is_due_at_six_has_its_deadline(bag: DagBag, dag_id: str, cron: str, hours: int) -> None:
    dag: Any = bag.dags[dag_id]
    (deadline,) = dag.deadline
    assert (dag.timetable.expression, str(dag.timetable.timezone)) == (cron, "UTC")
    assert deadline.reference.reference_name == "DagRunLogicalDateDeadline"
    assert deadline.interval == timedelta(hours=hours)
    assert deadline.callback.path == "fleetflow.orchestration.alert_deadline"


def test_a_retry_of_the_compaction_comes_after_a_dead_claim_has_run_out(bag: DagBag) -> None:
    """Else it finds the pipeline held by the try before it, and what waits stays for an hour."""
    from fleetflow.transform import STALE_S

    delays = [task.retry_delay for task in bag.dags["maintain__lake__hourly"].tasks]
    assert min(delays) > timedelta(seconds=STALE_S)


@every_partner
def test_a_partners_loads_take_turns_and_its_waiting_holds_no_worker(bag: DagBag, dag_id: str) -> None:
    from fleetflow.partner_trigger import LoadPartnerFiles, WaitForPartnerFiles

    dag = bag.dags[dag_id]
    chain = [task.task_id for task in dag.topological_sort()]
    assert chain == ["wait", "load", "report_missing"]
    assert isinstance(dag.get_task("wait"), WaitForPartnerFiles)
    assert isinstance(dag.get_task("load"), LoadPartnerFiles)
    assert dag.get_task("load").max_active_tis_per_dag == 1
    assert dag.max_active_runs >= 2
    partner = dag_id.removeprefix("load__partner_").removesuffix("__files")
    assert {dag.get_task(task_id).partner for task_id in ("wait", "load")} == {partner}
    assert dag.params["wait"] is True


def test_a_failed_run_of_vehicles_gives_its_batches_free(bag: DagBag) -> None:
    from fleetflow.orchestration import fail_claimed_run

    dag = bag.dags["transform__vehicles__hourly"]
    assert all(fail_claimed_run in _callbacks(task) for task in dag.tasks)
    assert [task.task_id for task in dag.topological_sort()] == ["claim", "fold", "build", "mark"]
    assert dag.get_task("mark").upstream_task_ids == {"claim", "build"}


def test_a_failed_micro_batch_gives_its_batches_free(bag: DagBag) -> None:
    from fleetflow.orchestration import fail_claimed_run

    dag = bag.dags["transform__shipments__microbatch"]
    assert all(fail_claimed_run in _callbacks(task) for task in dag.tasks)
    chain = [task.task_id for task in dag.topological_sort()]
    assert chain == ["claim", "gate", "build", "mark"]
    upstream = {name: dag.get_task(name).upstream_task_ids for name in chain}
    assert upstream == {
        "claim": set(),
        "gate": {"claim"},
        "build": {"claim", "gate"},
        "mark": {"claim", "build"},
    }


@every_file
def test_a_file_is_wiring(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert not re.search(r"Variable\.get|getenv|environ|boto3|pandas|psycopg|\bnow\(", text)


def test_files_parse_quickly() -> None:
    """In a fresh process, after Airflow's own imports: CPU time, the best of three, since the machine is shared."""
    program = (
        "import sys, time, runpy, airflow.sdk, airflow.sdk.exceptions\n"
        "for path in sys.argv[1:]:\n"
        "    took = []\n"
        "    for _ in range(3):\n"
        "        for name in [n for n in sys.modules if n.split('.')[0] == 'fleetflow']:\n"
        "            del sys.modules[name]\n"
        "        started = time.process_time()\n"
        "        runpy.run_path(path)\n"
        "        took.append(time.process_time() - started)\n"
        "    print(path, min(took))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, FILES)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    took = dict(line.rsplit(" ", 1) for line in ran.stdout.splitlines() if line.startswith(str(PROJECT_ROOT)))
    assert len(took) == len(FILES)
    assert {path: seconds for path, seconds in took.items() if float(seconds) > PARSE_LIMIT_S} == {}


def test_parsing_imports_nothing_heavy() -> None:
    program = (
        "import sys, runpy\n"
        "for path in sys.argv[1:]: runpy.run_path(path)\n"
        "heavy = {'great_expectations', 'dbt', 'pyarrow', 'boto3', 'quality', 'serving', 'ingestion'}\n"
        "print('heavy:', sorted(heavy & {n.split('.')[0] for n in sys.modules}))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *map(str, FILES)],
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "heavy: []" in ran.stdout


def _callbacks(task: Any) -> list[Any]:
    given = task.on_failure_callback
    return list(given) if isinstance(given, list | tuple) else [given] if given else []
