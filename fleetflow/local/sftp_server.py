"""An SFTP server that shows each account its own root and nothing else.

Login is by the account's key only; no shell, no command, no SCP, no forwarding. Inside, no symbolic link is made
or followed, owners and permissions are ours, and nothing but files and directories is opened. Keys are read at
each login, so that an account that is added needs no restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import posixpath
import re
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh

from fleetflow.logs import log_to_stderr

_ACCOUNT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_LOGIN_S = 20.0
_KEEPALIVE_S = 30.0
_WRITES = asyncssh.FXF_WRITE | asyncssh.FXF_APPEND | asyncssh.FXF_CREAT | asyncssh.FXF_TRUNC

log = logging.getLogger("fleetflow.sftp")


class Jail(asyncssh.SFTPServer):
    """One session's view of the files below an account's root."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], roots: Path) -> None:
        """Take the root of the account that logged in on this channel."""
        self._account = str(chan.get_extra_info("username"))
        super().__init__(chan, chroot=os.fsencode(roots / self._account))

    def map_path(self, path: bytes) -> bytes:
        """Return the local path; the way to it leads over directories of the root, never over a link."""
        mapped = super().map_path(path)
        above = posixpath.dirname(mapped)
        if self._chroot is not None and mapped != self._chroot and os.path.realpath(above) != above:
            raise asyncssh.SFTPPermissionDenied("a symbolic link is not followed")
        return mapped

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Open a regular file; a new one is private to the server's account."""
        self._require(path, stat.S_ISREG, missing=bool(pflags & asyncssh.FXF_CREAT))
        if pflags & _WRITES:
            self._note("writes", path)
        attrs.permissions = 0o600
        return super().open(path, pflags, attrs)

    def stat(self, path: bytes) -> os.stat_result:
        """Return what lies there itself: links are not followed."""
        return os.lstat(self.map_path(path))

    def realpath(self, path: bytes) -> bytes:
        """Return the path without dots, as the client sees it."""
        return self.reverse_map_path(self.map_path(path))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """List a directory, links shown as links."""
        self._require(path, stat.S_ISDIR)
        async for name in super().scandir(path):
            yield name

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set size and times; owners and permissions stay."""
        self._require(path, lambda mode: not stat.S_ISLNK(mode))
        super().setstat(path, _times_and_size(attrs))

    def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set size and times; owners and permissions stay."""
        self.setstat(path, attrs)

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:
        """Set size and times; owners and permissions stay."""
        super().fsetstat(file_obj, _times_and_size(attrs))

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a directory, private to the server's account."""
        attrs.permissions = 0o700
        super().mkdir(path, attrs)

    def remove(self, path: bytes) -> None:
        """Remove a file or a link."""
        self._note("removes", path)
        super().remove(path)

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename; refused where the new name is taken."""
        self._note("renames", oldpath, newpath)
        super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, over what the new name holds."""
        self._note("renames", oldpath, newpath)
        super().posix_rename(oldpath, newpath)

    def readlink(self, path: bytes) -> bytes:
        """Refuse: where a link leads is nobody's business."""
        raise asyncssh.SFTPPermissionDenied("links are not read")

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Refuse."""
        raise asyncssh.SFTPPermissionDenied("links are not made")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Refuse."""
        raise asyncssh.SFTPPermissionDenied("links are not made")

    def _require(self, path: bytes, kind: object, *, missing: bool = False) -> None:
        try:
            mode = os.lstat(self.map_path(path)).st_mode
        except FileNotFoundError:
            if missing:
                return
            raise
        if callable(kind) and not kind(mode):
            raise asyncssh.SFTPPermissionDenied("not a plain file or directory")

    def _note(self, deed: str, *paths: bytes) -> None:
        log.info("%s %s %s", self._account, deed, " -> ".join(repr(os.fsdecode(path)) for path in paths))


class Door(asyncssh.SSHServer):
    """Lets an account in by its key, and by nothing else."""

    def __init__(self, keys: Path) -> None:
        """Know where the public keys lie, `<account>.pub`."""
        self._keys = keys

    def begin_auth(self, username: str) -> bool:
        """Nobody comes in without a login."""
        return True

    def public_key_auth_supported(self) -> bool:
        """Keys are the way in."""
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Return whether this is the account's key."""
        known = self._key_of(username)
        fits = known is not None and known.public_data == key.public_data
        if not fits:
            log.warning("%r was refused with %s", username, key.get_fingerprint())
        return fits

    def _key_of(self, account: str) -> asyncssh.SSHKey | None:
        if not _ACCOUNT.fullmatch(account):
            return None
        try:
            return asyncssh.read_public_key(self._keys / f"{account}.pub")
        except (OSError, asyncssh.KeyImportError):
            return None


async def start(root: Path, address: str, port: int) -> asyncssh.SSHAcceptor:
    """Start to listen; `root` holds `host_key`, `keys` and `roots` (see `sftp.provision`).

    Raises:
        OSError: the port is taken or the host key cannot be read.
    """
    return await asyncssh.listen(
        address,
        port,
        server_factory=lambda: Door(root / "keys"),
        server_host_keys=[str(root / "host_key")],
        sftp_factory=lambda chan: Jail(chan, root / "roots"),
        allow_scp=False,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
        password_auth=False,
        kbdint_auth=False,
        login_timeout=_LOGIN_S,
        keepalive_interval=_KEEPALIVE_S,
        reuse_address=True,
    )


def serve(root: Path, address: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    os.umask(0o077)
    log_to_stderr()
    asyncssh.set_log_level(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(root, address, port))


async def _serve(root: Path, address: str, port: int) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    acceptor = await start(root, address, port)
    log.info("listening on %s:%d", address, port)
    await ended.wait()
    acceptor.close()
    await acceptor.wait_closed()


def _times_and_size(attrs: asyncssh.SFTPAttrs) -> asyncssh.SFTPAttrs:
    attrs.uid = attrs.gid = attrs.owner = attrs.group = attrs.permissions = None
    return attrs
