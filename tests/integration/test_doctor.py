"""The doctor, the exporter and the dashboard on a running platform; a real Prometheus evaluates every panel's query."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from landing_stack import gps_line, status_line
from signal_cases import CASES

from fleetflow.local.process import pick_port, wait_until
from fleetflow.local.stack import running
from fleetflow.monitoring.dashboard import dashboard
from fleetflow.monitoring.exporter import LOOK_METRICS, Exporter
from fleetflow.monitoring.signals import SIGNALS, UNSEEN
from fleetflow.runtime import client, connect
from fleetflow.settings import PROJECT_ROOT, Settings
from fleetflow.tasks.health import BlindError, check_platform
from ingestion.streams.spool import LaneSpool
from tests.e2e.commands import fleetflow
from tests.unit.monitoring.airflow_answers import answering

NOWHERE = {"FLEETFLOW_OPS_DSN": "postgresql://u:p4ssw0rd@127.0.0.1:1/none"}
HELD = (
    "insert into ops.partner_file (partner, tenant_id, feed, name, state, reason, ended_at) values"
    " ('northfuel', 'acme', 'fuel_purchase', 'fuel_1.csv', 'held', 'column volume is gone', now() - interval '2 hours')"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("doctor"), ("postgres", "aws", "sftp", "worker")) as settings:
        yield settings


@pytest.fixture
def owner(stack: Settings) -> Iterator[psycopg.Connection[Any]]:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute("truncate ops.alert, ops.partner_file cascade")
        yield conn


def test_a_healthy_platform(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    said = fleetflow(stack, "doctor", "--patience", "30", "--all")
    assert "healthy: 0 errors, 0 warnings" in said
    assert [name for name in SIGNALS if name not in said] == [], (
        "what is fine is said too, and what is not watched"
    )
    found = json.loads(fleetflow(stack, "doctor", "--patience", "30", "--json"))
    assert (found["healthy"], found["findings"], found["not_measured"]) == (True, [], {})


def test_a_finding_says_what_since_when_how_bad_and_which_page(
    stack: Settings, owner: psycopg.Connection[Any]
) -> None:
    owner.execute(HELD.encode())
    said = fleetflow(stack, "doctor", "--patience", "30", fine=1)
    assert "ERROR  file fuel_1.csv of northfuel is held, 2 h now: column volume is gone" in said
    assert "(2 h): docs/runbooks/partner_file_held.md" in said
    assert "not healthy: 1 errors, 0 warnings" in said
    (finding,) = json.loads(fleetflow(stack, "doctor", "--patience", "30", "--json", fine=1))["findings"]
    assert (finding["signal"], finding["severity"], finding["standing"]) == (
        "partner_file_held",
        "error",
        True,
    )
    assert finding["labels"] == {"partner": "northfuel", "file": "fuel_1.csv"}


def test_it_tells_people_when_asked_to(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    owner.execute(HELD.encode())
    assert "alerts: 1 raised, 0 resolved, 1 open; 1 notices sent" in fleetflow(
        stack, "doctor", "--notify", fine=1
    )
    assert "alerts: 0 raised" in fleetflow(stack, "doctor", "--patience", "30", "--notify", fine=1)
    assert owner.execute("select name, delivered from ops.alert").fetchall() == [("partner_file_held", True)]


def test_the_task_of_the_dag_tells_counts_and_fails_only_when_blind(
    stack: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETFLOW_HOME", str(stack.home))
    owner.execute(HELD.encode())
    report = check_platform()
    assert (report["error"], report["raised"], report["sent"], report["not_taken"]) == (1, 1, 1, 0)
    assert owner.execute(
        "select checker from ops.health_check order by checked_at desc limit 1"
    ).fetchone() == ("check__platform__health",)
    monkeypatch.setenv("FLEETFLOW_OPS_DSN", NOWHERE["FLEETFLOW_OPS_DSN"])
    with pytest.raises(BlindError, match="the warehouse does not answer"):
        check_platform()


def test_without_postgres_it_says_so_and_judges_the_rest(stack: Settings) -> None:
    env = {**NOWHERE, "FLEETFLOW_RAW_BUCKET": "not-there"}
    done = fleetflow(stack, "doctor", "--patience", "30", env=env, fine=1)
    assert "the warehouse's Postgres does not answer" in done
    assert "s3/not-there cannot be used" in done
    assert "Traceback" not in done
    assert "p4ssw0rd" not in done


def test_without_settings_it_cannot_look(stack: Settings, tmp_path: Path) -> None:
    fleetflow(replace(stack, home=tmp_path), "doctor", fine=2)


def test_the_metrics_have_every_signal(stack: Settings) -> None:
    text = fleetflow(stack, "metrics", "--once")
    described = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert described == {signal.metric for signal in SIGNALS.values()} | set(LOOK_METRICS)
    assert 'fleetflow_signal_unmeasured{signal="stream_lag"} 0.0' in text
    assert "# TYPE fleetflow_stream_lag_seconds gauge" in text


def test_the_metrics_say_when_the_warehouse_is_gone(stack: Settings) -> None:
    text = fleetflow(stack, "metrics", "--once", env=NOWHERE)
    assert "fleetflow_warehouse_unreachable 1.0" in text
    assert 'fleetflow_signal_unmeasured{signal="stream_lag"} 0.0' in text, "one cause is one fault"


def break_everything(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    """Give each signal something to measure."""
    for case in CASES:
        if case.signal not in {"signal_unmeasured", "landing_stopped", "stream_lag"}:
            own = case.breaks.replace("'w1'", f"'{case.signal}'").replace("fuel_1", case.signal)
            owner.execute(own.encode())
    owner.execute(
        "insert into ops.transform_run (pipeline, claimed_by, state, started_at)"
        " values ('shipments', 't', 'failed', now())"
    )
    place = stack.home / "spool" / "fleetflow-gps" / "p1"
    place.mkdir(parents=True)
    (place / "owner.lock").touch()
    spool = LaneSpool(place, 0)
    spool.append(1, b"{}")
    with connect(stack.orders_cdc_dsn.reveal(), autocommit=True) as orders:
        orders.execute("select pg_create_logical_replication_slot('fleetflow', 'pgoutput')")
    kinesis = client(stack, "kinesis")
    for stream, line in ((stack.gps_stream, gps_line("e1")), (stack.status_stream, status_line("e2"))):
        kinesis.put_record(StreamName=stream, Data=line, PartitionKey="k")


class Prometheus:
    """A Prometheus of the test's own."""

    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, path: str, **query: str) -> Any:
        url = f"{self.address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def samples(self, query: str) -> int:
        return len(self.ask("query", query=query)["result"])


@contextmanager
def prometheus(place: Path, targets: dict[str, str]) -> Iterator[Prometheus]:
    """Run one with the platform's own configuration, but for addresses and pace."""
    config = yaml.safe_load((PROJECT_ROOT / "infra/monitoring/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    del config["alerting"]
    for job in config["scrape_configs"]:
        job.pop("scrape_timeout", None)
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    (place / "prometheus.yml").write_text(yaml.safe_dump(config))
    shutil.copy(PROJECT_ROOT / "infra/monitoring/alerts.yml", place)
    port = pick_port(None, None, "PROMETHEUS_PORT")
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        assert wait_until(found.ready, 60), (place / "log").read_text()
        yield found
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed (Debian package)")
def test_no_panel_is_without_data(stack: Settings, owner: psycopg.Connection[Any], tmp_path: Path) -> None:
    break_everything(stack, owner)
    with answering() as airflow:
        airflow.broken = {"f.py": "ModuleNotFoundError: no module x"}
        airflow.dags = {
            "d": {"is_paused": True, "next_dagrun_run_after": None},
            "e": {"is_paused": False, "next_dagrun_run_after": None},
        }
        exporter = Exporter(
            replace(
                stack,
                environment={
                    **stack.environment,
                    "FLEETFLOW_AIRFLOW_URL": airflow.address,
                    "FLEETFLOW_AIRFLOW_USER": "a",
                    "FLEETFLOW_AIRFLOW_PASSWORD": "p",
                },
            )
        )
        lock = connect(stack.dsn("owner"))
        waits = connect(stack.dsn("owner"))
        lock.execute("lock table ops.legal_hold in access exclusive mode")
        waits.pgconn.send_query(b"select count(*) from ops.legal_hold")
        address = f"127.0.0.1:{exporter.serve(0, '127.0.0.1')}"
        worker = urllib.parse.urlsplit(stack.environment["FLEETFLOW_WORKER_METRICS_URL"]).netloc
        queries = {
            target["expr"]: panel["title"]
            for panel in dashboard()["panels"]
            if panel["type"] != "row"
            for target in panel["targets"]
        }
        with prometheus(tmp_path, {"fleetflow": address, "landing": worker}) as server:
            empty: list[str] = []

            def all_have_data() -> bool:
                empty[:] = [title for query, title in queries.items() if not server.samples(query)]
                return not empty

            wait_until(all_have_data, 45)
            assert empty == []
            rules = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
            assert {rule["health"] for rule in rules} == {"ok"}
            assert {rule["name"] for rule in rules} == {*SIGNALS, UNSEEN}
            standing = {"partner_file_held", "transform_held", "check_failed", "reconciliation_open"}
            assert wait_until(lambda: standing <= server.firing(), 30), server.firing()
            assert UNSEEN not in server.firing()
        lock.close()
        waits.close()
