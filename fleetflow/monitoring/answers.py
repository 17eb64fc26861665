"""What a probe says of a signal: readings, that it could not measure, or that there is nothing to watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleetflow.monitoring.model import Reading

Readings = tuple[Reading, ...]


@dataclass(frozen=True)
class NotMeasured:
    """Why it could not be measured; `because` names the signal that explains it, if one does."""

    fault: str
    because: str | None = None


@dataclass(frozen=True)
class NotWatched:
    """Why there is nothing to watch: the part is not in use here."""

    why: str


Answer = Readings | NotMeasured | NotWatched
Answers = Mapping[str, Answer]


def in_words(fault: BaseException) -> str:
    """Return the first line of a fault's message, in at most 200 characters."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return (lines[0] if lines else type(fault).__name__)[:200]
