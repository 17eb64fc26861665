"""One SFTP connection to a partner's server, for coroutines: list, fetch, read, move, remove.

The server is known by its host key and nothing is trusted of what it says: names are judged (see `file_names`), links
are not followed, sizes are checked while bytes come in. Every fault is a `RemoteFault` that names host, account and
what to do; `ConnectionFault` is the kind that another try may mend.
"""

from __future__ import annotations

import asyncio
import hashlib
import stat
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import TracebackType

import asyncssh

from ingestion.partners.fetch.file_names import find_fault, matches, read_name
from ingestion.partners.fetch.place import (
    INLINE_KEY,
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

MAX_ENTRIES = 100_000
# With its frame, a piece fills a packet.
_PIECE = 255 << 10
_UNDER_WAY = 4 << 20
_MOST_PIECES = 64
_AT_ONCE = 4
_WINDOW = 16 << 20
_PACKET = 256 << 10
# The fastest of the good ones first; the rest of the library's list stays.
_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_LOST = (
    asyncssh.SFTPConnectionLost,
    asyncssh.SFTPNoConnection,
    asyncssh.DisconnectError,
    asyncssh.ChannelOpenError,
    ConnectionError,
    TimeoutError,
)


class Session:
    """A connection to one account, and the directory in it that a partner uses."""

    def __init__(self, address: Address, directory: str = ".", patience: Patience | None = None) -> None:
        self._address = address
        self._directory = directory.strip() or "."
        self._patience = patience or Patience()
        self._conn: asyncssh.SSHClientConnection | None = None
        self._client: asyncssh.SFTPClient | None = None

    async def __aenter__(self) -> Session:
        """Connect.

        Raises:
            AccessFault: key, account or host key are not right.
            ConnectionFault: the server cannot be reached.
        """
        with self._explained("cannot be reached"):
            key, hosts = self._read_key(), self._read_hosts()
            async with asyncio.timeout(self._patience.connect_s):
                self._conn = await asyncssh.connect(
                    self._address.host, self._address.port, username=self._address.account, client_keys=[key],
                    known_hosts=hosts, config=None, agent_path=None, preferred_auth="publickey",
                    keepalive_interval=15, login_timeout=self._patience.connect_s, encryption_algs=_CIPHERS,
                    window=_WINDOW, max_pktsize=_PACKET,
                )  # fmt: skip
                self._client = await self._conn.start_sftp_client(path_encoding=None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; never raises."""
        if self._conn is not None:
            self._conn.abort()
        self._conn = self._client = None

    async def list(self, pattern: str = "*") -> list[RemoteFile]:
        """Return the files whose names match, by name; directories are left out, links and odd names are unsafe.

        Raises:
            RemoteFault: the directory is not there, or holds more than 100,000 names.
        """
        found = []
        with self._explained(f"cannot list {self._directory}"):
            async with asyncio.timeout(self._patience.stall_s):
                names = [entry async for entry in self._entries()]
        for entry in names:
            name, unsafe = read_name(_bytes(entry.filename))
            if matches(_bytes(entry.filename).decode("utf-8", "replace"), pattern):
                kind = _kind(entry.attrs)
                if kind == "directory" or _bytes(entry.filename) in (b".", b".."):
                    continue
                found.append(_remote_file(name, entry.attrs, unsafe or (kind and f"it is a {kind}")))
        return sorted(found, key=lambda file: file.name)

    async def fetch(self, name: str, to: Path, limit_bytes: int, tell: Tell | None = None) -> str:
        """Copy a file to `to`, which appears only when it is whole; return its SHA-256 in hex.

        `tell(bytes so far, bytes in all)` is called as it goes.

        Raises:
            FileChanged: it grew, shrank or was replaced meanwhile.
            FileTooLarge: it holds more than `limit_bytes`.
            FileGone, UnsafeFile: there is no such plain file.
        """
        path, before = await self._look(name)
        _require_size(self._address, name, before.size, limit_bytes)
        part = to.with_name(to.name + ".fetching")
        try:
            digest = await self._copy(path, before.size, part, tell)
            _, after = await self._look(name)
            if (after.size, after.modified_at) != (before.size, before.modified_at):
                raise FileChanged(
                    f"{name} on {self._address} was written while it was read; it is taken later"
                )
            part.replace(to)
        finally:
            part.unlink(missing_ok=True)
        return digest

    async def read_small(self, name: str, limit: int) -> bytes:
        """Return a small file's bytes.

        Raises:
            FileTooLarge: it holds more than `limit` bytes.
            FileGone, UnsafeFile: there is no such plain file.
        """
        path, found = await self._look(name)
        _require_size(self._address, name, found.size, limit)
        with self._explained(f"cannot read {name}"):
            async with (
                asyncio.timeout(self._patience.stall_s),
                self._sftp.open(path, "rb", encoding=None) as file,
            ):
                data = _bytes(await file.read(limit + 1, 0))
        _require_size(self._address, name, len(data), limit)
        return data

    async def move(self, name: str, to: str) -> str:
        """Move a file to a path below the directory, whose folders are made; return the path it got.

        A taken name gets a number, so that nothing is written over.
        """
        folder, _, last = to.rpartition("/")
        for part in to.split("/"):
            _require_name(part)
        path, _ = await self._look(name)
        with self._explained(f"cannot move {name} to {to}"):
            async with asyncio.timeout(self._patience.stall_s):
                if folder:
                    await self._sftp.makedirs(self._path(folder), exist_ok=True)
                for candidate in _numbered(folder, last):
                    if not await self._sftp.lexists(self._path(candidate)):
                        await self._sftp.rename(path, self._path(candidate))
                        return candidate
        raise RemoteFault(f"{to} is taken a hundred times on {self._address}; clear that directory")

    async def remove(self, name: str) -> None:
        """Remove a file; none of that name is as good."""
        with self._explained(f"cannot remove {name}"):
            async with asyncio.timeout(self._patience.stall_s):
                try:
                    await self._sftp.remove(self._path(_require_name(name)))
                except asyncssh.SFTPNoSuchFile:
                    return

    async def _entries(self) -> AsyncIterator[asyncssh.SFTPName]:
        count = 0
        async for entry in self._sftp.scandir(self._path("")):
            count += 1
            if count > MAX_ENTRIES:
                raise RemoteFault(
                    f"{self._directory} on {self._address} holds more than {MAX_ENTRIES:,} names; clear it out"
                )
            yield entry

    async def _look(self, name: str) -> tuple[bytes, RemoteFile]:
        path = self._path(_require_name(name))
        with self._explained(f"cannot look at {name}"):
            async with asyncio.timeout(self._patience.stall_s):
                attrs = await self._sftp.lstat(path)
        if kind := _kind(attrs):
            raise UnsafeFile(f"{name} on {self._address} is a {kind}, not a plain file")
        return path, _remote_file(name, attrs, None)

    async def _copy(self, path: bytes, size: int, part: Path, tell: Tell | None) -> str:
        digest, done = hashlib.sha256(), 0
        taken: list[bytes] = []

        def take() -> None:
            for piece in taken:
                digest.update(piece)
                out.write(piece)
            taken.clear()

        with self._explained(f"cannot fetch {_shown(path)}"), part.open("wb") as out:
            async with (
                self._sftp.open(path, "rb", encoding=None, block_size=0) as file,
                aclosing(self._pieces(file, size)) as pieces,
            ):
                async for piece in pieces:
                    taken.append(piece)
                    done += len(piece)
                    if len(taken) >= _AT_ONCE:
                        await asyncio.to_thread(take)
                    if tell:
                        tell(done, size)
            await asyncio.to_thread(take)
        if done != size:
            raise FileChanged(
                f"{_shown(path)} on {self._address} gave {done:,} bytes, listed were {size:,}; it is taken later"
            )
        return digest.hexdigest()

    async def _pieces(self, file: asyncssh.SFTPClientFile, size: int) -> AsyncGenerator[bytes, None]:
        """The file's bytes in order, up to `size`; further pieces are under way while one is worked on.

        A piece is what the server gives at a time, as far as it says so.
        """
        reading: deque[asyncio.Task[bytes]] = deque()
        length = min(_PIECE, self._sftp.limits.max_read_len or _PIECE)
        ahead = min(_UNDER_WAY // length, _MOST_PIECES)
        offsets = iter(range(0, size, length))
        try:
            while True:
                for offset in islice(offsets, ahead - len(reading)):
                    reading.append(asyncio.create_task(self._piece(file, offset, min(length, size - offset))))
                if not reading:
                    return
                piece = await reading.popleft()
                if not piece:
                    return
                yield piece
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def _piece(self, file: asyncssh.SFTPClientFile, offset: int, size: int) -> bytes:
        """Read one piece; a server may give less at a time than was asked for."""
        found = b""
        while len(found) < size:
            async with asyncio.timeout(self._patience.stall_s):
                more = _bytes(await file.read(size - len(found), offset + len(found)))
            if not more:
                break
            found = found + more if found else more
        return found

    @property
    def _sftp(self) -> asyncssh.SFTPClient:
        if self._client is None:
            raise ConnectionFault(f"there is no connection to {self._address}")
        return self._client

    def _path(self, name: str) -> bytes:
        return f"{self._directory.rstrip('/')}/{name}".encode() if name else self._directory.encode()

    def _read_key(self) -> asyncssh.SSHKey:
        key = self._address.key
        try:
            if key.startswith(INLINE_KEY):
                return asyncssh.import_private_key(key)
            return asyncssh.read_private_key(key)
        except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else fault
            raise AccessFault(
                f"{self._address.key_words} for {self._address} cannot be read ({reason}): set FLEETFLOW_SFTP_KEY to"
                " an OpenSSH private key without passphrase, or to the directory that holds one named as the account"
            ) from fault

    def _read_hosts(self) -> asyncssh.SSHKnownHosts:
        try:
            return asyncssh.read_known_hosts(self._address.known_hosts)
        except (OSError, ValueError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else fault
            raise AccessFault(
                f"the host keys {self._address.known_hosts} for {self._address} cannot be read ({reason}): set"
                " FLEETFLOW_SFTP_KNOWN_HOSTS to a known_hosts file with a line of that server"
            ) from fault

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn the library's faults into ours, in words."""
        at = self._address
        try:
            yield
        except asyncssh.HostKeyNotVerifiable as fault:
            raise AccessFault(
                f"{at} does not show a host key that {at.known_hosts} holds ({fault}): compare what"
                f" `ssh-keyscan -p {at.port} {at.host}` prints with what the partner says, then put it there"
            ) from fault
        except asyncssh.PermissionDenied as fault:
            raise AccessFault(
                f"{at} refuses {at.key_words}: have the partner register its public half for {at.account}"
                " (`ssh-keygen -y -f` on the key shows it), or set FLEETFLOW_SFTP_KEY to the right one"
            ) from fault
        except asyncssh.SFTPNoSuchFile as fault:
            raise FileGone(f"{at}: {doing}: there is nothing of that name") from fault
        except _LOST as fault:
            words = str(fault) or "no answer in time"
            raise ConnectionFault(
                f"{at}: {doing}: {words}: check that the server runs, and address and network"
                f" (FLEETFLOW_SFTP_URL); {at.key_words} was used"
            ) from fault
        except (asyncssh.Error, OSError) as fault:
            kind = RemoteFault if isinstance(fault, asyncssh.SFTPError) else ConnectionFault
            raise kind(f"{at}: {doing}: {fault}") from fault


def _remote_file(name: str, attrs: asyncssh.SFTPAttrs, unsafe: str | None) -> RemoteFile:
    return RemoteFile(name, attrs.size or 0, datetime.fromtimestamp(attrs.mtime or 0, UTC), unsafe)


def _kind(attrs: asyncssh.SFTPAttrs) -> str | None:
    """Return what it is, unless it is a plain file or the server does not say."""
    if attrs.permissions is not None and stat.S_IFMT(attrs.permissions):
        mode = attrs.permissions
        if stat.S_ISREG(mode):
            return None
        return "directory" if stat.S_ISDIR(mode) else "symbolic link" if stat.S_ISLNK(mode) else "device"
    names = {asyncssh.FILEXFER_TYPE_DIRECTORY: "directory", asyncssh.FILEXFER_TYPE_SYMLINK: "symbolic link"}
    return names.get(attrs.type)


def _require_name(name: str) -> str:
    if fault := find_fault(name):
        raise UnsafeFile(f"{name!r} is not fetched: {fault}")
    return name


def _require_size(address: Address, name: str, size: int, limit: int) -> None:
    if size > limit:
        raise FileTooLarge(f"{name} on {address} holds {size:,} bytes; at most {limit:,} are declared")


def _numbered(folder: str, name: str) -> Iterator[str]:
    above = f"{folder}/" if folder else ""
    yield above + name
    stem, dot, suffix = name.partition(".")
    yield from (f"{above}{stem}~{number}{dot}{suffix}" for number in range(2, 101))


def _shown(path: bytes) -> str:
    return path.decode(errors="replace")


def _bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode()
