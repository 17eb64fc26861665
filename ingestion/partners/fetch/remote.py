"""A partner's SFTP directory for code that is not asynchronous; connects anew when the connection is lost.

The connection lives in a thread of its own, so that it stays alive while a file is parsed. Every call may be
repeated: a fetch begins again from the first byte, a removal and a move that were done are not missed.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ingestion.partners.fetch.place import (
    AccessFault,
    Address,
    ConnectionFault,
    FileChanged,
    FileGone,
    FileTooLarge,
    Patience,
    RemoteFault,
    RemoteFile,
    Tell,
    UnsafeFile,
)
from ingestion.partners.fetch.session import Session

__all__ = [
    "AccessFault", "Address", "ConnectionFault", "FileChanged", "FileGone", "FileTooLarge", "Patience", "Remote",
    "RemoteFault", "RemoteFile", "Session", "UnsafeFile",
]  # fmt: skip

Found = TypeVar("Found")


class Remote:
    """The files of one partner. Good for one thread at a time; to be used as a context manager."""

    def __init__(self, address: Address, directory: str = ".", patience: Patience | None = None) -> None:
        self.address = address
        self._directory = directory
        self._patience = patience or Patience()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"sftp {address}", daemon=True)
        self._session: Session | None = None

    def __enter__(self) -> Remote:
        """Connect.

        Raises:
            AccessFault: key, account or host key are not right.
            ConnectionFault: the server could not be reached, also after a few tries.
        """
        self._thread.start()
        try:
            self._do(_nothing)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self._end()

    def list(self, pattern: str = "*") -> list[RemoteFile]:
        """Return the files whose names match (see `Session.list`)."""
        return self._do(lambda session: session.list(pattern))

    def fetch(self, name: str, to: Path, limit_bytes: int, tell: Tell | None = None) -> str:
        """Copy a file to `to`, which appears only when it is whole; return its SHA-256 (see `Session.fetch`)."""
        return self._do(lambda session: session.fetch(name, to, limit_bytes, tell))

    def read_small(self, name: str, limit: int) -> bytes:
        """Return a small file's bytes (see `Session.read_small`)."""
        return self._do(lambda session: session.read_small(name, limit))

    def move(self, name: str, to: str) -> str:
        """Move a file to a path below the directory; return the path it got (see `Session.move`).

        None of that name means that an earlier try has done it.
        """
        try:
            return self._do(lambda session: session.move(name, to))
        except FileGone:
            return to

    def remove(self, name: str) -> None:
        """Remove a file; none of that name is as good."""
        self._do(lambda session: session.remove(name))

    def _do(self, work: Callable[[Session], Awaitable[Found]]) -> Found:
        return self._wait(self._try(work))

    async def _try(self, work: Callable[[Session], Awaitable[Found]]) -> Found:
        pause = self._patience.pause_s
        for left in reversed(range(self._patience.tries)):
            try:
                return await work(await self._connected())
            except ConnectionFault:
                await self._drop()
                if not left:
                    raise
            await asyncio.sleep(pause)
            pause *= 3
        raise AssertionError("a try either returns or raises")

    async def _connected(self) -> Session:
        if self._session is None:
            self._session = await Session(self.address, self._directory, self._patience).__aenter__()
        return self._session

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.__aexit__(None, None, None)

    def _wait(self, work: Coroutine[Any, Any, Found]) -> Found:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _end(self) -> None:
        self._wait(self._drop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _nothing(session: Session) -> None:
    """Connecting is all that is wanted."""
