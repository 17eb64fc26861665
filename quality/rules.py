"""What a check measures on the rows of its subject; `expectations.py` turns each into one expectation.

A row rule observes the share of rows that break it (0 to 1; rows where the column is null are not judged),
`Rows` a count of rows, `Value` the one value of a one-row subject.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Holds:
    """The boolean column is true; null means that the rule does not apply to the row."""

    column: str


@dataclass(frozen=True)
class OneOf:
    """The column has one of these values."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Between:
    """The column lies within the bounds, both included; None is open."""

    column: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Distinct:
    """The column repeats no value; observed is the share of rows that are repeats of another."""

    column: str


@dataclass(frozen=True)
class UniqueTogether:
    """No two rows agree in all of these columns."""

    columns: tuple[str, ...]


@dataclass(frozen=True)
class Rows:
    """The subject has at least the threshold's number of rows."""


@dataclass(frozen=True)
class Value:
    """The column of a one-row subject; with `floor` the threshold is the least allowed, else the most."""

    column: str
    floor: bool = False


@dataclass(frozen=True)
class Generated:
    """An expectation of a generated contract suite, by its type and arguments."""

    kind: str
    kwargs: dict[str, Any] = field(hash=False)


Rule = Generated | Holds | OneOf | Between | Distinct | UniqueTogether | Rows | Value


def is_floor(rule: Rule) -> bool:
    """Return whether a smaller observation is worse."""
    return isinstance(rule, Rows) or (isinstance(rule, Value) and rule.floor)
