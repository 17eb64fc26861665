"""Outages that the AWS stand-in plays on request: S3 answers 500 and 503 in turn, Kinesis throttles every call.

`PUT /_fleetflow/faults` with `{"s3": 20, "kinesis": 5}` begins outages of so many seconds; 0 ends one. It and `GET`
answer how many requests have failed so far. Each outage ends by itself, so that one that was forgotten heals.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PATH = "/_fleetflow/faults"
SERVICES = ("s3", "kinesis")
LONGEST_S = 600.0
_THROTTLED = ("PutRecord", "PutRecords", "GetRecords")
_S3_ERRORS = (
    ("500 Internal Server Error", "InternalError", "We encountered an internal error. Please try again."),
    ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
)

Failure = tuple[str, str, bytes]
"""Status line, content type, body."""


class Faults:
    """The outages under way."""

    def __init__(self) -> None:
        """Begin with none."""
        self.failed = dict.fromkeys(SERVICES, 0)
        self._until = dict.fromkeys(SERVICES, 0.0)
        self._s3_errors = itertools.cycle(_S3_ERRORS)

    def begin(self, seconds: Mapping[str, float]) -> None:
        """Begin, prolong or end outages.

        Raises:
            ValueError: a service is not one of `SERVICES`, or a duration is not between 0 and `LONGEST_S`.
        """
        for service, duration in seconds.items():
            if service not in SERVICES or not 0 <= duration <= LONGEST_S:
                raise ValueError(
                    f"{service}: {duration}; services are {', '.join(SERVICES)}, up to {LONGEST_S:.0f} s"
                )
        now = time.monotonic()
        self._until |= {service: now + duration for service, duration in seconds.items()}

    def failure(self, environ: WSGIEnvironment, operation: str | None) -> Failure | None:
        """Return how a request fails now; `operation` is that of a Kinesis request. None: it does not."""
        if operation is not None:
            if operation in _THROTTLED and self._lasts("kinesis"):
                self.failed["kinesis"] += 1
                return _throttle()
            return None
        if "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", "") and self._lasts("s3"):
            self.failed["s3"] += 1
            status, code, message = next(self._s3_errors)
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            return status, "application/xml", body.encode()
        return None

    def _lasts(self, service: str) -> bool:
        return time.monotonic() < self._until[service]


def _throttle() -> Failure:
    answer = {
        "__type": "ProvisionedThroughputExceededException",
        "message": "Rate exceeded for every shard: an outage is being played",
    }
    return "400 Bad Request", "application/x-amz-json-1.1", json.dumps(answer).encode()
