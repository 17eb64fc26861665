"""Where the lines go: a stream's producer, or files."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol

from fleetflow.simulator.plan import STREAM_FEEDS, TELEMETRY_FEEDS

FEED_TAG = re.compile(rb'"feed"\s*:\s*"([a-z_]{1,64})"')


class LineSink(Protocol):
    """Takes lines in order; what `send` accepted is not lost. `ingestion.streams.Producer` is one."""

    def send(self, key: str, line: bytes) -> None:
        """Take one line of the entity `key`; may wait."""

    def flush(self, timeout_s: float) -> bool:
        """Push out what waits; False if some of it still waits then."""


class FileSink:
    """Writes `<directory>/<feed>.ndjson`; lines whose feed cannot be read go to `<fallback>.ndjson`."""

    def __init__(self, directory: Path, fallback: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._fallback = directory, fallback
        self._files: dict[str, BinaryIO] = {}

    def send(self, key: str, line: bytes) -> None:
        """Append the line to its feed's file."""
        tag = FEED_TAG.search(line)
        feed = tag[1].decode() if tag else self._fallback
        name = feed if feed in (*STREAM_FEEDS, *TELEMETRY_FEEDS) else self._fallback
        if name not in self._files:
            self._files[name] = (self._directory / f"{name}.ndjson").open("wb")
        self._files[name].write(line + b"\n")

    def flush(self, timeout_s: float) -> bool:
        """Hand everything to the operating system."""
        for file in self._files.values():
            file.flush()
        return True

    def __enter__(self) -> FileSink:
        """Return the sink itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class _Nowhere:
    def send(self, key: str, line: bytes) -> None:
        """Drop the line."""

    def flush(self, timeout_s: float) -> bool:
        """Nothing waits."""
        return True


NOWHERE: LineSink = _Nowhere()


class Streams(NamedTuple):
    """The streams of a fleet; `telemetry` is wanted only by plans with telemetry vehicles."""

    gps: LineSink
    status: LineSink
    telemetry: LineSink = NOWHERE
