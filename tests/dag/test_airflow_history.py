"""Airflow's own history: what is past its days goes by Airflow's own command, and no address is ever said."""

from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fleetflow.tasks.airflow_history import ADDRESS, CleaningError, clean_history


@pytest.mark.usefixtures("airflow_database")
def test_what_is_past_its_days_goes_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(os.environ["AIRFLOW_HOME"]) / "airflow.db"
    monkeypatch.setenv(ADDRESS, f"sqlite:///{place}")
    # As in a task: Airflow puts its own address out of reach.
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "airflow-db-not-allowed:///")
    now = datetime.now(UTC)
    with sqlite3.connect(place) as history:
        history.executemany(
            "insert into log (dttm, event) values (?, ?)",
            [((now - timedelta(days=days)).isoformat(" "), f"{days} days ago") for days in (29, 31, 400)],
        )
    assert clean_history(30, now) == {"before": (now - timedelta(days=30)).isoformat(timespec="seconds")}
    with sqlite3.connect(place) as history:
        left = history.execute("select event from log where event like '% days ago'").fetchall()
        archives = history.execute(
            "select name from sqlite_master where name like '_airflow_deleted%'"
        ).fetchall()
    assert left == [("29 days ago",)]
    assert archives == []


def test_without_an_address_nothing_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEETFLOW_HOME", str(tmp_path))
    monkeypatch.delenv(ADDRESS, raising=False)
    assert clean_history(30) is None


def test_a_database_that_does_not_answer_fails_the_task_and_keeps_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ADDRESS, "postgresql://airflow:s3cret-word@127.0.0.1:1/airflow")
    with pytest.raises(CleaningError) as caught:
        clean_history(30)
    assert "refused" in str(caught.value)
    assert "s3cret-word" not in str(caught.value)
