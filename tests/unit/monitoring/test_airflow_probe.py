"""What Airflow's API says becomes readings. The answers have the shape of those of Airflow 3.3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fleetflow.monitoring.airflow_probe import COMPONENTS, probe_dags, probe_health
from fleetflow.monitoring.answers import NotMeasured, NotWatched
from fleetflow.monitoring.judge import find_faults
from fleetflow.monitoring.model import Look, Measured
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.settings import Settings, load_settings

NOW = datetime.now(UTC)


@dataclass
class Airflow:
    """An Airflow that answers what it is told to."""

    health: dict[str, Any] = field(
        default_factory=lambda: {name: {"status": "healthy"} for name in COMPONENTS}
    )
    dags: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)
    address: str = ""

    def answer(self, path: str, token: str | None) -> tuple[int, Any]:
        place = urlsplit(path)
        if place.path == "/api/v2/monitor/health":
            return 200, self.health
        if place.path == "/auth/token":
            return 201, {"access_token": "t0ken"}
        if token != "Bearer t0ken":
            return 401, {"detail": "Invalid JWT token"}
        query = parse_qs(place.query)
        if place.path == "/api/v2/dags":
            failed = query.get("last_dag_run_state") == ["failed"]
            return 200, {"dags": [
                {"dag_id": name, **facts} for name, facts in self.dags.items()
                if not failed or self.runs.get(name, [""])[0] == "failed"
            ]}  # fmt: skip
        assert query["order_by"] == ["-run_after"]
        states = self.runs[place.path.split("/")[4]]
        moments = [(NOW - timedelta(minutes=n)).isoformat() for n in range(len(states))]
        runs = [{"state": s, "run_after": at} for s, at in zip(states, moments, strict=True)]
        return 200, {"dag_runs": [run for run in runs if run["state"] in query["state"]]}


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    told = Airflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content = told.answer(self.path, self.headers.get("Authorization"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        told.address = f"http://127.0.0.1:{server.server_port}"
        yield told
        server.shutdown()
        thread.join()


def settings_of(airflow: Airflow | None, **more: str) -> Settings:
    env = {"FLEETFLOW_AIRFLOW_URL": airflow.address} if airflow else {}
    login = {"FLEETFLOW_AIRFLOW_USER": "admin", "FLEETFLOW_AIRFLOW_PASSWORD": "p"}
    return load_settings(Path("/nowhere"), {**env, **login, **more})


def faults(name: str, answers: Any) -> list[tuple[str, str]]:
    look = Look(NOW, 0.1, {name: Measured(SIGNALS[name], answers[name])})
    return [(finding.subject, finding.severity) for finding in find_faults(look)]


def test_a_part_that_ails_is_named(airflow: Airflow) -> None:
    assert faults("airflow_unhealthy", probe_health(settings_of(airflow))) == []
    airflow.health["scheduler"]["status"] = "unhealthy"
    airflow.health["triggerer"] = None
    found = faults("airflow_unhealthy", probe_health(settings_of(airflow)))
    assert found == [("scheduler", "error"), ("triggerer", "error")]


def test_an_airflow_that_is_gone_is_one_fault(airflow: Airflow) -> None:
    gone = settings_of(None, FLEETFLOW_AIRFLOW_URL="http://127.0.0.1:1")
    assert faults("airflow_unhealthy", probe_health(gone)) == [("api_server", "error")]
    for answer in probe_dags(gone).values():
        assert isinstance(answer, NotMeasured)
        assert answer.because == "airflow_unhealthy"


def test_without_an_address_there_is_nothing_to_watch() -> None:
    answers = {**probe_health(settings_of(None)), **probe_dags(settings_of(None))}
    assert set(answers) == {"airflow_unhealthy", "dag_failing", "dag_late", "dag_paused"}
    assert all(isinstance(answer, NotWatched) for answer in answers.values())


def test_a_dag_fails_paused_or_late_is_named(airflow: Airflow) -> None:
    def due(minutes: float) -> str:
        return (NOW - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")

    airflow.dags = {
        "fine": {"is_paused": False, "next_dagrun_run_after": due(-1)},
        "paused": {"is_paused": True, "next_dagrun_run_after": due(600)},
        "late": {"is_paused": False, "next_dagrun_run_after": due(20)},
        "by_hand": {"is_paused": False, "next_dagrun_run_after": None},
        "once": {"is_paused": False, "next_dagrun_run_after": due(-1)},
        "often": {"is_paused": False, "next_dagrun_run_after": due(-1)},
        "never_well": {"is_paused": False, "next_dagrun_run_after": due(-1)},
    }
    airflow.runs = {
        "once": ["failed", "success", "failed", "failed"],
        "often": ["failed", "failed", "success", "failed"],
        "never_well": ["failed"] * 20,
    }
    answers = probe_dags(settings_of(airflow))
    assert faults("dag_failing", answers) == [("never_well", "error"), ("often", "warn")]
    assert faults("dag_late", answers) == [("late", "warn")]
    assert faults("dag_paused", answers) == [("paused", "warn")]
    readings: Any = answers["dag_failing"]
    assert {r.labels[0]: r.value for r in readings} == {
        "fine": 0, "paused": 0, "late": 0, "by_hand": 0, "once": 1, "often": 2, "never_well": 20,
    }  # fmt: skip


def test_a_login_that_is_refused_is_said(airflow: Airflow) -> None:
    answers = probe_dags(settings_of(airflow, FLEETFLOW_AIRFLOW_TOKEN="stale"))
    assert "401" in str(answers["dag_failing"])
