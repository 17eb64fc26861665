"""The few calls of Airflow's REST API (v2) by which the front door triggers runs and reads how they went."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetflow.local.airflow import USER, address
from fleetflow.local.errors import StackError

_ENDED = {"success", "failed"}
_CALL_S = 90.0  # the first call of a busy machine takes long: Airflow imports much of itself then


@dataclass(frozen=True)
class DagRun:
    """One run of a DAG; state is queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDED


class AirflowApi:
    """A session with the embedded Airflow, as its generated admin login."""

    def __init__(self, home: Path, port: int) -> None:
        self._base = address(port)
        password = json.loads((home / "airflow" / "passwords.json").read_text())[USER]
        answer = self._call("POST", "/auth/token", {"username": USER, "password": password}, token=None)
        self._token = str(answer["access_token"])

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> DagRun:
        """Queue a run now.

        Raises:
            StackError: Airflow does not know the DAG, or refuses.
        """
        path = f"/api/v2/dags/{urllib.parse.quote(dag_id)}/dagRuns"
        return _run(self._call("POST", path, {"logical_date": None, "conf": conf or {}}, token=self._token))

    def runs(self, dag_id: str = "~") -> list[DagRun]:
        """Return the runs of a DAG, or of all, newest first (at most 1,000)."""
        query = urllib.parse.urlencode({"limit": 1000, "order_by": "-run_after"})
        path = f"/api/v2/dags/{urllib.parse.quote(dag_id)}/dagRuns?{query}"
        return [_run(entry) for entry in self._call("GET", path, None, token=self._token)["dag_runs"]]

    def wait(self, run: DagRun, timeout_s: float) -> DagRun:
        """Wait for a run's end.

        Raises:
            StackError: it did not end in time.
        """
        path = f"/api/v2/dags/{urllib.parse.quote(run.dag_id)}/dagRuns/{urllib.parse.quote(run.run_id)}"
        deadline = time.monotonic() + timeout_s
        while not run.ended:
            if time.monotonic() > deadline:
                raise StackError(f"{run.dag_id} was still {run.state} after {timeout_s:.0f} s")
            time.sleep(0.4)
            run = _run(self._call("GET", path, None, token=self._token))
        return run

    def _call(self, method: str, path: str, body: dict[str, Any] | None, token: str | None) -> dict[str, Any]:
        request = urllib.request.Request(
            self._base + path, method=method, data=None if body is None else json.dumps(body).encode()
        )
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=_CALL_S) as answer:
                found: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as fault:
            raise StackError(
                f"Airflow refused {method} {path}: {fault.code} {fault.read()[:200]!r}"
            ) from fault
        except (urllib.error.URLError, OSError) as fault:
            raise StackError(f"Airflow does not answer at {self._base}: {fault}") from fault
        return found


def _run(entry: dict[str, Any]) -> DagRun:
    return DagRun(entry["dag_id"], entry["dag_run_id"], entry["state"])
