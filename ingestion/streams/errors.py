"""What a producer refuses, and why."""

from __future__ import annotations


class ProducerClosed(RuntimeError):
    """The producer takes no more lines."""


class ProducerFull(TimeoutError):
    """The stream did not take enough in time to make room; the line was not accepted."""


class LinesLeft(RuntimeError):
    """Closed with lines that the stream does not have; the spool keeps them for the next producer."""


class LineRefused(ValueError):
    """The line can never be part of a record."""
