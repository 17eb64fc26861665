"""Time and pace: the live events go out in small equal slices at the wanted rate, without bursts."""

from __future__ import annotations

import time
from typing import Protocol

SLICE_S = 0.02
# After a stall at most so much faster than the wanted rate, until the delay is made up for.
CATCH_UP = 1.25


class Clock(Protocol):
    """Where the time comes from."""

    def now_ms(self) -> int:
        """Epoch milliseconds."""

    def sleep_until(self, moment_s: float) -> None:
        """Wait until `elapsed_s` is at least that."""

    def elapsed_s(self) -> float:
        """Seconds since the clock was made."""


class WallClock:
    """The machine's clock; intervals on its monotonic one."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return time.time_ns() // 1_000_000

    def elapsed_s(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._began

    def sleep_until(self, moment_s: float) -> None:
        """Sleep until `elapsed_s` is at least that."""
        while (left := moment_s - self.elapsed_s()) > 0:
            time.sleep(left)


class PlannedClock:
    """A clock that is always on time: for files and tests, as fast as the machine is."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms, self._elapsed_s = start_ms, 0.0

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self._start_ms + round(self._elapsed_s * 1000)

    def elapsed_s(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_s

    def sleep_until(self, moment_s: float) -> None:
        """Be there at once."""
        self._elapsed_s = max(self._elapsed_s, moment_s)


class Pacer:
    """A token bucket of one slice. A stall is made up for, at `CATCH_UP` times the rate, never in a burst."""

    def __init__(self, rate: float, clock: Clock) -> None:
        self.slice_events = max(1, round(rate * SLICE_S))
        self.interval_s = self.slice_events / rate
        self._clock, self._began, self._taken = clock, clock.elapsed_s(), 0
        self._last = self._began - self.interval_s

    def wait(self) -> float:
        """Wait for the next slice's turn; return its planned offset from the first one, in seconds."""
        offset = self._taken * self.interval_s
        self._taken += 1
        earliest = self._last + self.interval_s / CATCH_UP
        self._clock.sleep_until(max(self._began + offset, earliest))
        self._last = self._clock.elapsed_s()
        return offset
