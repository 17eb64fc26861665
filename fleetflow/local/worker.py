"""The landing worker as a part of the stack: `fleetflow land` in the background."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from fleetflow.local.process import LOOPBACK, Proc, await_ready, spawn
from fleetflow.settings import PROJECT_ROOT

DRAIN_S = 45.0
_START_S = 120.0
_PROGRAM = "from fleetflow.cli import main; main()"


def metrics(port: int) -> str:
    """Return the address of the worker's Prometheus metrics."""
    return f"http://{LOOPBACK}:{port}/metrics"


def start(home: Path, port: int, env: Mapping[str, str]) -> Proc:
    """Start a landing worker and wait until it serves its metrics.

    Raises:
        StackError: it ended or did not answer; the last line of its log is in the message.
    """
    log = home / "logs" / "land.log"
    command = [sys.executable, "-c", _PROGRAM, "land", "--metrics-port", str(port)]
    proc = spawn(command, log, env, PROJECT_ROOT)
    await_ready("The landing worker", proc, lambda: ready(port), _START_S, log)
    return proc


def ready(port: int) -> bool:
    """Return whether a worker answers on this port."""
    try:
        with urllib.request.urlopen(metrics(port), timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
