"""Runs Airflow's components below one parent: `python -m fleetflow.local.airflow_supervisor`.

Does what `airflow standalone` does, with three differences. It listens on the loopback only: standalone's
scheduler and triggerer also serve logs, on every interface and with no way to bind them. It imports Airflow
once and forks the components from there, which halves the start. It starts a component again that ended,
and takes them all with it when it ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType

COMPONENTS: dict[str, list[str]] = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
_GRACE_S = 20.0
_RESTART_PAUSE_S = 2.0
_PR_SET_PDEATHSIG = 1


class Supervisor:
    """The parent of Airflow's components; one per process."""

    def __init__(self) -> None:
        """Know of no child yet."""
        self._children: dict[int, str] = {}
        self._stopping = False

    def run(self) -> None:
        """Prepare the metadata database, start every component, and keep them running until SIGTERM."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        _import_shared()
        parent = os.getpid()
        _fork(lambda: _sweep_after(parent), None)
        gate, opener = os.pipe()
        for name in COMPONENTS:
            self._start(name, gate, opener)
        os.close(gate)
        migration = _fork(_migrate, opener)
        failed = os.waitpid(migration, 0)[1] != 0
        os.close(opener)
        if failed:
            self._stopping = True
            _say("the metadata database cannot be prepared")
        self._watch()
        sys.exit(1 if failed else 0)

    def _start(self, name: str, gate: int | None = None, opener: int | None = None) -> None:
        pid = _fork(lambda: _component(name, gate), opener)
        self._children[pid] = name

    def _watch(self) -> None:
        deadline = None
        while self._children:
            if self._stopping and deadline is None:
                deadline = time.monotonic() + _GRACE_S
                self._signal(signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(0.1)
            elif name := self._children.pop(pid, None):
                self._ended(name, status)

    def _ended(self, name: str, status: int) -> None:
        if not self._stopping:
            _say(f"{name} ended with status {os.waitstatus_to_exitcode(status)}; starting it again")
            time.sleep(_RESTART_PAUSE_S)
            self._start(name)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


def _fork(work: Callable[[], None], close: int | None) -> int:
    # Runs `work` in a child that ends with it and that the system ends together with this parent.
    sys.stdout.flush()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)
        if close is not None:
            os.close(close)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # the last frame of the child: it must not run on into the parent's code
        logging.getLogger(__name__).exception("a component failed")
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _sweep_after(supervisor: int) -> None:
    """Outlive a supervisor that was killed, give what it led time to end, and kill what has not.

    Components end with their parent, but a task at work does not end with its scheduler: it asks on and on for an API
    that is gone, and keeps the executor's idle workers waiting.
    """
    import psutil

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while os.getppid() == supervisor:
        time.sleep(0.5)
    deadline = time.monotonic() + _GRACE_S
    while (left := _session_members()) and time.monotonic() < deadline:
        time.sleep(0.5)
    for pid in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def _session_members() -> list[int]:
    import psutil

    session, found = os.getsid(0), []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError):
            if pid != os.getpid() and os.getsid(pid) == session:
                found.append(pid)
    return found


def _import_shared() -> None:
    # What every component needs, once. None of it starts a thread, so forking afterwards is safe.
    from airflow.utils import db

    db.import_all_models()
    gc.freeze()  # so that collecting garbage in a child does not copy every page


def _component(name: str, gate: int | None) -> None:
    if name == "scheduler":
        preload()
    if name == "api-server":
        import airflow.api_fastapi.core_api.app
        import airflow.api_fastapi.execution_api.app  # noqa: F401
    if gate is not None:
        os.read(gate, 1)  # returns when the database is ready: nobody holds the other end any more
        os.close(gate)
    from airflow.__main__ import main
    from setproctitle import setproctitle

    setproctitle(f"airflow {name}")
    sys.argv = ["airflow", *COMPONENTS[name]]
    main()


def _migrate() -> None:
    from airflow.utils import db

    db.initdb()


def preload() -> None:
    """Import what tasks need, so that a task, which the scheduler forks, has it already."""
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    for module in ("pandas", "pyarrow.parquet", "dbt.cli.main", "great_expectations", "boto3", "psycopg"):
        try:
            __import__(module)
        except ImportError as error:
            _say(f"{module} is not loaded ahead: {error}")
    gc.freeze()


def _say(message: str) -> None:
    print(f"supervisor | {message}", flush=True)  # the process's output is its log file


if __name__ == "__main__":
    Supervisor().run()
