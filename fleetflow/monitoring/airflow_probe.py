"""What Airflow says of itself and of its DAGs, by its REST API (v2)."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fleetflow.monitoring.answers import Answer, Answers, NotMeasured, NotWatched, in_words
from fleetflow.monitoring.model import Reading
from fleetflow.settings import Settings

COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
TIMEOUT_S = 2.0
_DAG_SIGNALS = ("dag_failing", "dag_broken", "dag_late", "dag_paused")
_PAGE = 100  # Airflow gives no more at a time, whatever is asked for
_UNSET = NotWatched("FLEETFLOW_AIRFLOW_URL is not set")
_FAULTS = (urllib.error.URLError, OSError, ValueError, KeyError)


def probe_health(settings: Settings) -> Answers:
    """Ask each part of Airflow how it is."""
    base = settings.environment.get("FLEETFLOW_AIRFLOW_URL")
    if not base:
        return {"airflow_unhealthy": _UNSET}
    try:
        health = _call(f"{base}/api/v2/monitor/health")
    except _FAULTS as fault:
        return {"airflow_unhealthy": (Reading(("api_server",), 1, detail=in_words(fault)),)}
    return {"airflow_unhealthy": (Reading(("api_server",), 0), *map(_component, COMPONENTS, [health] * 4))}


def _component(name: str, health: Mapping[str, Any]) -> Reading:
    status = (health.get(name) or {}).get("status")
    return Reading((name,), float(status != "healthy"), detail=f"it says {status or 'nothing'}")


def probe_dags(settings: Settings) -> Answers:
    """Find DAGs that fail, are paused, or did not start when they should have, and files that make none."""
    base = settings.environment.get("FLEETFLOW_AIRFLOW_URL")
    if not base:
        return dict.fromkeys(_DAG_SIGNALS, _UNSET)
    try:
        token = _login(settings, base)
        dags = _pages(base, token, "dags", "dags")
        failed = [dag["dag_id"] for dag in _pages(base, token, "dags", "dags", last_dag_run_state="failed")]
        failing = tuple(_failures(base, token, dag_id) for dag_id in failed)
    except _FAULTS as fault:
        silent = NotMeasured(f"Airflow's API: {in_words(fault)}", because="airflow_unhealthy")
        return dict.fromkeys(_DAG_SIGNALS, silent)
    quiet = tuple(Reading((dag["dag_id"],), 0) for dag in dags if dag["dag_id"] not in failed)
    return {
        "dag_failing": (*failing, *quiet),
        "dag_broken": _import_errors(base, token),
        "dag_late": tuple(_overdue(dag) for dag in dags if not dag["is_paused"]),
        "dag_paused": tuple(Reading((dag["dag_id"],), float(dag["is_paused"])) for dag in dags),
    }


def _pages(base: str, token: str | None, path: str, key: str, **query: str) -> list[dict[str, Any]]:
    """Return all entries of a list, page by page."""
    found: list[dict[str, Any]] = []
    while True:
        words = urllib.parse.urlencode({"limit": _PAGE, "offset": len(found), **query})
        page = _call(f"{base}/api/v2/{path}?{words}", token)
        found += page[key]
        if not page[key] or len(found) >= page["total_entries"]:
            return found


def _import_errors(base: str, token: str | None) -> Answer:
    """List the files that make no DAG; a role that may not see them keeps nobody from the DAGs."""
    try:
        return tuple(map(_broken, _pages(base, token, "importErrors", "import_errors")))
    except _FAULTS as fault:
        return NotMeasured(f"Airflow's API: {in_words(fault)}")


def _broken(error: Mapping[str, Any]) -> Reading:
    """Name the file and the last line of its traceback, which says what is wrong."""
    lines = str(error.get("stack_trace") or "").strip().splitlines()
    since = _moment(error.get("timestamp"))
    return Reading((str(error["filename"]),), 1, since, lines[-1] if lines else "no traceback")


def _failures(base: str, token: str | None, dag_id: str) -> Reading:
    """Count the failed runs up to the newest one."""
    query = urllib.parse.urlencode(
        {"limit": 20, "order_by": "-run_after", "state": ["failed", "success"]}, doseq=True
    )
    runs = _call(f"{base}/api/v2/dags/{urllib.parse.quote(dag_id)}/dagRuns?{query}", token)["dag_runs"]
    states = [run["state"] for run in runs]
    count = states.index("success") if "success" in states else len(states)
    since = _moment(runs[count - 1].get("run_after")) if count else None
    return Reading((dag_id,), count, since)


def _overdue(dag: Mapping[str, Any]) -> Reading:
    due = _moment(dag.get("next_dagrun_run_after"))
    late = (datetime.now(UTC) - due).total_seconds() if due else 0.0
    # Not since when it was due: a DAG that is new, or was paused, was due long ago and is not late for that.
    return Reading((dag["dag_id"],), max(0.0, late))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _login(settings: Settings, base: str) -> str | None:
    """Return a token: the one of the settings, else one for the user of the settings, else none."""
    values = settings.environment
    if token := values.get("FLEETFLOW_AIRFLOW_TOKEN"):
        return token
    user, password = values.get("FLEETFLOW_AIRFLOW_USER"), values.get("FLEETFLOW_AIRFLOW_PASSWORD")
    if not user or not password:
        return None
    body = json.dumps({"username": user, "password": password}).encode()
    return str(_call(f"{base}/auth/token", body=body)["access_token"])


def _call(url: str, token: str | None = None, body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found
