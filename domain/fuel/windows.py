"""Medians of what lies before and after each border between neighbouring rows, over all vehicles at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domain.tracks.table import Floats, Ints

_CHUNK = 50_000
_NORMAL = 1.4826
"""The MAD of a normal distribution times this is its standard deviation."""


@dataclass(frozen=True)
class Windows:
    """One row a border: between row i and row i + 1 of the series. NaN where a side has no rows.

    `before_var` and `after_var` are the variances of the medians, of the rows' own spread (MAD).
    """

    before: Floats
    before_n: Ints
    before_var: Floats
    after: Floats
    after_n: Ints
    after_var: Floats


def read_windows(group: Ints, at_us: Ints, value: Floats, most: int, span_us: int) -> Windows:
    """Return the windows of a series sorted by group and time, without NaN.

    A side holds at most `most` rows of the border's group, none further than `span_us` from the row next to the border:
    so that silence between two rows does not empty a window. Rows of another group count for neither side.
    """
    size = max(len(value) - 1, 0)
    parts = [
        _read_chunk(group, at_us, value, np.arange(first, min(first + _CHUNK, size)), most, span_us)
        for first in range(0, size, _CHUNK)
    ]
    if not parts:
        nothing, none = np.empty(0), np.empty(0, np.int64)
        return Windows(nothing, none, nothing, nothing, none, nothing)
    return Windows(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _read_chunk(
    group: Ints, at_us: Ints, value: Floats, borders: Ints, most: int, span_us: int
) -> tuple[Floats, Ints, Floats, Floats, Ints, Floats]:
    back = borders[:, None] - np.arange(most)[None, :]
    ahead = borders[:, None] + 1 + np.arange(most)[None, :]
    before, before_n, before_var = _read_side(group, at_us, value, back, span_us)
    after, after_n, after_var = _read_side(group, at_us, value, ahead, span_us)
    crosses = group[borders] != group[borders + 1]
    before[crosses], after[crosses] = np.nan, np.nan
    return before, before_n, before_var, after, after_n, after_var


def _read_side(
    group: Ints, at_us: Ints, value: Floats, rows: npt.NDArray[np.int64], span_us: int
) -> tuple[Floats, Ints, Floats]:
    near = rows[:, :1]
    inside = np.clip(rows, 0, len(value) - 1)
    is_in = (rows >= 0) & (rows < len(value)) & (group[inside] == group[near])
    is_in &= np.abs(at_us[inside] - at_us[near]) <= span_us
    values = np.where(is_in, value[inside], np.nan)
    count = is_in.sum(axis=1)
    middle = median_rows(values, count)
    spread = _NORMAL * median_rows(np.abs(values - middle[:, None]), count)
    # A median of normal values has pi/2 times the variance of their mean.
    return middle, count, np.pi / 2 * spread**2 / count


def median_rows(values: npt.NDArray[np.float64], count: Ints) -> Floats:
    """Return each row's median of its `count` known values; NaN is unknown and sorts last."""
    ordered = np.sort(values, axis=1)
    row = np.arange(len(ordered))
    low = ordered[row, np.maximum((count - 1) // 2, 0)]
    high = ordered[row, np.minimum(count // 2, ordered.shape[1] - 1)]
    return np.asarray(low + (high - low) / 2)
