"""Airflow as a part of the stack: LocalExecutor, metadata in the embedded Postgres, on the loopback only."""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from fleetflow.local.errors import StackError
from fleetflow.local.process import LOOPBACK, Proc, await_ready, spawn
from fleetflow.local.state import State, write_private
from fleetflow.settings import PROJECT_ROOT

USER = "admin"
STARTED_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
_START_S = 240.0  # 10 s on a quiet machine of two cores, minutes on one that is busy
# A server that is down refuses at once; one that is only busy, as it is while the first runs start, answers late.
_ANSWER_S = 15


def address(port: int) -> str:
    """Return the address of the user interface."""
    return f"http://{LOOPBACK}:{port}"


def start(state: State, port: int, database: str, env: Mapping[str, str]) -> Proc:
    """Start Airflow's supervisor without waiting; `database` is the URI of its metadata database."""
    home = state.home / "airflow"
    home.mkdir(exist_ok=True)
    write_private(home / "passwords.json", json.dumps({USER: state.secret("airflow_admin")}))
    full = {**env, **settings(state, port, database)}
    return spawn([sys.executable, "-m", "fleetflow.local.airflow_supervisor"], log(state.home), full, home)


def await_up(home: Path, proc: Proc, port: int) -> None:
    """Wait until every component reports healthy.

    Raises:
        StackError: they did not within four minutes.
    """
    await_ready("Airflow", proc, lambda: not unhealthy(port), _START_S, log(home))


def log(home: Path) -> Path:
    """Return where Airflow's components write."""
    return home / "logs" / "airflow.log"


def unhealthy(port: int) -> list[str]:
    """Return the components that are not healthy now; all of them when nothing answers."""
    try:
        with urllib.request.urlopen(f"{address(port)}/api/v2/monitor/health", timeout=_ANSWER_S) as answer:
            health = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return list(STARTED_PARTS)
    return [part for part in STARTED_PARTS if (health.get(part) or {}).get("status") != "healthy"]


def settings(state: State, port: int, database: str) -> dict[str, str]:
    """Return Airflow's configuration as environment variables; the rest keeps Airflow's defaults."""
    home = state.home / "airflow"
    scheme, _, rest = database.partition("://")
    if scheme != "postgresql":
        raise StackError("Airflow's metadata database must be a postgresql:// address")
    return {
        "AIRFLOW_HOME": str(home),
        **{f"AIRFLOW__{key}": value for key, value in _core(home).items()},
        **{f"AIRFLOW__{key}": value for key, value in _pace().items()},
        **{f"AIRFLOW__{key}": value for key, value in _secrets(state).items()},
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{rest}",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": f"postgresql+asyncpg://{rest}",
        "AIRFLOW__API__HOST": LOOPBACK,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address(port)}/execution/",
    }


def _core(home: Path) -> dict[str, str]:
    return {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(home / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "dag_processor"),
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        "DATABASE__SQL_ALCHEMY_POOL_SIZE": "5",
    }


def _pace() -> dict[str, str]:
    # One API worker and few task slots: this shares a machine with everything else. Without the heartbeat
    # interval a finished task holds its slot for five seconds.
    return {
        "API__WORKERS": "1",
        "CORE__PARALLELISM": str(max(4, 2 * (os.cpu_count() or 1))),
        "CORE__MP_START_METHOD": "fork",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
    }


def _secrets(state: State) -> dict[str, str]:
    return {
        "CORE__FERNET_KEY": state.secret("airflow_fernet") + "=",  # 32 bytes as URL-safe base64, padded
        "API__SECRET_KEY": state.secret("airflow_session"),
        "API_AUTH__JWT_SECRET": state.secret("airflow_jwt"),
    }
