"""What a run sent, counted by the sender from what it meant to send; reconciliation holds it to that.

`<home>/sent/<run>.json` is written every few seconds with "complete": false, and once more at the end with
true; a killed run leaves its last word. Counted per feed: sent = every line, repeats and spoilt ones
included; distinct = different lines; valid_distinct = different event ids among valid lines; invalid = spoilt
lines per rule, their repeats included; minutes = lines by the UTC minute in which the producer took them, by the
wall clock, so that a closed hour can be held to them. The rest (repeats, late, out_of_order, missing_driver,
illegal) are counts of what was injected, each once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fleetflow.simulator.plan import SimulationPlan


@dataclass(slots=True)
class FeedTruth:
    """The counts of one feed."""

    sent: int = 0
    distinct: int = 0
    valid_distinct: int = 0
    invalid: dict[str, int] = field(default_factory=dict)
    repeats: int = 0
    late: int = 0
    out_of_order: int = 0
    missing_driver: int = 0
    illegal: int = 0
    minutes: dict[str, int] = field(default_factory=dict)

    def took(self, lines: int, at: datetime) -> None:
        """Note that the producer took lines at a moment."""
        minute = at.astimezone(UTC).replace(second=0, microsecond=0).isoformat()
        self.minutes[minute] = self.minutes.get(minute, 0) + lines

    def spoilt(self, rule: str, lines: int = 1) -> None:
        """Count lines that break `rule`."""
        self.invalid[rule] = self.invalid.get(rule, 0) + lines

    def add(self, other: FeedTruth) -> None:
        """Add another count to this one."""
        for name in (
            "sent",
            "distinct",
            "valid_distinct",
            "repeats",
            "late",
            "out_of_order",
            "missing_driver",
            "illegal",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for rule, lines in other.invalid.items():
            self.spoilt(rule, lines)
        for minute, lines in other.minutes.items():
            self.minutes[minute] = self.minutes.get(minute, 0) + lines

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"invalid": dict(sorted(self.invalid.items()))}


@dataclass(slots=True)
class Tally:
    """Counts per feed of a batch that is not sent yet."""

    feeds: dict[str, FeedTruth] = field(default_factory=dict)

    def of(self, feed: str) -> FeedTruth:
        """The counts of a feed."""
        known = self.feeds.get(feed)
        if known is None:
            known = self.feeds[feed] = FeedTruth()
        return known

    def add(self, other: Tally) -> None:
        """Add a batch that went out."""
        for feed, counts in other.feeds.items():
            self.of(feed).add(counts)


@dataclass(slots=True)
class Truth:
    """The whole run's counts; `history` is the part that was sent before the live events."""

    run: str
    plan: SimulationPlan
    started_at: datetime
    finished_at: datetime | None = None
    complete: bool = False
    history_sent: int = 0
    live_seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)

    @property
    def sent(self) -> int:
        """Lines of all feeds."""
        return sum(feed.sent for feed in self.tally.feeds.values())

    @property
    def live_rate(self) -> float:
        """Live lines per second, as achieved."""
        return (self.sent - self.history_sent) / self.live_seconds if self.live_seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The truth file's content."""
        return {
            "run": self.run,
            "seed": self.plan.seed,
            "tenant": self.plan.tenant,
            "started_at": self.started_at.isoformat(),
            "finished_at": (self.finished_at or datetime.now(UTC)).isoformat(),
            "complete": self.complete,
            "history_sent": self.history_sent,
            "live_seconds": round(self.live_seconds, 3),
            "live_rate": round(self.live_rate, 1),
            "feeds": {name: feed.as_dict() for name, feed in sorted(self.tally.feeds.items())},
        }

    def write(self, directory: Path) -> Path:
        """Replace `<directory>/<run>.json` in one step, so that a reader never sees half a file."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.run}.json"
        draft = path.with_suffix(".json.part")
        draft.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
        draft.replace(path)
        return path
