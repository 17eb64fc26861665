"""An Airflow that answers what it is told to; the answers have the shape of those of Airflow 3.3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fleetflow.monitoring.airflow_probe import COMPONENTS


@dataclass
class Airflow:
    """An Airflow that answers what it is told to."""

    health: dict[str, Any] = field(
        default_factory=lambda: {name: {"status": "healthy"} for name in COMPONENTS}
    )
    dags: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    forbidden: str = ""
    address: str = ""

    def answer(self, path: str, token: str | None) -> tuple[int, Any]:
        place = urlsplit(path)
        if place.path == "/api/v2/monitor/health":
            return 200, self.health
        if place.path == "/auth/token":
            return 201, {"access_token": "t0ken"}
        if token != "Bearer t0ken":
            return 401, {"detail": "Invalid JWT token"}
        if place.path == self.forbidden:
            return 403, {"detail": "Forbidden"}
        query = parse_qs(place.query)
        if place.path == "/api/v2/dags":
            failed = query.get("last_dag_run_state") == ["failed"]
            return 200, self.page("dags", query, [
                {"dag_id": name, **facts} for name, facts in self.dags.items()
                if not failed or self.runs.get(name, [""])[0] == "failed"
            ])  # fmt: skip
        if place.path == "/api/v2/importErrors":
            at = datetime.now(UTC).isoformat()
            return 200, self.page("import_errors", query, [
                {"import_error_id": n, "timestamp": at, "filename": name, "bundle_name": "dags", "stack_trace": said}
                for n, (name, said) in enumerate(self.broken.items())
            ])  # fmt: skip
        assert query["order_by"] == ["-run_after"]
        states = self.runs[place.path.split("/")[4]]
        now = datetime.now(UTC)
        moments = [(now - timedelta(minutes=n)).isoformat() for n in range(len(states))]
        runs = [{"state": s, "run_after": at} for s, at in zip(states, moments, strict=True)]
        return 200, {"dag_runs": [run for run in runs if run["state"] in query["state"]]}

    def page(self, key: str, query: dict[str, list[str]], entries: list[Any]) -> dict[str, Any]:
        """At most a hundred, whatever is asked for."""
        first, limit = int(query.get("offset", ["0"])[0]), min(100, int(query["limit"][0]))
        return {key: entries[first : first + limit], "total_entries": len(entries)}


@contextmanager
def answering() -> Iterator[Airflow]:
    """Serve one on the loopback."""
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
