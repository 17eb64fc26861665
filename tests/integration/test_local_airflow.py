"""Airflow and the landing worker below the stack: one start for all of it, as it is slow."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fleetflow.local import airflow, stack
from fleetflow.local.process import wait_until
from fleetflow.local.state import load
from fleetflow.settings import Settings

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow") / "home"


@pytest.fixture(scope="module")
def settings(home: Path) -> Iterator[Settings]:
    with stack.running(home, stack.PARTS) as found:
        yield found
    leftovers = [
        found for found in psutil.process_iter(["cmdline"]) if str(home) in str(found.info["cmdline"])
    ]
    assert leftovers == []


def family(home: Path, part: str) -> list[psutil.Process]:
    root = psutil.Process(load(home).procs[part].pid)
    return [root, *root.children(recursive=True)]


def listeners(process: psutil.Process) -> set[tuple[str, int]]:
    try:
        connections = process.net_connections()
    except psutil.NoSuchProcess:  # a task's process that ended meanwhile
        return set()
    return {one.laddr for one in connections if one.status == psutil.CONN_LISTEN}


def test_every_part_is_well(settings: Settings, home: Path) -> None:
    assert {part.part: part.problem for part in stack.status(home)} == dict.fromkeys(stack.PARTS)


def test_nothing_listens_beyond_the_loopback(settings: Settings, home: Path) -> None:
    members = family(home, "airflow") + family(home, "worker") + family(home, "sftp")
    listening = {address for member in members for address in listeners(member)}
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == {
        load(home).ports[part] for part in ("airflow", "worker", "sftp")
    }


def test_the_printed_login_works(settings: Settings) -> None:
    values = settings.environment
    login = {"username": values["FLEETFLOW_AIRFLOW_USER"], "password": values["FLEETFLOW_AIRFLOW_PASSWORD"]}
    request = urllib.request.Request(
        values["FLEETFLOW_AIRFLOW_URL"] + "/auth/token",
        json.dumps(login).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["access_token"]


def test_a_component_that_dies_comes_back(settings: Settings, home: Path) -> None:
    port = load(home).ports["airflow"]
    server = next(member for member in family(home, "airflow") if "api" in member.cmdline()[0])
    server.send_signal(signal.SIGKILL)
    assert wait_until(lambda: bool(airflow.unhealthy(port)), 10)
    assert wait_until(lambda: not airflow.unhealthy(port), 240, step_s=1)


def test_killing_the_supervisor_takes_all_of_airflow_and_up_brings_it_back(
    settings: Settings, home: Path
) -> None:
    members = family(home, "airflow")
    os.kill(members[0].pid, signal.SIGKILL)
    gone, left = psutil.wait_procs(members, timeout=60)
    assert left == []
    assert len(gone) > 4
    worker = load(home).procs["worker"]
    stack.up(home, stack.PARTS, env={})
    assert load(home).procs["worker"] == worker, "what ran on was left alone"
    assert not airflow.unhealthy(load(home).ports["airflow"])
