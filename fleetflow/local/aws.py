"""The AWS stand-in as a part of the stack: starts its process, asks how it is, fills in what a stack needs.

`python -m fleetflow.local.aws` is that process (see `aws_server`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetflow.local.aws_faults import PATH as FAULTS
from fleetflow.local.errors import StackError
from fleetflow.local.process import LOOPBACK, Proc, await_ready, spawn

REGION = "us-east-1"
ACCESS_KEY = "local"
ACCOUNT = "123456789012"
_HEALTH = "/_fleetflow/health"
_START_S = 120.0


def endpoint(port: int) -> str:
    """Return the address of the stand-in."""
    return f"http://{LOOPBACK}:{port}"


def start(home: Path, port: int, env: Mapping[str, str], limits: bool = True) -> Proc:
    """Start the stand-in's process and wait until it answers (see `launch` and `await_up`)."""
    proc = launch(home, port, env, limits)
    await_up(home, proc, port)
    return proc


def launch(home: Path, port: int, env: Mapping[str, str], limits: bool = True) -> Proc:
    """Start the stand-in's process; it serves what the home holds from earlier runs.

    Raises:
        StackError: it cannot be started.
    """
    options = ["--root", str(home / "aws"), "--port", str(port), "--region", REGION]
    command = [sys.executable, "-m", "fleetflow.local.aws", *options, *([] if limits else ["--no-limits"])]
    return spawn(command, log(home), env)


def await_up(home: Path, proc: Proc, port: int) -> None:
    """Wait until the stand-in answers.

    Raises:
        StackError: it ended or did not answer in time; the last line of its log is in the message.
    """
    await_ready("The AWS stand-in", proc, lambda: ready(port), _START_S, log(home))


def log(home: Path) -> Path:
    """Return where the stand-in's process writes."""
    return home / "logs" / "aws.log"


def ready(port: int) -> bool:
    """Return whether a stand-in answers on this port."""
    try:
        with urllib.request.urlopen(endpoint(port) + _HEALTH, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def play_outage(port: int, seconds: Mapping[str, float]) -> dict[str, int]:
    """Let services of the stand-in fail for so many seconds (see `aws_faults`); return how many requests failed so far.

    Raises:
        ValueError: a service or a duration that the stand-in does not take.
        OSError: the stand-in cannot be reached.
    """
    body = json.dumps(dict(seconds)).encode()
    request = urllib.request.Request(endpoint(port) + FAULTS, data=body, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            failed: dict[str, int] = json.load(answer)
            return failed
    except urllib.error.HTTPError as refused:
        raise ValueError(json.load(refused)["message"]) from refused


def fill(port: int, streams: Mapping[str, int], buckets: tuple[str, ...], topic: str) -> str:
    """Create what is missing of streams (name to shards), buckets and topic; return the topic's ARN."""
    kinesis = client(port, "kinesis")
    there = set(kinesis.list_streams(Limit=1000)["StreamNames"])
    for name, shards in streams.items():
        if name not in there:
            kinesis.create_stream(StreamName=name, ShardCount=shards)
    s3 = client(port, "s3")
    made = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in buckets:
        if name not in made:
            s3.create_bucket(Bucket=name)
    return str(client(port, "sns").create_topic(Name=topic)["TopicArn"])


def client(port: int, service: str) -> Any:
    """Return a boto3 client of the stand-in, whatever AWS settings the environment has."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,
        endpoint_url=endpoint(port),
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=ACCESS_KEY,
        config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=5, read_timeout=30),
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the stand-in in this process until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m fleetflow.local.aws", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="where streams and buckets are kept")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--region", default=REGION)
    parser.add_argument("--no-limits", action="store_true", help="do not throttle shards")
    chosen = parser.parse_args(arguments)
    from fleetflow.local.aws_server import serve

    try:
        serve(chosen.root, chosen.port, chosen.region, limits=not chosen.no_limits)
    except OSError as error:
        sys.exit(f"{os.strerror(error.errno or 0)}: {error.filename or f'port {chosen.port}'}")


def wants_limits(env: Mapping[str, str]) -> bool:
    """Return whether shards are throttled as on AWS: yes, unless FLEETFLOW_KINESIS_LIMITS is 0.

    Raises:
        StackError: the setting is neither 0 nor 1.
    """
    value = env.get("FLEETFLOW_KINESIS_LIMITS", "1")
    if value not in {"0", "1"}:
        raise StackError(f"FLEETFLOW_KINESIS_LIMITS={value!r} is neither 0 nor 1")
    return value == "1"


if __name__ == "__main__":
    main()
