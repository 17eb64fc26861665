"""Geometry of the small charts: numbers in, coordinates out. The template draws them; no markup here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from serving.report.wording import percent, weekday


@dataclass(frozen=True)
class Dot:
    """One known value of a line."""

    x: float
    y: float
    text: str
    last: bool
    below: bool = False


@dataclass(frozen=True)
class Tick:
    """One label on an axis."""

    at: float
    text: str
    detail: str = ""


@dataclass(frozen=True)
class Line:
    """A line over evenly spaced steps; a missing value leaves a gap."""

    width: float
    height: float
    paths: tuple[str, ...]
    dots: tuple[Dot, ...]
    target_y: float | None
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Bar:
    """A bar from the middle of its track to one side; `x` and `width` in percent of the track."""

    x: float
    width: float
    worse: bool


def share_line(
    values: Sequence[float | None],
    target: float | None,
    days: Sequence[date],
    *,
    width: float,
    height: float,
    left: float = 0,
    right: float = 0,
    top: float = 4,
    bottom: float = 4,
) -> Line:
    """Lay out daily shares with their target; the axis is cut to what is there and says so by its ticks."""
    low, high = _domain([*values, target])
    steps = max(len(values) - 1, 1)

    def x(index: int) -> float:
        return round(left + (width - left - right) * index / steps, 2)

    def y(value: float) -> float:
        return round(top + (height - top - bottom) * (high - value) / (high - low), 2)

    dots = tuple(
        Dot(x(i), y(v), percent(v), i == len(values) - 1, _in_valley(values, i))
        for i, v in enumerate(values)
        if v is not None
    )
    return Line(
        width=width,
        height=height,
        paths=_paths([None if v is None else (x(i), y(v)) for i, v in enumerate(values)]),
        dots=dots,
        target_y=None if target is None else y(target),
        x_ticks=tuple(Tick(x(i), weekday(d), str(d.day)) for i, d in enumerate(days)),
        y_ticks=tuple(Tick(y(v), f"{v:.0%}") for v in _steps(low, high)),
    )


def seconds_line(values: Sequence[float | None], limit: float, *, width: float, height: float) -> Line:
    """Lay out seconds over a day from zero up, with a limit that is always in sight."""
    top = max([v for v in values if v is not None] + [limit]) * 1.08
    steps = max(len(values) - 1, 1)

    def y(value: float) -> float:
        return round(4 + (height - 8) * (1 - value / top), 2)

    places = [None if v is None else (round((width - 5) * i / steps, 2), y(v)) for i, v in enumerate(values)]
    known = [(i, p) for i, p in enumerate(places) if p is not None]
    dots = tuple(Dot(p[0], p[1], "", i == known[-1][0]) for i, p in known)
    return Line(width, height, _paths(places), dots, y(limit), (), ())


def gap_bar(gap_pp: float | None, scale_pp: float) -> Bar | None:
    """Return the bar of a difference on a track of ± scale; a longer one stops at the edge."""
    if gap_pp is None:
        return None
    length = 50 * min(abs(gap_pp) / scale_pp, 1)
    return Bar(round(50 - length if gap_pp < 0 else 50, 2), round(length, 2), gap_pp < 0)


def gap_scale(gaps: Sequence[float | None]) -> float:
    """Return the scale that a table's bars share: 5 points at least, 20 at most."""
    return min(max([abs(gap) for gap in gaps if gap is not None] + [5.0]), 20.0)


def _in_valley(values: Sequence[float | None], at: int) -> bool:
    """Return whether the line comes from above on balance, so that a label over the dot would cross it."""
    own = values[at]
    slopes = [
        v - own
        for v in (*values[max(at - 1, 0) : at], *values[at + 1 : at + 2])
        if v is not None and own is not None
    ]
    return sum(slopes) > 0


def _domain(values: Sequence[float | None]) -> tuple[float, float]:
    known = [v for v in values if v is not None]
    if not known:
        return 0.0, 1.0
    low = math.floor(min(known) * 20 - 0.2) / 20
    high = min(math.ceil(max(known) * 20 + 0.2) / 20, 1.0)
    return max(min(low, high - 0.1), 0.0), max(high, 0.1)


def _steps(low: float, high: float) -> list[float]:
    span = round((high - low) * 100)
    step = next(s for s in (5, 10, 20, 25, 50) if span / s <= 4)
    return [v / 100 for v in range(round(high * 100), round(low * 100) - 1, -step)]


def _paths(places: Sequence[tuple[float, float] | None]) -> tuple[str, ...]:
    runs: list[list[str]] = [[]]
    for place in places:
        if place is None:
            runs.append([])
        else:
            runs[-1].append(f"{place[0]:g},{place[1]:g}")
    return tuple(" ".join(run) for run in runs if len(run) > 1)
