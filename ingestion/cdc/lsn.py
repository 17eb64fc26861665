"""Positions in the write-ahead log: integers here, `X/Y` in SQL."""

from __future__ import annotations


def parse_lsn(text: str) -> int:
    """Return the position that Postgres writes as `16/B374D848`."""
    high, low = text.split("/")
    return (int(high, 16) << 32) | int(low, 16)


def format_lsn(position: int) -> str:
    """Return the position as Postgres writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"
