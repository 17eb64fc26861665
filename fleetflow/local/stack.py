"""The embedded stack as a whole: `up`, `down`, `status`, and `running` for tests.

Parts: postgres, aws, sftp, airflow, worker. `up` starts what is down and leaves what runs; it may be repeated at
any time, also after a crash of any part. `down` ends only processes that this home started, the landing
worker first (it drains), Postgres last. State lies in the home: `stack.json`, `stack.env`, `postgres/`,
`aws/`, `sftp/`, `airflow/`, `logs/`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetflow.local import airflow, aws, databases, environment, postgres, sftp, worker
from fleetflow.local.errors import StackError
from fleetflow.local.pgsql import choose_place
from fleetflow.local.process import LOOPBACK, Proc, memory_mb, pick_port, stop, sweep_session
from fleetflow.local.state import FILE, State, load, locked
from fleetflow.partners import read_accounts, read_pgp_names
from fleetflow.settings import Settings, load_settings

PARTS = ("postgres", "aws", "sftp", "airflow", "worker")
_NEEDS = {"airflow": ("postgres",), "worker": ("postgres", "aws")}
_MIN_FREE_BYTES = 512 << 20
_AIRFLOW_GRACE_S = 30.0
_AWS_GRACE_S = 15.0
_SFTP_GRACE_S = 5.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Shards:
    """How many shards each stream gets when it is created."""

    gps: int = 4
    status: int = 2
    telemetry: int = 2


@dataclass(frozen=True)
class PartStatus:
    """How one part is: `since` is Unix seconds, `problem` is None when it does what it should."""

    part: str
    wanted: bool
    running: bool
    pid: int | None
    address: str | None
    since: float | None
    memory_mb: float | None
    problem: str | None


def up(
    home: Path,
    parts: Sequence[str] = PARTS,
    shards: Shards | None = None,
    env: Mapping[str, str] | None = None,
    say: Say = lambda _: None,
) -> Settings:
    """Start the parts that are not running, fill them with what the product needs, and return the settings.

    Creates databases, roles, streams, buckets and topic, and runs the migrations. `env` holds the choices
    of the user (FLEETFLOW_POSTGRES_PORT and its like, stream names, FLEETFLOW_KINESIS_LIMITS); the
    process's environment if left out.

    Raises:
        StackError: a part cannot start; the others that were started stay up.
    """
    env = os.environ if env is None else env
    _check(parts)
    with locked(home.resolve()) as state:
        _check_room(state.home)
        _tell_place(state.home, say)
        state.wanted = [part for part in PARTS if part in parts or part in state.wanted]
        _Starter(state, env, say).start(parts, shards or Shards())
    return load_settings(home.resolve(), {})


def down(home: Path, say: Say = lambda _: None) -> None:
    """Stop every part that this home started; nothing when none runs."""
    home = home.resolve()
    if not (home / FILE).exists():
        return
    with locked(home) as state:
        for part in reversed(PARTS):
            if _find(state, part) or part == "airflow":
                _stop(state, part, say)
            state.procs.pop(part, None)
        state.wanted = []


@contextmanager
def running(
    home: Path,
    parts: Sequence[str] = ("postgres", "aws"),
    shards: Shards | None = None,
    env: Mapping[str, str] | None = None,
    keep: bool = False,
) -> Iterator[Settings]:
    """Keep a stack up for the time of a block; unless handed in, the environment plays no part.

    Postgres's files, where they had to go outside the home (see `pgsql`), are removed unless `keep`.
    """
    try:
        yield up(home, parts, shards, {} if env is None else env)
    finally:
        down(home)
        place = choose_place(home.resolve())
        if not keep and home.resolve() not in place.base.parents:
            shutil.rmtree(place.base)


def status(home: Path) -> list[PartStatus]:
    """Return how each part is now."""
    state = load(home.resolve())
    return [_status(state, part) for part in PARTS]


class _Starter:
    """Starts the parts of one `up`; holds what they share."""

    def __init__(self, state: State, env: Mapping[str, str], say: Say) -> None:
        self._state = state
        self._env = env
        self._say = say
        self._place = choose_place(state.home)
        self._values: dict[str, str] = {}

    def start(self, parts: Sequence[str], shards: Shards) -> None:
        """Start what is down, in an order that lets the slow ones get ready while the others are filled."""
        self._assign_ports(parts)
        self._values = environment.write(self._state, self._env)
        if "aws" in parts:
            self._launch("aws", self._launch_aws)
        if "sftp" in parts:
            self._provision_sftp()
            self._launch("sftp", self._launch_sftp)
        if "postgres" in parts:
            self._launch("postgres", self._start_postgres)
            databases.create(self._state.ports["postgres"], self._state.secret)
        if "airflow" in parts:
            self._launch("airflow", self._launch_airflow)
        if "postgres" in parts:
            self._migrate()
        if "aws" in parts:
            self._fill_aws(shards)
        if "sftp" in parts:
            sftp.await_up(self._state.home, self._state.procs["sftp"], self._state.ports["sftp"])
        if "worker" in parts:
            self._launch("worker", self._start_worker)
        if "airflow" in parts:
            self._say("waiting for Airflow")
            airflow.await_up(self._state.home, self._state.procs["airflow"], self._state.ports["airflow"])

    def _assign_ports(self, parts: Sequence[str]) -> None:
        for part in parts:
            if not _find(self._state, part):
                variable = f"FLEETFLOW_{part.upper()}_PORT"
                wanted = _port_number(variable, self._env.get(variable))
                self._state.ports[part] = pick_port(wanted, self._state.ports.get(part), variable)

    def _launch(self, part: str, launch: Callable[[], Proc]) -> None:
        found = _find(self._state, part)
        if found is None:
            self._say(f"starting {part}")
            found = launch()
        self._state.procs[part] = found
        self._state.save()

    def _launch_aws(self) -> Proc:
        limits = aws.wants_limits(self._env)
        return aws.launch(self._state.home, self._state.ports["aws"], self._child_env(), limits)

    def _provision_sftp(self) -> None:
        # Also while the server runs: a partner that was declared since gets its account.
        declared, base = Path(self._values["FLEETFLOW_PARTNERS_DIR"]), sftp.base(self._state.home)
        sftp.provision(base, read_accounts(declared), [(LOOPBACK, self._state.ports["sftp"])])
        sftp.provision_pgp(base, read_pgp_names(declared))

    def _launch_sftp(self) -> Proc:
        return sftp.launch(self._state.home, self._state.ports["sftp"], self._child_env())

    def _start_postgres(self) -> Proc:
        return postgres.start(self._place, self._state.ports["postgres"], self._state.secret(postgres.ADMIN))

    def _launch_airflow(self) -> Proc:
        if remembered := self._state.procs.get("airflow"):
            sweep_session(remembered)  # what a killed supervisor may have left
        database = databases.uri(self._state.ports["postgres"], self._state.secret, "airflow", "airflow")
        return airflow.start(self._state, self._state.ports["airflow"], database, self._child_env())

    def _start_worker(self) -> Proc:
        return worker.start(self._state.home, self._state.ports["worker"], self._child_env())

    def _migrate(self) -> None:
        for name in databases.migrate(self._state.ports["postgres"], self._state.secret):
            self._say(f"migrated {name}")

    def _fill_aws(self, shards: Shards) -> None:
        port, proc = self._state.ports["aws"], self._state.procs["aws"]
        aws.await_up(self._state.home, proc, port)
        streams = {
            self._values["FLEETFLOW_GPS_STREAM"]: shards.gps,
            self._values["FLEETFLOW_STATUS_STREAM"]: shards.status,
            self._values["FLEETFLOW_TELEMETRY_STREAM"]: shards.telemetry,
        }
        buckets = tuple(self._values[f"FLEETFLOW_{name}_BUCKET"] for name in ("RAW", "REPORT", "LAKE"))
        aws.fill(port, streams, buckets, environment.ALERT_TOPIC)

    def _child_env(self) -> dict[str, str]:
        return environment.for_child(self._state.home, self._values)


def _check(parts: Sequence[str]) -> None:
    for part in parts:
        if part not in PARTS:
            raise StackError(f"{part} is not a part of the stack; there are {', '.join(PARTS)}")
        for needed in _NEEDS.get(part, ()):
            if needed not in parts:
                raise StackError(f"{part} needs {needed}: start both")


def _check_room(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < _MIN_FREE_BYTES:
        raise StackError(
            f"only {free >> 20} MiB are free in {home}: free some, or set FLEETFLOW_HOME to another disk"
        )


def _tell_place(home: Path, say: Say) -> None:
    base = choose_place(home).base
    if home not in base.parents:
        say(f"{home} is closed to other accounts: Postgres keeps its files in {base}")


def _port_number(variable: str, value: str | None) -> int | None:
    if not value:
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 65_535:
        raise StackError(f"{variable}={value!r} is not a port number")
    return int(value)


def _find(state: State, part: str) -> Proc | None:
    if part == "postgres":
        return postgres.find(choose_place(state.home))
    return state.running(part)


def _stop(state: State, part: str, say: Say) -> None:
    proc = _find(state, part)
    if proc is not None:
        say(f"stopping {part}")
    match part:
        case "postgres":
            postgres.stop(choose_place(state.home))
        case "airflow" if remembered := state.procs.get(part):
            stop(remembered, _AIRFLOW_GRACE_S)
            sweep_session(remembered)
        case "worker" if proc:
            stop(proc, worker.DRAIN_S)
        case "aws" if proc:
            stop(proc, _AWS_GRACE_S)
        case "sftp" if proc:
            stop(proc, _SFTP_GRACE_S)


def _status(state: State, part: str) -> PartStatus:
    proc = _find(state, part) if state.wanted or state.procs else None
    port = state.ports.get(part)
    wanted = part in state.wanted
    return PartStatus(
        part=part,
        wanted=wanted,
        running=proc is not None,
        pid=proc.pid if proc else None,
        address=_address(part, port) if port else None,
        since=proc.started if proc else None,
        memory_mb=round(memory_mb(proc), 1) if proc else None,
        problem=_problem(state, part, port) if proc and port else "not running" if wanted else None,
    )


def _address(part: str, port: int) -> str:
    match part:
        case "postgres":
            return f"127.0.0.1:{port}"
        case "aws":
            return aws.endpoint(port)
        case "sftp":
            return sftp.address(port)
        case "airflow":
            return airflow.address(port)
    return worker.metrics(port)


def _problem(state: State, part: str, port: int) -> str | None:
    match part:
        case "postgres":
            fine = postgres.ready(port, state.secret(postgres.ADMIN))
        case "aws":
            fine = aws.ready(port)
        case "sftp":
            fine = sftp.ready(port)
        case "airflow":
            ailing = airflow.unhealthy(port)
            return f"not healthy: {', '.join(ailing)}" if ailing else None
        case _:
            fine = worker.ready(port)
    return None if fine else "does not answer"
