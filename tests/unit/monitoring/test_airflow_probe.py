"""What Airflow's API says becomes readings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fleetflow.monitoring.airflow_probe import probe_dags, probe_health
from fleetflow.monitoring.answers import NotMeasured, NotWatched
from fleetflow.monitoring.judge import find_faults
from fleetflow.monitoring.model import Look, Measured
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.settings import Settings, load_settings
from tests.unit.monitoring.airflow_answers import Airflow, answering


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    with answering() as told:
        yield told


def settings_of(airflow: Airflow | None, **more: str) -> Settings:
    env = {"FLEETFLOW_AIRFLOW_URL": airflow.address} if airflow else {}
    login = {"FLEETFLOW_AIRFLOW_USER": "admin", "FLEETFLOW_AIRFLOW_PASSWORD": "p"}
    return load_settings(Path("/nowhere"), {**env, **login, **more})


def faults(name: str, answers: Any) -> list[tuple[str, str]]:
    look = Look(datetime.now(UTC), 0.1, {name: Measured(SIGNALS[name], answers[name])})
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
    assert set(answers) == {"airflow_unhealthy", "dag_failing", "dag_broken", "dag_late", "dag_paused"}
    assert all(isinstance(answer, NotWatched) for answer in answers.values())


def test_a_dag_fails_paused_or_late_is_named(airflow: Airflow) -> None:
    def due(minutes: float) -> str:
        return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")

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


def test_a_file_that_cannot_be_imported_is_named_with_its_fault(airflow: Airflow) -> None:
    assert faults("dag_broken", probe_dags(settings_of(airflow))) == []
    said = (
        "Traceback (most recent call last):\n  File x, line 3\nModuleNotFoundError: No module named 'pytz'\n"
    )
    airflow.broken = {"load.py": said, "empty.py": ""}
    readings: Any = probe_dags(settings_of(airflow))["dag_broken"]
    assert {(r.labels, r.value, r.detail) for r in readings} == {
        (("load.py",), 1, "ModuleNotFoundError: No module named 'pytz'"),
        (("empty.py",), 1, "no traceback"),
    }


def test_more_dags_than_a_page_has_are_all_watched(airflow: Airflow) -> None:
    airflow.dags = {f"dag_{n}": {"is_paused": n == 249, "next_dagrun_run_after": None} for n in range(250)}
    answers = probe_dags(settings_of(airflow))
    assert faults("dag_paused", answers) == [("dag_249", "warn")]
    assert len(answers["dag_late"]) == 249  # type: ignore[arg-type]


def test_a_role_that_may_not_see_import_errors_still_watches_the_dags(airflow: Airflow) -> None:
    airflow.dags = {"paused": {"is_paused": True, "next_dagrun_run_after": None}}
    airflow.broken = {"x": "forbidden"}
    airflow.forbidden = "/api/v2/importErrors"
    answers = probe_dags(settings_of(airflow))
    assert isinstance(answers["dag_broken"], NotMeasured)
    assert faults("dag_paused", answers) == [("paused", "warn")]


def test_a_login_that_is_refused_is_said(airflow: Airflow) -> None:
    answers = probe_dags(settings_of(airflow, FLEETFLOW_AIRFLOW_TOKEN="stale"))
    assert "401" in str(answers["dag_failing"])
