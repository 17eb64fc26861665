"""The embedded PostgreSQL 18: one cluster for the warehouse, the order database and Airflow's metadata.

Listens on one port of the loopback, by password only, without a socket (whose path could get too long).
Durable: fsync and synchronous commit stay on, so what was committed survives a kill. Trusts
`postmaster.pid` only after it saw that this pid is a postgres of this data directory.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from fleetflow.local.errors import StackError, tail
from fleetflow.local.pgsql import Place
from fleetflow.local.process import LOOPBACK, Proc, identify, wait_until

ADMIN = "fleet_admin"
MAJOR = "18"
_START_S = 120
_ORPHANS_S = 20.0


def dsn(port: int, role: str, password: str, database: str) -> str:
    """Return the URI of a database of the embedded cluster."""
    return f"postgresql://{role}:{quote(password, safe='')}@{LOOPBACK}:{port}/{database}"


def start(place: Place, port: int, password: str) -> Proc:
    """Start the cluster, creating it first if there is none; nothing when it already runs.

    Raises:
        StackError: it cannot be created or does not start; the reason is Postgres's own last line.
    """
    if running := find(place):
        return running
    _create(place, password)
    _configure(place, port)
    _start(place)
    found = find(place)
    if found is None:
        raise StackError(f"Postgres ended while starting: {tail(place.log)} (whole log: {place.log})")
    return found


def stop(place: Place) -> None:
    """Stop the cluster (clients are cut off, transactions rolled back, a checkpoint written)."""
    if find(place) is None:
        return
    done = _ctl(place, "stop", "-m", "fast", "-t", "60")
    if done.returncode != 0:
        raise StackError(
            f"Postgres did not stop: {_last_line(done.stderr or done.stdout)} (log: {place.log})"
        )


def find(place: Place) -> Proc | None:
    """Return the running postmaster of this data directory, if there is one."""
    try:
        pid = int((place.data / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
        words = process.cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    ours = bool(words) and Path(words[0]).name == "postgres" and str(place.data) in words
    return identify(pid) if ours and process.status() != psutil.STATUS_ZOMBIE else None


def ready(port: int, password: str) -> bool:
    """Return whether the cluster lets the administrator in."""
    try:
        with psycopg.connect(dsn(port, ADMIN, password, "postgres"), connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


def _create(place: Place, password: str) -> None:
    if (place.data / "PG_VERSION").exists():
        _check_version(place)
        return
    # Into a directory beside it, renamed when complete: an interrupted initdb leaves no half cluster behind.
    fresh = place.base / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    secret = place.base / f".initial-{secrets.token_hex(8)}"
    secret.touch(mode=0o600)
    try:
        secret.write_text(password)
        place.account.give(secret)
        done = place.account.run(_initdb(place, fresh, secret), place.base)
    finally:
        secret.unlink()
    if done.returncode != 0:
        raise StackError(f"Postgres cannot create its files in {place.base}: {_last_line(done.stderr)}")
    with (fresh / "postgresql.conf").open("a") as conf:
        conf.write("\ninclude 'fleetflow.conf'\n")
    fresh.rename(place.data)


def _initdb(place: Place, target: Path, secret: Path) -> list[str | Path]:
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    login = [f"--username={ADMIN}", "--auth=scram-sha-256", f"--pwfile={secret}"]
    return [place.programs / "initdb", "-D", target, *locale, *login, "--no-instructions"]


def _check_version(place: Place) -> None:
    found = (place.data / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise StackError(
            f"{place.data} is of PostgreSQL {found}, this is {MAJOR}: move it away, or dump and restore it"
        )


def _configure(place: Place, port: int) -> None:
    path = place.data / "fleetflow.conf"
    lines = (f"{name} = '{value}'" for name, value in tuning(port, psutil.virtual_memory().total).items())
    path.write_text(
        "\n".join(["# written at every start; own settings belong into postgresql.conf", *lines, ""])
    )
    path.chmod(0o600)
    place.account.give(path)


def tuning(port: int, memory_bytes: int) -> dict[str, str]:
    """Return the server's settings for a machine with this much memory."""
    memory_mb = memory_bytes >> 20
    return {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": f"{min(max(memory_mb // 16, 128), 1024)}MB",
        "effective_cache_size": f"{max(memory_mb // 2, 256)}MB",
        "work_mem": f"{min(max(memory_mb // 256, 8), 64)}MB",
        "maintenance_work_mem": f"{min(max(memory_mb // 64, 64), 256)}MB",
        "wal_level": "logical",
        "max_wal_size": "4GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "wal_buffers": "16MB",
        # A replication slot that nobody reads any more must not fill the disk.
        "max_slot_wal_keep_size": "20GB",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_duration_statement": "10s",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "cluster_name": "fleetflow",
    }


def _start(place: Place) -> None:
    _forget_dead_postmaster(place)
    # After a kill of the postmaster its children take a moment to let go of the shared memory.
    deadline = time.monotonic() + _ORPHANS_S
    while (done := _ctl(place, "start", "-t", str(_START_S), "-l", str(place.log))).returncode != 0:
        reason = tail(place.log, 3) if place.log.exists() else _last_line(done.stderr or done.stdout)
        if "still in use" not in reason or time.monotonic() > deadline:
            raise StackError(f"Postgres does not start: {reason} (log: {place.log})")
        time.sleep(0.3)


def _forget_dead_postmaster(place: Place) -> None:
    # Postgres refuses to start while any process has the pid in its file, be it another program that got
    # the number or a zombie that nobody collects. The file also guards against orphaned backends: they first.
    path = place.data / "postmaster.pid"
    if path.exists():
        if not wait_until(lambda: not _backends(place), _ORPHANS_S):
            raise StackError(
                f"backends of a killed Postgres still run in {place.data}: end them, then try again"
            )
        path.unlink()


def _backends(place: Place) -> list[int]:
    return [found.pid for found in psutil.process_iter() if _works_in(found, place.data)]


def _works_in(process: psutil.Process, data: Path) -> bool:
    try:
        return bool(process.name() == "postgres" and process.cwd() == str(data))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _ctl(place: Place, action: str, *options: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [place.programs / "pg_ctl", action, "-D", place.data, "-w", "-s", *options]
    return place.account.run(command, place.base, timeout_s=_START_S + 30)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
