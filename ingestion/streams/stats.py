"""What a producer tells about itself. Bytes count lines with their delimiter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SendFailure:
    """One failed attempt: the code that the service or library gives it, and how many records go again."""

    code: str
    message: str
    records: int


OnFailure = Callable[[SendFailure], None]


@dataclass(frozen=True, slots=True)
class ProducerStats:
    """A producer's counters since it was made.

    `accepted_*` counts what `send` took, `replayed_lines` what dead producers left, `acked_*` what the stream
    confirmed of both, `pending_*` what it did not yet; `retries` counts records sent again, `failures` failed
    records by code. `blocked_s` is the time that senders waited for room. `torn` counts spool files of dead
    producers whose end did not check out.
    """

    accepted_lines: int = 0
    accepted_bytes: int = 0
    replayed_lines: int = 0
    acked_lines: int = 0
    acked_bytes: int = 0
    acked_records: int = 0
    calls: int = 0
    retries: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    last_error: str | None = None
    pending_lines: int = 0
    pending_bytes: int = 0
    spool_bytes: int = 0
    torn: int = 0
    blocked_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def acked_lines_per_s(self) -> float:
        """Confirmed lines per second over the producer's life."""
        return self.acked_lines / self.elapsed_s if self.elapsed_s else 0.0


@dataclass(frozen=True, slots=True)
class Closed:
    """How a producer ended: lines that the stream does not have yet, and the directory that keeps them."""

    left_lines: int
    left_bytes: int
    spool: Path | None


@dataclass(slots=True)
class Counters:
    """The counters behind `ProducerStats`; the producer's lock guards them."""

    accepted_lines: int = 0
    accepted_bytes: int = 0
    replayed_lines: int = 0
    acked_lines: int = 0
    acked_bytes: int = 0
    acked_records: int = 0
    calls: int = 0
    retries: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    last_error: str | None = None
    pending_lines: int = 0
    pending_bytes: int = 0
    torn: int = 0
    blocked_s: float = 0.0

    def take(self, lines: int, size: int) -> None:
        """Count lines that entered the lanes."""
        self.pending_lines += lines
        self.pending_bytes += size

    def confirm(self, lines: int, size: int) -> None:
        """Count a record that the stream has."""
        self.acked_records += 1
        self.acked_lines += lines
        self.acked_bytes += size
        self.pending_lines -= lines
        self.pending_bytes -= size

    def fail(self, failure: SendFailure) -> None:
        """Count a failed attempt."""
        self.retries += failure.records
        self.failures[failure.code] = self.failures.get(failure.code, 0) + failure.records
        self.last_error = failure.message
