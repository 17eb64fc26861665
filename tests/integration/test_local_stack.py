"""The embedded stack for real: start, kill, start again, refuse, stop. Airflow has a file of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from fleetflow.local import aws, stack
from fleetflow.local.errors import StackError
from fleetflow.local.pgsql import NOBODY, choose_place
from fleetflow.local.process import Proc, alive, identify, pick_port, sweep_session, wait_until
from fleetflow.local.state import load
from fleetflow.settings import PROJECT_ROOT, Settings

AS_ROOT = os.geteuid() == 0
ROLES = ("owner", "loader", "transformer", "ops", "analyst")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack") / "home"


@pytest.fixture(scope="module")
def settings(home: Path) -> Iterator[Settings]:
    with stack.running(home, shards=stack.Shards(gps=3, status=1)) as found:
        yield found


def pids(home: Path) -> dict[str, int | None]:
    return {part.part: part.pid for part in stack.status(home)}


def listeners(pid: int) -> set[str]:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    connections = [one for member in family for one in member.net_connections()]
    return {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}


def test_every_role_gets_in_and_finds_its_schemas(settings: Settings) -> None:
    for role in ROLES:
        with psycopg.connect(settings.dsn(role)) as conn:
            assert conn.execute("select count(*) from pg_namespace where nspname = 'marts'").fetchone() == (
                1,
            )
    with psycopg.connect(settings.orders_dsn.reveal()) as conn:
        assert conn.execute("select count(*) from shipments").fetchone() == (0,)
    with psycopg.connect(settings.orders_cdc_dsn.reveal()) as conn:
        assert conn.execute("show wal_level").fetchone() == ("logical",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select full_name from drivers")


def test_a_wrong_password_is_refused(settings: Settings) -> None:
    user, _, place = settings.dsn("owner").partition("@")
    wrong = user.rpartition(":")[0] + ":wrong@" + place
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_streams_buckets_and_topic_are_there(settings: Settings, home: Path) -> None:
    port = load(home).ports["aws"]
    kinesis = aws.client(port, "kinesis")
    shards = {name: len(kinesis.list_shards(StreamName=name)["Shards"]) for name in settings.streams}
    assert shards == {"fleetflow-gps": 3, "fleetflow-status": 1, "fleetflow-telemetry": 2}
    buckets = {bucket["Name"] for bucket in aws.client(port, "s3").list_buckets()["Buckets"]}
    assert buckets == {settings.raw_bucket, settings.report_bucket, settings.lake_bucket}
    topics = [topic["TopicArn"] for topic in aws.client(port, "sns").list_topics()["Topics"]]
    assert topics == [settings.alert_topic_arn]


def test_it_listens_on_the_loopback_only(settings: Settings, home: Path) -> None:
    for part, pid in pids(home).items():
        if part in ("postgres", "aws"):
            assert pid is not None
            assert listeners(pid) == {"127.0.0.1"}


def test_secrets_are_for_the_owner_of_the_home_only(settings: Settings, home: Path) -> None:
    for name in ("stack.env", "stack.json"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


@pytest.mark.skipif(not AS_ROOT, reason="only root has to run Postgres as somebody else")
def test_root_runs_postgres_as_nobody(settings: Settings, home: Path) -> None:
    assert psutil.Process(pids(home)["postgres"]).uids().real == NOBODY


def test_up_again_starts_nothing_twice(settings: Settings, home: Path) -> None:
    before = pids(home)
    again = stack.up(home, ("postgres", "aws"), env={})
    assert pids(home) == before
    assert again.dsn("owner") == settings.dsn("owner")


def test_after_a_kill_up_brings_back_what_was_committed(settings: Settings, home: Path) -> None:
    with psycopg.connect(settings.dsn("owner"), autocommit=True) as conn:
        conn.execute("create table public.kept as select 42 as answer")
    before = pids(home)
    for part in ("postgres", "aws"):
        pid = before[part]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(not part.running for part in stack.status(home)), 5)
    problems = {part.part: part.problem for part in stack.status(home)}
    down = dict.fromkeys(("postgres", "aws"), "not running")
    assert problems == {**down, "sftp": None, "airflow": None, "worker": None}
    again = stack.up(home, ("postgres", "aws"), env={})
    assert not set(pids(home).values()) & {before["postgres"], before["aws"]}
    with psycopg.connect(again.dsn("owner"), autocommit=True) as conn:
        assert conn.execute("select answer from public.kept").fetchone() == (42,)
        conn.execute("drop table public.kept")
    assert again.dsn("owner") == settings.dsn("owner"), "port and password stay"


def test_a_pid_that_went_to_another_program_is_not_ours(home: Path, settings: Settings) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        assert alive(identify(stranger.pid))
        assert not alive(Proc(stranger.pid, started=identify(stranger.pid).started - 100))
        postmaster = choose_place(home).data / "postmaster.pid"
        stack.down(home)
        postmaster.write_text(f"{stranger.pid}\n")
        choose_place(home).account.give(postmaster)
        stack.up(home, ("postgres", "aws"), env={})
        assert stranger.poll() is None
        assert pids(home)["postgres"] not in (None, stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_the_command_shows_the_state_and_fails_when_a_part_is_missing(home: Path, settings: Settings) -> None:
    shown = _command(home, "status", "--json")
    assert shown.returncode == 0, shown.stderr
    parts = {part["part"]: part for part in json.loads(shown.stdout)}
    assert parts["postgres"]["running"]
    assert parts["postgres"]["memory_mb"] > 5
    assert not parts["airflow"]["wanted"]
    os.kill(parts["aws"]["pid"], signal.SIGKILL)
    shown = _command(home, "status")
    assert shown.returncode == 1
    assert "not running" in shown.stdout
    stack.up(home, ("postgres", "aws"), env={})
    dsn = _command(home, "dsn", "warehouse", "--role", "analyst")
    assert dsn.stdout.strip() == settings.dsn("analyst")


def _command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import typer; from fleetflow.commands import stack; app = typer.Typer(); stack.register(app); app()"
    )
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), "FLEETFLOW_HOME": str(home)}
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_a_taken_port_is_named_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} is taken.*FLEETFLOW_POSTGRES_PORT"):
            stack.up(tmp_path / "home", ("postgres",), env={"FLEETFLOW_POSTGRES_PORT": str(port)})
        assert pick_port(None, port, "-") != port, "a port of last time that is taken now is given up"


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"FLEETFLOW_AWS_PORT": "80a"}, "FLEETFLOW_AWS_PORT='80a' is not a port number"),
        ({"FLEETFLOW_KINESIS_LIMITS": "no"}, "FLEETFLOW_KINESIS_LIMITS='no' is neither 0 nor 1"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, env: dict[str, str], message: str) -> None:
    with pytest.raises(StackError, match=message):
        stack.up(tmp_path / "home", ("aws",), env=env)


def test_a_home_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(StackError, match=r"cannot use .*/file/home as FLEETFLOW_HOME.*Not a directory"):
        stack.up(file / "home", ("postgres",), env={})


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text("{")
    with pytest.raises(StackError, match="is damaged: move it away"):
        stack.status(tmp_path)


def test_a_part_needs_the_parts_below_it(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="worker needs postgres"):
        stack.up(tmp_path, ("worker",), env={})


def test_a_stack_that_never_was_is_stopped_and_ends_quietly(tmp_path: Path) -> None:
    stack.down(tmp_path / "none")
    assert not any(part.running or part.problem for part in stack.status(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root runs Postgres as another account")
def test_a_home_closed_to_others_puts_postgres_elsewhere() -> None:
    above = Path(tempfile.mkdtemp(dir="/var/tmp"))  # mode 0700, below directories that are open
    home = above / "home"
    said: list[str] = []
    try:
        settings = stack.up(home, ("postgres",), env={}, say=said.append)
        place = choose_place(home)
        assert home not in place.base.parents
        assert any(str(place.base) in line for line in said)
        with psycopg.connect(settings.dsn("owner")) as conn:
            assert conn.execute("select 1").fetchone() == (1,)
        above.chmod(0o711)
        assert choose_place(home) == place, "it stays where its data is, also once the home is open"
    finally:
        stack.down(home)
        shutil.rmtree(choose_place(home).base)
        shutil.rmtree(above)


def test_sweeping_a_session_leaves_strangers_alone() -> None:
    script = "import os, time; [os.fork() for _ in range(2)]; time.sleep(60)"
    ours = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        leader = identify(ours.pid)
        assert wait_until(lambda: len(psutil.Process(ours.pid).children(recursive=True)) == 3, 10)
        assert sweep_session(leader) == 4
        assert stranger.poll() is None
    finally:
        for process in (ours, stranger):
            process.kill()
            process.wait()
