"""Which process owns which spool: `<spool_dir>/<stream>/<producer>/`, one directory for each living producer.

A producer holds an exclusive lock on `owner.lock` in its directory; the kernel drops it when the process
dies, however it dies. A directory whose lock is free is an orphan: whoever comes next adopts its lines.
`claims.lock` beside the directories keeps two newcomers from adopting the same orphan, or a directory that
is just being made.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ingestion.streams.spool import SUFFIX, TORN_SUFFIX, SpoolError

_OWNER_LOCK = "owner.lock"
_GATE = "claims.lock"
_STREAM_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def stream_directory(spool_dir: Path, stream: str) -> Path:
    """Make and return the directory that holds the spools of a stream.

    Raises:
        ValueError: not a stream name.
        SpoolError: the directory cannot be made.
    """
    if not _STREAM_NAME.fullmatch(stream) or not stream.strip("."):
        raise ValueError(f"not a stream name: {stream!r}")
    root = spool_dir / stream
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SpoolError(f"cannot make spool directory {root}: {error.strerror}") from error
    return root


def _lock(path: Path, *, wait: bool) -> int | None:
    """Open and lock a file; None when another process holds it and we do not wait."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"cannot open {path}: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


@contextmanager
def gate(root: Path) -> Iterator[None]:
    """Let one process at a time claim, adopt or give up a directory below `root`."""
    fd = _lock(root / _GATE, wait=True)
    assert fd is not None
    try:
        yield
    finally:
        os.close(fd)


@dataclass(slots=True)
class Claim:
    """A directory that this process owns until `release`."""

    path: Path
    _fd: int

    @classmethod
    def create(cls, root: Path) -> Claim:
        """Make a directory of our own. Call it inside the gate.

        Raises:
            SpoolError: it cannot be made.
        """
        # The name sorts by age, so that orphans are adopted oldest first.
        path = root / f"{time.time_ns():020d}-{os.getpid()}"
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise SpoolError(f"cannot make spool directory {path}: {error.strerror}") from error
        fd = _lock(path / _OWNER_LOCK, wait=True)
        assert fd is not None
        return cls(path, fd)

    def __enter__(self) -> Claim:
        """Return the claim itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release."""
        self.release()

    def release(self) -> None:
        """Give the directory up; it is removed when no line is left in it."""
        if not any(self.path.glob(f"*{SUFFIX}")):
            (self.path / _OWNER_LOCK).unlink(missing_ok=True)
            with suppress(OSError):  # something that is not ours lies in it: leave it there
                self.path.rmdir()
        os.close(self._fd)

    def discard(self, keep: list[Path]) -> None:
        """Delete an adopted directory's segments; those in `keep` move up as `.torn` for people to see."""
        for path in keep:
            path.rename(self.path.parent / f"{self.path.name}-{path.name}{TORN_SUFFIX}")
        for path in self.path.glob(f"*{SUFFIX}"):
            path.unlink()


def adopt_orphans(root: Path, own: Claim) -> Iterator[Claim]:
    """Claim, oldest first, what dead producers left. Call it inside the gate; release each."""
    for path in sorted(root.iterdir()):
        if path == own.path or not path.is_dir():
            continue
        fd = _lock(path / _OWNER_LOCK, wait=False)
        if fd is not None:
            yield Claim(path, fd)
