"""Creates what a stack needs in the AWS stand-in on this machine: `fill_aws.py PORT`. Safe to repeat."""

from __future__ import annotations

import os
import sys
import time

from fleetflow.local import aws
from fleetflow.local.environment import ALERT_TOPIC, NAMES
from fleetflow.local.stack import Shards

_PATIENCE_S = 60.0


def main(port: int) -> None:
    """Wait for the stand-in, then create streams, buckets and the topic that the environment names."""
    deadline = time.monotonic() + _PATIENCE_S
    while not aws.ready(port):
        if time.monotonic() > deadline:
            sys.exit(f"the AWS stand-in did not answer on port {port} within {_PATIENCE_S:.0f} s")
        time.sleep(0.2)
    gps, status, telemetry, *buckets = (os.environ.get(name, default) for name, default in NAMES.items())
    shards = Shards()
    streams = {gps: shards.gps, status: shards.status, telemetry: shards.telemetry}
    aws.fill(port, streams, tuple(buckets), ALERT_TOPIC)


if __name__ == "__main__":
    main(int(sys.argv[1]))
