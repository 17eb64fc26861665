"""The process of the AWS stand-in: our Kinesis, and moto for the rest, with S3 on disk.

`python -m fleetflow.local.aws --root DIR --port N --region R` listens on the loopback until SIGTERM. Two
processes on one directory would spoil each other's logs, so the directory is locked.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from fleetflow.local import aws_faults
from fleetflow.local.aws_faults import Faults
from fleetflow.local.kinesis_api import TARGET, KinesisApi
from fleetflow.local.kinesis_backend import Kinesis
from fleetflow.local.process import LOOPBACK
from fleetflow.local.s3_store import S3Store

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEALTH = "/_fleetflow/health"
_UPKEEP_S = 300.0


class Handler(MotoRequestHandler):  # type: ignore[misc]  # moto is skipped by mypy
    """One connection; answers leave in one packet and at once, and are not logged."""

    disable_nagle_algorithm = True
    wbufsize = 1 << 16

    def handle_expect_100(self) -> bool:
        """Leave the answer "100 Continue" to werkzeug, which gives it too."""
        return True

    def make_environ(self) -> Any:
        """Let "100 Continue" go before the body is read: a client waits a second for it, at each object it puts."""
        self.wfile.flush()
        return super().make_environ()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: there are thousands of requests a minute."""


class Dispatcher:
    """Sends a request to the Kinesis here or to moto; S3's files are written before an answer leaves."""

    def __init__(self, kinesis: KinesisApi, s3: S3Store) -> None:
        """Serve these two, and moto's other services from memory."""
        self._kinesis = kinesis
        self._s3 = s3
        self._faults = Faults()
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        operation = target.removeprefix(TARGET) if target.startswith(TARGET) else None
        if failure := self._faults.failure(environ, operation):
            return _fail(environ, start_response, failure)
        if operation is not None:
            return self._kinesis(environ, start_response)
        if environ.get("PATH_INFO") == aws_faults.PATH:
            return self._answer_faults(environ, start_response)
        if environ.get("PATH_INFO") == HEALTH:
            return _answer(start_response, "200 OK", {"status": "ok", "pid": os.getpid()})
        return self._moto_then_flush(environ, start_response)

    def _answer_faults(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("REQUEST_METHOD") == "PUT":
            try:
                self._faults.begin(json.loads(_read(environ)))
            except (ValueError, TypeError, AttributeError) as error:
                return _answer(start_response, "400 Bad Request", {"message": str(error)})
        return _answer(start_response, "200 OK", {**self._faults.failed})

    def _moto_then_flush(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        held: list[Any] = []

        def hold(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            held[:] = [status, headers]

        app: WSGIApplication = self._moto.get_application(environ)
        body = app(environ, hold)  # type: ignore[arg-type]  # Flask never uses the write() that this lacks
        try:
            self._s3.flush()
        except OSError as error:
            reason = f"the disk refused the object: {error.strerror}"
            return _answer(
                start_response, "500 Internal Server Error", {"Code": "InternalError", "Message": reason}
            )
        start_response(*held)
        return body


def serve(root: Path, port: int, region: str, limits: bool) -> None:
    """Serve until SIGTERM or SIGINT, then close the logs."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    lock = _lock(root)
    kinesis, s3 = Kinesis(root / "kinesis", limits), S3Store(root / "s3")
    app = Dispatcher(KinesisApi(kinesis, region), s3)
    server = make_server(LOOPBACK, port, app, threaded=True, request_handler=Handler)
    done = threading.Event()
    threading.Thread(target=_keep_up, args=(kinesis, s3, done), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        # shutdown() waits for the loop that this very thread runs, so it is called from another.
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    done.set()
    kinesis.close()
    lock.close()


def _lock(root: Path) -> TextIO:
    root.mkdir(parents=True, exist_ok=True)
    lock = (root / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"another AWS stand-in already uses {root}")
    return lock


def _keep_up(kinesis: Kinesis, s3: S3Store, done: threading.Event) -> None:
    while not done.wait(_UPKEEP_S):
        kinesis.trim()
        s3.purge()


def _read(environ: WSGIEnvironment) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return body


def _fail(
    environ: WSGIEnvironment, start_response: StartResponse, failure: aws_faults.Failure
) -> Iterable[bytes]:
    _read(environ)  # a client that is still writing would see a reset connection, not the answer
    status, kind, body = failure
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def _answer(start_response: StartResponse, status: str, values: dict[str, object]) -> Iterable[bytes]:
    body = json.dumps(values).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
