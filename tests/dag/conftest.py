"""Airflow for tests: a home of its own with a SQLite database, made before Airflow is first imported."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fleetflow.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

DAGS = PROJECT_ROOT / "dags"

# Airflow reads its configuration once, on import, so a fixture would come too late.
_HOME = Path(tempfile.mkdtemp(prefix="fleetflow-airflow-"))
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update(
    AIRFLOW_HOME=str(_HOME),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(DAGS),
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__LOGGING__LOGGING_LEVEL="WARNING",
)


@pytest.fixture(scope="session")
def bag() -> DagBag:
    """Every DAG of the house, parsed as the DAG processor does."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


@pytest.fixture(scope="session")
def airflow_database() -> None:
    """Airflow's metadata database, migrated."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The embedded stack that the tasks find by FLEETFLOW_HOME."""
    from fleetflow.local.stack import running

    home = tmp_path_factory.mktemp("stack")
    with running(home, ("postgres", "aws")) as settings, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("FLEETFLOW_", "AWS_"))]:
            patch.delenv(name)
        patch.setenv("FLEETFLOW_HOME", str(home))
        yield settings
