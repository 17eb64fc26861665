"""What a reconciliation speaks of: windows, differences with their causes, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

STEPS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


class CouldNotCount(Exception):
    """An arm could not be counted; the message names it and why."""


class Cause(StrEnum):
    """Why arms differ, as far as it can be told."""

    LATE = "late"
    REJECTED = "rejected"
    HELD = "held"
    MISSING = "missing"
    LOST = "lost"
    IN_FLIGHT = "in_flight"
    EXTRA = "extra"
    CHANGED = "changed"
    STALE = "stale"
    NOT_COUNTED = "not_counted"


class Verdict(StrEnum):
    """What holds of a window."""

    PASSED = "passed"
    REPAIRED = "repaired"
    DIFFERS = "differs"
    NOT_COUNTED = "not_counted"

    @property
    def holds(self) -> bool:
        """Whether the window may be built on."""
        return self in (Verdict.PASSED, Verdict.REPAIRED)


class Mend(StrEnum):
    """What may mend a difference."""

    OBJECT = "object"
    ROWS = "rows"
    QUEUE = "queue"
    REFOLD = "refold"


@dataclass(frozen=True)
class Window:
    """One feed's arrivals in `start <= first arrival of the batch < end`; `grain` is hour or day, in UTC."""

    feed: str
    grain: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        """Return it as people say it."""
        form = "%Y-%m-%d" if self.grain == "day" else "%Y-%m-%d %H:%M"
        return f"{self.feed}, {self.grain} {self.start:{form}}"


@dataclass(frozen=True)
class Difference:
    """Two arms that do not agree; `mend` says what could set it right, for `batch_id` and `pipeline`."""

    arm: str
    cause: Cause
    words: str
    count: int = 1
    mend: Mend | None = None
    batch_id: int | None = None
    pipeline: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The difference as plain values."""
        plain: dict[str, Any] = {
            "arm": self.arm,
            "cause": self.cause.value,
            "words": self.words,
            "count": self.count,
        }
        if self.batch_id is not None:
            plain["batch_id"] = self.batch_id
        return plain


@dataclass(frozen=True)
class Note:
    """A cause found that needs no repair: the arms agree because of it, or in spite of it."""

    cause: Cause
    words: str
    count: int

    def as_dict(self) -> dict[str, Any]:
        """The note as plain values."""
        return {"cause": self.cause.value, "words": self.words, "count": self.count}


@dataclass
class Counted:
    """What every arm of a window says; `counts` by arm, None where an arm has nothing to say or is past keeping.

    `at`: what was entered before it is counted. `objects_digest`: of an hour's raw objects, where all are right.
    """

    window: Window
    at: datetime
    counts: dict[str, int | None] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    objects_digest: str | None = None


@dataclass(frozen=True)
class Attempt:
    """One attempt at a window, as it is recorded."""

    window: Window
    verdict: Verdict
    at: datetime
    counts: Mapping[str, int | None]
    differences: tuple[Difference, ...] = ()
    notes: tuple[Note, ...] = ()
    repairs: tuple[str, ...] = ()
    number: int = 0
    objects_digest: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The attempt as plain values."""
        return {
            "feed": self.window.feed,
            "grain": self.window.grain,
            "from": self.window.start.isoformat(),
            "to": self.window.end.isoformat(),
            "attempt": self.number,
            "verdict": self.verdict.value,
            "counts": dict(self.counts),
            "differences": [d.as_dict() for d in self.differences],
            "causes": [n.as_dict() for n in self.notes],
            "repairs": list(self.repairs),
        }
