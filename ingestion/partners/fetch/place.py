"""Where a partner's files are, what is said of each, and what can go wrong there. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

INLINE_KEY = "-----BEGIN"

Tell = Callable[[int, int], None]


class RemoteFault(RuntimeError):  # as LeaseLost: says what happened
    """Something on the partner's server is not as it should be; the message names it and the way out."""


class ConnectionFault(RemoteFault):
    """There is no connection, or it broke; another try may help."""


class AccessFault(RemoteFault):
    """The server is not the one known, or does not let us in; no try helps before somebody mends it."""


class FileGone(RemoteFault):
    """The file is no longer there."""


class FileChanged(RemoteFault):
    """The file changed while it was read: it is not whole yet."""


class FileTooLarge(RemoteFault):
    """The file is larger than the partner may send."""


class UnsafeFile(RemoteFault):
    """The name is not a safe one, or what lies there is not a plain file."""


@dataclass(frozen=True)
class RemoteFile:
    """A file in the partner's directory. One that is `unsafe` (why, in words) is never fetched; its name is shown."""

    name: str
    size: int
    modified_at: datetime
    unsafe: str | None = None


@dataclass(frozen=True)
class Address:
    """Where a partner's files are. `key` is the path of a private key, or the key itself (PEM)."""

    host: str
    port: int
    account: str
    key: str = field(repr=False)
    known_hosts: str

    def __str__(self) -> str:
        """Return it as messages name it."""
        return f"sftp://{self.account}@{self.host}:{self.port}"

    @property
    def key_words(self) -> str:
        """The key as messages name it."""
        return "the key of the settings" if self.key.startswith(INLINE_KEY) else f"the key {self.key}"


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds, and how often a lost connection is tried anew."""

    connect_s: float = 20.0
    stall_s: float = 60.0
    tries: int = 4
    pause_s: float = 0.5
