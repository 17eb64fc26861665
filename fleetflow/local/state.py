"""What the embedded stack remembers between commands: ports, generated passwords, processes.

One JSON file, `<home>/stack.json`, mode 0600, replaced atomically; one lock file, so that two commands that
start or stop the same stack at once take turns. Nothing else writes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fleetflow.local.errors import StackError
from fleetflow.local.process import Proc, alive

FILE = "stack.json"


@dataclass
class State:
    """Ports and processes by part, secrets by name, and where Postgres keeps its files."""

    home: Path
    ports: dict[str, int] = field(default_factory=dict)
    procs: dict[str, Proc] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    wanted: list[str] = field(default_factory=list)

    def secret(self, name: str) -> str:
        """Return the secret of this name, generated once (43 URL-safe characters)."""
        return self.secrets.setdefault(name, secrets.token_urlsafe(32))

    def running(self, part: str) -> Proc | None:
        """Return the part's process if it still runs."""
        proc = self.procs.get(part)
        return proc if alive(proc) else None

    def save(self) -> None:
        """Write the state; a crash leaves the old or the new one."""
        values = {key: value for key, value in asdict(self).items() if key != "home"}
        write_private(self.home / FILE, json.dumps(values, indent=1))


def load(home: Path) -> State:
    """Read the state of a home; an empty one when the stack was never started there.

    Raises:
        StackError: the file is not readable or not ours.
    """
    try:
        values = json.loads((home / FILE).read_text())
        procs = {part: Proc(**proc) for part, proc in values["procs"].items()}
        return State(home, values["ports"], procs, values["secrets"], values["wanted"])
    except (FileNotFoundError, NotADirectoryError):
        return State(home)
    except PermissionError as error:
        raise StackError(
            f"{home / FILE} belongs to another user: set FLEETFLOW_HOME to a directory of yours"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StackError(f"{home / FILE} is damaged: move it away and run `fleetflow up` again") from error


@contextlib.contextmanager
def locked(home: Path) -> Iterator[State]:
    """Hold the home alone, hand out its state, and save it at the end, also after an error."""
    prepare(home)
    with (home / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state = load(home)
        try:
            yield state
        finally:
            state.save()


def prepare(home: Path) -> None:
    """Create the home: private to the user; root's can be passed through, as Postgres runs as another user.

    Raises:
        StackError: it cannot be created or written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        if home.stat().st_uid == os.geteuid():
            home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        (home / "logs").mkdir(exist_ok=True)
        write_private(home / ".writable", "")
    except OSError as error:
        fix = "free some space" if error.errno == 28 else "set FLEETFLOW_HOME to a directory you may write"
        raise StackError(f"cannot use {home} as FLEETFLOW_HOME: {error.strerror}; {fix}") from error


def write_private(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600, atomically."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    fresh.replace(path)
