"""The rate limits of a shard: 1 MiB/s and 1,000 records/s in; 2 MiB/s and 5 reads/s out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

IN_BYTES_S = 1 << 20
IN_RECORDS_S = 1000
OUT_BYTES_S = 2 << 20
OUT_READS_S = 5

Clock = Callable[[], float]


@dataclass
class TokenBucket:
    """Tokens that refill up to one second's worth; below zero is a debt to wait out."""

    rate: float
    clock: Clock = time.monotonic
    level: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        """Start full."""
        self.level, self.at = self.rate, self.clock()

    def available(self) -> float:
        """Return the tokens there are now."""
        now = self.clock()
        self.level = min(self.rate, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level


class ShardLimits:
    """What one shard may still take in and give out."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        """Start with a full second's worth of everything."""
        self._in_bytes = TokenBucket(IN_BYTES_S, clock)
        self._in_records = TokenBucket(IN_RECORDS_S, clock)
        self._out_bytes = TokenBucket(OUT_BYTES_S, clock)
        self._out_reads = TokenBucket(OUT_READS_S, clock)

    def admit_record(self, size: int) -> bool:
        """Return whether a record of this size may come in now, and count it if so."""
        if self._in_bytes.available() < size or self._in_records.available() < 1:
            return False
        self._in_bytes.level -= size
        self._in_records.level -= 1
        return True

    def admit_read(self) -> bool:
        """Return whether a read may happen now, and count it if so."""
        if self._out_reads.available() < 1 or self._out_bytes.available() <= 0:
            return False
        self._out_reads.level -= 1
        return True

    def charge_read(self, size: int) -> None:
        """Count the bytes that a read returned: one large read is paid off by a pause."""
        self._out_bytes.level -= size


class NoLimits(ShardLimits):
    """A shard without limits, for tests and benchmarks."""

    def admit_record(self, size: int) -> bool:
        """Admit always."""
        return True

    def admit_read(self) -> bool:
        """Admit always."""
        return True
