"""What senders say they sent: their truth files, which the landing never touches.

A file says per feed what a run sent in all, and may say when: `minutes`, lines by the UTC minute in which they were
handed to the producer. Without it a run counts from its start to its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

MINUTE = timedelta(minutes=1)
# Beside a run's counts may stand what is true of its vehicles, which is none of reconciliation's.
NOT_COUNTS = ".vehicles.json"


@dataclass
class Sent:
    """What the senders say of one feed, summed over their runs.

    `valid_distinct` is None where some run could not tell valid from invalid, or was killed before its last word;
    `invalid`, by rule, where some run could not tell.
    `most_distinct` is the largest run's number of different lines; different runs may have sent the same ones.
    """

    sent: int = 0
    valid_distinct: int | None = 0
    most_distinct: int = 0
    invalid: dict[str, int] | None = field(default_factory=dict)


def read_sent(directory: Path) -> dict[str, Sent]:
    """Sum the senders' truth files by feed.

    Raises:
        ValueError: a file is not a truth file.
    """
    found: dict[str, Sent] = {}
    for path in _truth_files(directory):
        try:
            truth = json.loads(path.read_text())
            for name, facts in truth["feeds"].items():
                _add(found.setdefault(name, Sent()), facts, complete=truth.get("complete", True))
        except (json.JSONDecodeError, KeyError, TypeError) as fault:
            raise ValueError(f"{path} is not a sender's truth: {fault!r}") from fault
    return found


def _truth_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.json") if not path.name.endswith(NOT_COUNTS))


def _add(total: Sent, facts: Mapping[str, Any], *, complete: bool) -> None:
    total.sent += int(facts["sent"])
    total.most_distinct = max(total.most_distinct, int(facts.get("distinct") or 0))
    distinct = facts.get("valid_distinct") if complete else None
    if distinct is None or total.valid_distinct is None:
        total.valid_distinct = None
    else:
        total.valid_distinct += int(distinct)
    if facts.get("invalid") is None or total.invalid is None:
        total.invalid = None
        return
    for rule, count in facts["invalid"].items():
        total.invalid[rule] = total.invalid.get(rule, 0) + int(count)


@dataclass(frozen=True)
class SentWindow:
    """Lines of one feed that a sender handed over in `start <= time < end`."""

    feed: str
    start: datetime
    end: datetime
    lines: int


def read_sent_windows(directory: Path) -> list[SentWindow]:
    """Return what every run sent and when, as finely as it says.

    Raises:
        ValueError: a file is not a truth file.
    """
    found: list[SentWindow] = []
    for path in _truth_files(directory):
        try:
            found += _windows(json.loads(path.read_text()))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as fault:
            raise ValueError(f"{path} is not a sender's truth: {fault!r}") from fault
    return found


def _windows(truth: Mapping[str, Any]) -> Iterator[SentWindow]:
    for feed, facts in truth["feeds"].items():
        minutes = facts.get("minutes") or {}
        for minute, lines in minutes.items():
            start = datetime.fromisoformat(minute).astimezone(UTC)
            yield SentWindow(feed, start, start + MINUTE, int(lines))
        rest = int(facts["sent"]) - sum(int(lines) for lines in minutes.values())
        if rest and "started_at" in truth:
            start = datetime.fromisoformat(truth["started_at"])
            end = datetime.fromisoformat(truth.get("finished_at") or truth["started_at"])
            yield SentWindow(feed, start, max(end, start) + timedelta(microseconds=1), rest)


def sent_within(sent: Sequence[SentWindow], feed: str, start: datetime, end: datetime) -> int:
    """Return how many lines were surely sent in a range."""
    return sum(s.lines for s in sent if s.feed == feed and start <= s.start and s.end <= end)
