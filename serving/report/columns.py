"""Geometry of column charts: one column a day, stacked of parts; numbers in, coordinates out, no markup."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.report.charts import Tick


@dataclass(frozen=True)
class Part:
    """One part of a column."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Column:
    """One column: its parts from the bottom up, a mark across it (None: none), its label above both."""

    middle: float
    top: float
    text: str
    last: bool
    parts: tuple[Part, ...]
    mark_y: float | None


@dataclass(frozen=True)
class Columns:
    """A row of columns; a day of which nothing is known has no column and no label, only its tick."""

    width: float
    height: float
    base: float
    columns: tuple[Column, ...]
    x_ticks: tuple[Tick, ...]


def stacked_columns(
    days: Sequence[Mapping[str, float] | None],
    ticks: Sequence[tuple[str, str]],
    *,
    width: float,
    height: float,
    marks: Sequence[float | None] = (),
    text: Sequence[str] = (),
    now: int | None = None,
) -> Columns:
    """Lay out columns of parts by kind, bottom up; None is a day of which nothing is known.

    `marks` are values drawn as a line across their column; `text` replaces the sums as labels; `now` is the column
    that stands out (default: the last).
    """
    sums = [None if day is None else sum(day.values()) for day in days]
    known = [value for value in (*sums, *marks) if value is not None]
    top = max([*known, 0]) or 1
    base, room = height - 36, height - 36 - 20
    step = width / max(len(days), 1)
    wide = round(min(step * 0.62, 46), 2)
    current = len(days) - 1 if now is None else now
    columns = []
    for at, (day, total) in enumerate(zip(days, sums, strict=True)):
        if day is None or total is None:
            continue
        middle = round(step * (at + 0.5), 2)
        parts = _parts(day, middle - wide / 2, wide, base, room / top)
        mark = marks[at] if at < len(marks) else None
        highest = max(total, mark or 0)
        columns.append(
            Column(
                middle,
                round(base - room * highest / top, 2),
                text[at] if at < len(text) else f"{total:,.0f}",
                at == current,
                parts,
                None if mark is None else round(base - room * mark / top, 2),
            )
        )
    places = tuple(Tick(round(step * (at + 0.5), 2), *names) for at, names in enumerate(ticks))
    return Columns(width, height, base, tuple(columns), places)


def _parts(day: Mapping[str, float], x: float, wide: float, base: float, scale: float) -> tuple[Part, ...]:
    found, y = [], base
    for kind, value in day.items():
        if value > 0:
            tall = value * scale
            y -= tall
            found.append(Part(kind, round(x, 2), round(y, 2), wide, max(round(tall, 2), 0.5)))
    return tuple(found)


def bar_share(value: float | None, top: float) -> float | None:
    """Return a value in percent of the greatest one, for a bar; None where it is not known."""
    return None if value is None or not math.isfinite(value) or top <= 0 else round(100 * value / top, 2)
