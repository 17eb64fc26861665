"""What the embedded stack says to a person when it cannot do its work."""

from __future__ import annotations

from fleetflow.faults import UserError


class StackError(UserError):
    """The stack cannot start, stop or be read; the message is one line and names the fix."""


def tail(path: object, lines: int = 1) -> str:
    """Return the last non-empty lines of a log file as one line, or a note that there is none."""
    try:
        with open(str(path), encoding="utf-8", errors="replace") as file:
            kept = [line.strip() for line in file if line.strip()]
    except OSError as error:
        return f"(no log: {error.strerror})"
    return " / ".join(kept[-lines:]) or "(the log is empty)"
