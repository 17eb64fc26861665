"""An SFTP part of the stack for tests, a partner's own client, and lines that break."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import asyncssh

from ingestion.partners.fetch.remote import Address

Found = TypeVar("Found")


@dataclass(frozen=True)
class Server:
    """A running SFTP part: its home and port."""

    home: Path
    port: int

    @property
    def base(self) -> Path:
        return self.home / "sftp"

    def root(self, account: str) -> Path:
        return self.base / "roots" / account

    def address(self, account: str) -> Address:
        key = str(self.base / "keys" / account)
        return Address("127.0.0.1", self.port, account, key, str(self.base / "known_hosts"))


def as_partner(address: Address, work: Callable[[asyncssh.SFTPClient], Awaitable[Found]]) -> Found:
    """Do what a partner does with a client of its own."""

    async def connected() -> Found:
        async with (
            asyncssh.connect(
                address.host, address.port, username=address.account, client_keys=[address.key],
                known_hosts=address.known_hosts, config=None, agent_path=None,
            ) as conn,
            conn.start_sftp_client() as client,
        ):  # fmt: skip
            return await work(client)

    return asyncio.run(connected())


@contextmanager
def breaking_line(to: Address, cuts: list[int], scratch: Path) -> Iterator[Address]:
    """A line to the server that breaks: connection n after `cuts[n]` bytes from the server, later ones never."""
    taken = iter(cuts)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listener.accept()
                    threading.Thread(
                        target=_carry_both, args=(near, to.port, next(taken, None)), daemon=True
                    ).start()

        threading.Thread(target=serve, daemon=True).start()
        hosts = scratch / "known_hosts"
        hosts.write_text(Path(to.known_hosts).read_text().replace(f":{to.port} ", f":{port} "))
        yield replace(to, port=port, known_hosts=str(hosts))


def _carry_both(near: socket.socket, port: int, limit: int | None) -> None:
    with near, socket.create_connection(("127.0.0.1", port)) as far:
        threading.Thread(target=_carry, args=(near, far, None), daemon=True).start()
        _carry(far, near, limit)
        for end in (near, far):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _carry(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    carried = 0
    with suppress(OSError):
        while limit is None or carried < limit:
            data = source.recv(65_536)
            if not data:
                return
            target.sendall(data)
            carried += len(data)


@contextmanager
def lying_server(names: list[bytes], scratch: Path) -> Iterator[Address]:
    """A server that lists what it likes, and serves a text for every path."""

    class Liar(asyncssh.SFTPServer):
        async def scandir(self, path: bytes):  # type: ignore[no-untyped-def]
            for name in names:
                yield asyncssh.SFTPName(name, attrs=asyncssh.SFTPAttrs(size=4, permissions=0o100644, mtime=1))

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    key = asyncssh.generate_private_key("ssh-ed25519")
    (scratch / "liar_key").write_bytes(key.export_private_key())
    (scratch / "liar_key").chmod(0o600)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Open, server_host_keys=[key], sftp_factory=lambda chan: Liar(chan)
        )

    acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    port = acceptor.get_port()
    hosts = scratch / "liar_hosts"
    hosts.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
    try:
        yield Address("127.0.0.1", port, "alpha", str(scratch / "liar_key"), str(hosts))
    finally:
        loop.call_soon_threadsafe(acceptor.close)
        asyncio.run_coroutine_threadsafe(acceptor.wait_closed(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
