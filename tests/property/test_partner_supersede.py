"""What a corrected file changes, against a plain interpreter with a dictionary: any versions, any slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.partners.supersede import Int64s, all_new, compare

Line = tuple[int, int]
"""A line's key and its content, as numbers."""


@dataclass(frozen=True)
class Hashed:
    """Lines in memory, in runs of three."""

    lines: Sequence[Line]

    @property
    def rows(self) -> int:
        return len(self.lines)

    def hashes(self) -> Iterator[tuple[Int64s, Int64s]]:
        for start in range(0, len(self.lines), 3):
            keys, contents = zip(*self.lines[start : start + 3], strict=True)
            yield np.array(keys, np.int64), np.array(contents, np.int64)


def reference(file: Sequence[Line], versions: Sequence[Sequence[Line]]) -> tuple[list[bool], list[bool], int]:
    """Whether each line lands, whether it takes another's place, and how many known keys the file leaves out."""
    standing: dict[int, set[int]] = {}
    for version in versions:
        newest: dict[int, set[int]] = {}
        for key, content in version:
            newest.setdefault(key, set()).add(content)
        standing |= newest
    lands = [content not in standing.get(key, ()) for key, content in file]
    changed = [fresh and key in standing for fresh, (key, _) in zip(lands, file, strict=True)]
    return lands, changed, len(standing.keys() - {key for key, _ in file})


lines = st.lists(
    st.tuples(st.integers(-4, 12) | st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2)), max_size=30
)


@settings(deadline=None)
@given(file=lines, versions=st.lists(lines, max_size=4), slice_rows=st.integers(1, 40))
def test_comparison_is_the_reference(file: list[Line], versions: list[list[Line]], slice_rows: int) -> None:
    found = compare(Hashed(file), [[Hashed(version)] for version in versions], slice_rows)
    lands, changed, absent = reference(file, versions)
    assert found.lands(0, len(file)).tolist() == lands
    assert found.changed(0, len(file)).tolist() == changed
    assert (found.unchanged, found.superseded, found.absent) == (lands.count(False), sum(changed), absent)


@settings(deadline=None)
@given(file=lines, start=st.integers(0, 30), count=st.integers(0, 30))
def test_any_run_of_rows_can_be_asked_for(file: list[Line], start: int, count: int) -> None:
    start, stop = min(start, len(file)), min(start + count, len(file))
    known = [Hashed(file[::2])]
    whole = compare(Hashed(file), [known], 5).lands(0, len(file)).tolist()
    part = compare(Hashed(file), [known], 5).lands(start, stop - start).tolist()
    assert part == whole[start:stop]


def test_a_first_version_lands_whole() -> None:
    found = all_new(3)
    assert found.lands(0, 3).tolist() == [True] * 3
    assert not found.changed(0, 3).any()
    assert compare(Hashed([(1, 1)]), []) == all_new(1)
