"""What every row of a partner's file carries beside the envelope: whose it is, and where it stood in the file."""

from __future__ import annotations

from domain.contracts.model import Column, Integer, Text


def source_columns() -> tuple[Column, ...]:
    """Return the columns that name a row's origin."""
    return (
        Column("partner", Text(), "Who sent the file"),
        Column("source_line", Integer(64), "Line of the file, from 1, headers counted", between=(1, None)),
    )
