"""Outages of the embedded stack, on request: to rehearse what the runbooks say, and to test that nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path

from fleetflow.local import aws, aws_faults, postgres
from fleetflow.local.errors import StackError
from fleetflow.local.pgsql import choose_place
from fleetflow.local.state import load, locked

KINDS = ("postgres", "s3", "kinesis")


def play(home: Path, kind: str, seconds: float) -> None:
    """Let one part fail for so many seconds, and return when it works again.

    `postgres` is stopped and started, clients cut off; `s3` answers 500 and 503 in turn; `kinesis` throttles every
    read and write. Interrupted, it still brings the part back.

    Raises:
        StackError: the part does not run, or does not come back.
    """
    if kind == "postgres":
        _stop_postgres(home.resolve(), seconds)
    elif kind in aws_faults.SERVICES:
        _fail_aws(home.resolve(), kind, seconds)
    else:
        raise StackError(f"{kind} is not an outage; there are {', '.join(KINDS)}")


def _stop_postgres(home: Path, seconds: float) -> None:
    place = choose_place(home)
    if postgres.find(place) is None:
        raise StackError("Postgres does not run: `fleetflow up` starts it")
    with locked(home) as state:
        postgres.stop(place)
        try:
            time.sleep(seconds)
        finally:
            state.procs["postgres"] = postgres.start(
                place, state.ports["postgres"], state.secret(postgres.ADMIN)
            )


def _fail_aws(home: Path, service: str, seconds: float) -> None:
    port = load(home).ports.get("aws")
    if port is None or not aws.ready(port):
        raise StackError("the AWS stand-in does not run: `fleetflow up` starts it")
    aws.play_outage(port, {service: seconds})
    try:
        time.sleep(seconds)
    finally:
        aws.play_outage(port, {service: 0})
