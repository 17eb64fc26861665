"""Background processes that are known by more than their pid.

A pid alone is worth little after a crash: the system hands it out again. So a process is remembered with the
moment it started, and is only called ours, let alone signalled, while both still agree.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fleetflow.local.errors import StackError, tail

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes the ports of outgoing connections, so that a port is still ours
# tomorrow.
PORT_RANGE = range(20_000, 32_000)
_PORT_RELEASE_S = 5.0
_START_TOLERANCE_S = 1.5


@dataclass(frozen=True)
class Proc:
    """One process of ours: its pid and the Unix time it started (seconds)."""

    pid: int
    started: float


def spawn(command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path | None = None) -> Proc:
    """Start a process in a session of its own, its output appended to `log`.

    Raises:
        StackError: the log cannot be written or the program does not exist.
    """
    try:
        with log.open("ab") as out:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
    except OSError as error:
        raise StackError(f"cannot start {command[0]}: {error.strerror} ({error.filename})") from error
    return identify(child.pid)


def identify(pid: int) -> Proc:
    """Return the process that has this pid now.

    Raises:
        StackError: there is none.
    """
    try:
        return Proc(pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess as error:
        raise StackError(f"process {pid} ended at once; see its log") from error


def alive(proc: Proc | None) -> bool:
    """Return whether exactly this process still runs (a reused pid or a zombie does not count)."""
    return proc is not None and _look_up(proc) is not None


def memory_mb(proc: Proc) -> float:
    """Return the memory of a process and all it started, in MiB; what several share counts once."""
    root = _look_up(proc)
    if root is None:
        return 0.0
    total = 0
    for member in _family(root):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += _proportional(member)
    return total / 2**20


def stop(proc: Proc, grace_s: float) -> bool:
    """End a process: SIGTERM, then SIGKILL after `grace_s` seconds; True when it ended by itself."""
    if not alive(proc):
        return True
    _signal(proc.pid, signal.SIGTERM)
    if wait_until(lambda: not alive(proc), grace_s):
        return True
    _signal(proc.pid, signal.SIGKILL)
    wait_until(lambda: not alive(proc), 5.0)
    return False


def sweep_session(leader: Proc) -> int:
    """Kill what still runs in the session that a process of ours led, itself gone or not; return how many.

    A session keeps its number until its last member ends, so no stranger can be in it; members that are older
    than the leader would be, and are left alone.
    """
    members = [found for found in psutil.process_iter() if _in_session(found, leader)]
    for member in members:
        _signal(member.pid, signal.SIGKILL)
    psutil.wait_procs(members, timeout=5.0)
    return len(members)


def wait_until(condition: Callable[[], bool], timeout_s: float, step_s: float = 0.05) -> bool:
    """Poll until `condition` holds; False when it did not within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(step_s)
    return True


def await_ready(name: str, proc: Proc, ready: Callable[[], bool], timeout_s: float, log: Path) -> None:
    """Wait until a part answers.

    Raises:
        StackError: it ended, or did not answer in time; the last line of its log is in the message.
    """
    if wait_until(lambda: ready() or not alive(proc), timeout_s, 0.1) and alive(proc):
        return
    how = f"did not answer within {timeout_s:.0f} s" if alive(proc) else "ended while starting"
    raise StackError(f"{name} {how}: {tail(log)} (whole log: {log})")


def pick_port(wanted: int | None, kept: int | None, variable: str) -> int:
    """Return a port to listen on: the one asked for, else the one used last time if free, else a free one.

    Raises:
        StackError: the port asked for (by `variable`) is taken.
    """
    if wanted is not None:
        if not port_is_free(wanted):
            raise StackError(
                f"port {wanted} is taken: end what listens there, or set {variable} to another port"
            )
        return wanted
    # The children of a server that was killed hold its port for a moment longer than it lives.
    if kept is not None and wait_until(lambda: port_is_free(kept), _PORT_RELEASE_S):
        return kept
    return next(port for port in _candidates() if port_is_free(port))


def port_is_free(port: int) -> bool:
    """Return whether a server could listen on this port of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def _candidates() -> Iterator[int]:
    return iter(random.SystemRandom().sample(PORT_RANGE, 200))


def _look_up(proc: Proc) -> psutil.Process | None:
    try:
        found = psutil.Process(proc.pid)
        same = abs(found.create_time() - proc.started) < _START_TOLERANCE_S
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
    finally:
        _reap(proc.pid)


def _family(root: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []


def _proportional(process: psutil.Process) -> int:
    full = process.memory_full_info()
    return int(getattr(full, "pss", full.rss))


def _in_session(process: psutil.Process, leader: Proc) -> bool:
    try:
        same = os.getsid(process.pid) == leader.pid
        return same and process.create_time() >= leader.started - _START_TOLERANCE_S
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _reap(pid: int) -> None:
    """Collect an ended child so that it does not stay a zombie; nothing for processes of another parent."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
