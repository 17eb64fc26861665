"""Which lines of a corrected file are new, which are changed, and which are known word for word.

Compared are two hashes a line: of the line key, and of the content. What stands is, for each line key, what the newest
earlier version holds of it; an earlier version left out what was unchanged then, so all of them are read. Memory does
not grow with the files beyond two bytes a line: the keys are compared in slices of the hash, each slice of a few
million lines, and the hashes of every version are read again for each slice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

SLICE_ROWS = 2_000_000

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Lines(Protocol):
    """The lines of a file, which may be read again and again."""

    @property
    def rows(self) -> int:
        """How many there are."""

    def hashes(self) -> Iterator[tuple[Int64s, Int64s]]:
        """Give the hashes of their keys and contents, run by run, in the order of the file."""


@dataclass(frozen=True)
class Comparison:
    """What became of each line, as packed bits in the order of the file: it is `fresh` and lands, it is `changed`."""

    fresh: npt.NDArray[np.uint8] | None
    changed_bits: npt.NDArray[np.uint8] | None
    rows: int
    unchanged: int
    superseded: int
    absent: int

    def lands(self, start: int, count: int) -> Bools:
        """Whether each of `count` rows from `start` on lands."""
        return _bits(self.fresh, start, count, default=True)

    def changed(self, start: int, count: int) -> Bools:
        """Whether each of `count` rows from `start` on takes the place of an earlier version."""
        return _bits(self.changed_bits, start, count, default=False)


def _bits(packed: npt.NDArray[np.uint8] | None, start: int, count: int, *, default: bool) -> Bools:
    if packed is None:
        return np.full(count, default)
    first = start // 8
    bits = np.unpackbits(packed[first : (start + count + 7) // 8], bitorder="little")
    return bits[start - first * 8 : start - first * 8 + count].astype(np.bool_)


def all_new(rows: int) -> Comparison:
    """Return what a first version comes to: every line lands."""
    return Comparison(None, None, rows, 0, 0, 0)


def compare(file: Lines, versions: Sequence[Sequence[Lines]], slice_rows: int = SLICE_ROWS) -> Comparison:
    """Compare a parsed file with the earlier versions of its name, oldest first, each as its raw objects."""
    rows = file.rows
    earlier = sum(part.rows for version in versions for part in version)
    if not earlier:
        return all_new(rows)
    slices = max(1, -(-max(rows, earlier) // slice_rows))
    fresh, changed = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    unchanged = superseded = absent = 0
    for part in range(slices):
        standing = _Standing.read(versions, part, slices)
        at, lines, contents = _new_lines(file, part, slices)
        same, known = standing.judge(lines, contents)
        fresh[at[~same]] = True
        changed[at[known & ~same]] = True
        unchanged += int(same.sum())
        superseded += int((known & ~same).sum())
        absent += standing.not_in(lines)
    landing, changing = (np.packbits(bits, bitorder="little") for bits in (fresh, changed))
    return Comparison(landing, changing, rows, unchanged, superseded, absent)


class _Standing:
    """What stands of one slice of line keys: the keys, sorted, and a mark of each (key, content) that holds."""

    def __init__(self, keys: Int64s, marks: Int64s) -> None:
        self._keys = keys
        self._marks = marks

    @classmethod
    def read(cls, versions: Sequence[Sequence[Lines]], part: int, slices: int) -> _Standing:
        """Keep, of each key, the lines of the newest version that holds it."""
        keys, marks = np.empty(0, np.int64), np.empty(0, np.int64)
        for version in versions:
            found = [_slice(*hashes, part, slices) for piece in version for hashes in piece.hashes()]
            if not found:
                continue
            lines = np.concatenate([f[1] for f in found])
            contents = np.concatenate([f[2] for f in found])
            kept = ~np.isin(keys, lines)
            keys = np.concatenate([keys[kept], lines])
            marks = np.concatenate([marks[kept], _mark(lines, contents)])
        return cls(np.sort(keys), np.sort(marks))

    def judge(self, lines: Int64s, contents: Int64s) -> tuple[Bools, Bools]:
        """Return for each line whether it stands word for word, and whether its key is known at all."""
        return _holds(self._marks, _mark(lines, contents)), _holds(self._keys, lines)

    def not_in(self, lines: Int64s) -> int:
        """Count the keys that stand and are not among the lines."""
        return int((~_holds(np.sort(lines), np.unique(self._keys))).sum())


def _holds(ordered: Int64s, wanted: Int64s) -> Bools:
    if not ordered.size:
        return np.zeros(wanted.size, np.bool_)
    at = np.minimum(np.searchsorted(ordered, wanted), ordered.size - 1)
    return np.asarray(ordered[at] == wanted)


def _mark(lines: Int64s, contents: Int64s) -> Int64s:
    """One number for a line and its content; multiplied, so that neither can stand in for the other."""
    mixed = lines.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + contents.view(np.uint64)
    return (mixed ^ (mixed >> np.uint64(29))).view(np.int64)


def _new_lines(file: Lines, part: int, slices: int) -> tuple[Int64s, Int64s, Int64s]:
    """Return the places in the file, line hashes and content hashes of one slice."""
    found, start = [], 0
    for lines, contents in file.hashes():
        chosen, mine, theirs = _slice(lines, contents, part, slices)
        found.append((chosen + start, mine, theirs))
        start += lines.size
    if not found:
        return (np.empty(0, np.int64),) * 3
    return tuple(np.concatenate(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def _slice(lines: Int64s, contents: Int64s, part: int, slices: int) -> tuple[Int64s, Int64s, Int64s]:
    chosen = np.flatnonzero(lines.view(np.uint64) % np.uint64(slices) == part).astype(np.int64)
    return chosen, lines[chosen], contents[chosen]
