"""What a signal is, and what a look at the platform gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

Severity = Literal["warn", "error"]


class Area(StrEnum):
    """Which part of the platform a signal is about; the order is that of the data's way."""

    STREAMS = "streams"
    ORDERS = "orders"
    PARTNERS = "partners"
    WAREHOUSE = "warehouse"
    QUALITY = "quality"
    HISTORY = "history"
    MACHINE = "machine"
    PLATFORM = "platform"


class Unit(StrEnum):
    """What a value counts; `STATE` is 1 where the fault is there."""

    SECONDS = "seconds"
    BYTES = "bytes"
    RATIO = "ratio"
    ROWS = "rows"
    RUNS = "runs"
    DAYS = "days"
    WINDOWS = "windows"
    STATE = "state"


@dataclass(frozen=True)
class Level:
    """Above this value (never at it), the signal is a fault of this severity."""

    severity: Severity
    above: float


@dataclass(frozen=True)
class Signal:
    """One thing that can go wrong, defined once for the doctor, the alerts, Prometheus and the dashboard.

    `query` is run as `fleet_ops` and returns the labels by name, with `since` (when it began) or `value` or both, and
    perhaps `detail`. With `since` alone the value is its age in seconds. A signal without a query is measured by the
    probe of its `probe` name. A bigger value is always worse. `words` tells a person what is wrong; it may use the
    labels, {value} and {detail}.
    """

    name: str
    area: Area
    measures: str
    unit: Unit
    labels: tuple[str, ...]
    levels: tuple[Level, ...]
    hold_s: int
    words: str
    query: str | None = None
    probe: str | None = None
    resolve_s: int = 60
    page: str | None = None

    def __post_init__(self) -> None:
        if (self.query is None) == (self.probe is None):
            raise ValueError(f"{self.name}: a signal has a query or a probe, one of them")
        limits = [level.above for level in self.levels]
        if not limits or limits != sorted(limits):
            raise ValueError(f"{self.name}: levels go from the lowest limit up, got {limits}")
        if not re.fullmatch(r"[a-z][a-z_]*[a-z]", self.name):
            raise ValueError(f"{self.name}: not a name")

    @property
    def metric(self) -> str:
        """The name under which Prometheus knows it."""
        tail = "" if self.unit is Unit.STATE else f"_{self.unit}"
        return f"fleetflow_{self.name}{tail}"

    @property
    def runbook(self) -> str:
        """The page that says what to do, as a path in this repository."""
        return f"docs/runbooks/{self.page or f'alert_{self.name}'}.md"

    @property
    def is_age(self) -> bool:
        """Whether the value is the age of something, so that the fault began when the age passed the limit."""
        return self.unit is Unit.SECONDS

    def level_of(self, value: float) -> Level | None:
        """Return the highest level that the value is above, None where all is well."""
        reached = [level for level in self.levels if value > level.above]
        return reached[-1] if reached else None


@dataclass(frozen=True)
class Reading:
    """One measurement: label values in the order of the signal's labels, and since when, where that is known."""

    labels: tuple[str, ...]
    value: float
    since: datetime | None = None
    detail: str = ""


@dataclass(frozen=True)
class Measured:
    """What became of one signal: its readings; or `fault`, why it could not be measured; or `unwatched`, why not.

    `because` names the signal that explains the fault: the warehouse is gone, so nothing in it can be measured.
    """

    signal: Signal
    readings: tuple[Reading, ...] = ()
    fault: str | None = None
    unwatched: str | None = None
    because: str | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Look:
    """One look at the platform: every signal of the list, by name."""

    at: datetime
    seconds: float
    measured: Mapping[str, Measured]


@dataclass(frozen=True)
class Finding:
    """Something stands above its limit. `standing`: for longer than the signal allows, so people are told."""

    signal: Signal
    labels: tuple[str, ...]
    severity: Severity
    value: float
    began_at: datetime
    since: datetime
    standing: bool
    words: str
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What it is about; with the signal's name, the identity of the fault."""
        return subject_of(self.signal, self.labels)


def subject_of(signal: Signal, labels: tuple[str, ...]) -> str:
    """Return the labels as one text; the platform, where there are none."""
    return "/".join(labels) or "platform"


def began(signal: Signal, reading: Reading) -> datetime | None:
    """Return when the reading passed its lowest limit, None where the reading does not tell."""
    if reading.since is None:
        return None
    return reading.since + timedelta(seconds=signal.levels[0].above) if signal.is_age else reading.since
