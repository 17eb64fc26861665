"""Where alerts arrive in tests: an SMTP and an HTTP server on the loopback, with TLS by a certificate of our own."""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any


def make_certificate(directory: Path) -> Path:
    """Make a certificate for 127.0.0.1 and its key, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = directory / "certificate.pem"
    form = serialization.Encoding.PEM
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(form) + secret)
    return path


def _server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@dataclass
class Mailbox:
    """What came by mail, and how; `refuses` names recipients that are not taken."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    down: bool = False


class _Smtp(socketserver.StreamRequestHandler):
    box: Mailbox
    certificate: Path | None

    def handle(self) -> None:
        self.secure = isinstance(self.connection, ssl.SSLSocket)
        if self.box.down:
            return self.say("421 closing")
        self.say("220 sink")
        while line := self.rfile.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word.upper() == "QUIT":
                return self.say("221 bye")
            self.answer(word.upper(), rest)
        return None

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def answer(self, word: str, rest: str) -> None:
        match word:
            case "EHLO":
                offers = [
                    "sink",
                    *(["STARTTLS"] if self.certificate and not self.secure else []),
                    "AUTH PLAIN",
                ]
                for n, offer in enumerate(offers, start=1):
                    self.say(f"250{' ' if n == len(offers) else '-'}{offer}")
            case "STARTTLS":
                assert self.certificate is not None
                self.say("220 go on")
                self.connection = _server_context(self.certificate).wrap_socket(
                    self.connection, server_side=True
                )
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
                self.secure = True
            case "AUTH":
                self.box.logins.append(
                    base64.b64decode(rest.split()[-1]).decode().strip("\0").replace("\0", ":")
                )
                self.say("235 welcome")
            case "RCPT" if any(refused in rest for refused in self.box.refuses):
                self.say("550 nobody here")
            case "DATA":
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
                self.box.mails.append(message_from_bytes(b"".join(lines), policy=policy.default))
                self.box.encrypted.append(self.secure)
                self.say("250 taken")
            case _:
                self.say("250 fine")


class _TlsServer(socketserver.ThreadingTCPServer):
    context: ssl.SSLContext | None = None

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        return (
            self.context.wrap_socket(connection, server_side=True) if self.context else connection
        ), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not trust us hangs up; that is what some tests want to see."""


@contextmanager
def mail_server(certificate: Path | None, *, tls_first: bool = False) -> Iterator[Mailbox]:
    """Run an SMTP server; it offers STARTTLS if it has a certificate, or speaks TLS from the start."""
    box = Mailbox()
    handler = type("Handler", (_Smtp,), {"box": box, "certificate": None if tls_first else certificate})
    with _TlsServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.context = _server_context(certificate) if tls_first and certificate else None
        with _serving(server):
            box.port = server.server_address[1]
            yield box


@dataclass
class Hook:
    """What was posted: path, headers and body; `answers` are the statuses of the next answers, then 204."""

    port: int = 0
    posts: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    down: bool = False

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.posts]


@contextmanager
def hook_server(certificate: Path | None = None) -> Iterator[Hook]:
    """Run an HTTP server that takes posts; HTTPS if it has a certificate."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = 503 if hook.down else hook.answers.pop(0) if hook.answers else 204
            hook.posts.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(status)
            if status in (302, 307):
                self.send_header("Location", f"http://127.0.0.1:{hook.port}/elsewhere")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            server.socket = _server_context(certificate).wrap_socket(server.socket, server_side=True)
        with _serving(server):
            hook.port = server.server_port
            yield hook


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
