"""How much of what was planted was found, and how much of what was found is true: one line a kind.

Facts are matched one to one: as many pairs as there can be, among them the closest. Pure; `truth_facts` reads what a
simulator planted, `found_facts` what the marts say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple


class Fact(NamedTuple):
    """Something of a kind that an entity did or had from one moment to another.

    `optional`: nobody is to blame for missing it. `also`: other kinds by which it may be called besides.
    """

    entity: str
    kind: str
    start: datetime
    end: datetime
    optional: bool = False
    also: frozenset[str] = frozenset()


class Tolerance(NamedTuple):
    """When a found fact is a true one: they overlap, `slack` allowed at each end, by `share` of both together at least.

    `many`: a fact may be found more than once, as a leak is each day.
    """

    slack: timedelta = timedelta(0)
    share: float = 0.0
    many: bool = False


@dataclass(frozen=True)
class Score:
    """What came of a kind; `problem` says why nothing could be judged, as its mart is not there."""

    kind: str
    found: int = 0
    wrong: int = 0
    missed: int = 0
    problem: str | None = None

    @property
    def precision(self) -> float | None:
        """The share of what was found that is true; None where nothing was."""
        return self.found / (self.found + self.wrong) if self.found + self.wrong else None

    @property
    def recall(self) -> float | None:
        """The share of what is true that was found; None where nothing is."""
        return self.found / (self.found + self.missed) if self.found + self.missed else None


def judge(truth: Sequence[Fact], found: Sequence[Fact], tolerance: Tolerance) -> list[Score]:
    """Hold what was found against the truth, kind by kind; every kind of either is in the answer.

    What is found within an optional fact counts nowhere, and neither does a fact by a kind that it may have besides.
    """
    besides = [fact._replace(kind=kind, optional=True) for fact in truth for kind in sorted(fact.also)]
    kinds = dict.fromkeys([*(fact.kind for fact in truth), *(fact.kind for fact in found)])
    return [
        _judge_kind(
            kind,
            [fact for fact in (*truth, *besides) if fact.kind == kind],
            [fact for fact in found if fact.kind == kind],
            tolerance,
        )
        for kind in kinds
    ]


def _judge_kind(kind: str, truth: Sequence[Fact], found: Sequence[Fact], tolerance: Tolerance) -> Score:
    pairs = pair(truth, found, tolerance)
    wanted = {number for number, fact in enumerate(truth) if not fact.optional}
    hits = len(wanted & pairs.keys())
    explained = set(pairs.values())
    loose = tolerance._replace(share=0.0)
    forgiving = [fact for fact in truth if fact.optional or tolerance.many]
    explained |= {
        place
        for place, one in enumerate(found)
        if any(closeness(fact, one, loose) is not None for fact in forgiving)
    }
    return Score(kind, hits, len(found) - len(explained), len(wanted) - hits)


def pair(truth: Sequence[Fact], found: Sequence[Fact], tolerance: Tolerance) -> dict[int, int]:
    """Pair places of `truth` with places of `found`: as many required facts as possible, then optional ones.

    Each is used once. Augmenting paths over pairs that the tolerance allows, the closest tried first.
    """
    choices = {number: _choices(fact, found, tolerance) for number, fact in enumerate(truth)}
    taken: dict[int, int] = {}
    for number in sorted(choices, key=lambda number: (truth[number].optional, number)):
        _augment(number, choices, taken, set())
    return {number: place for place, number in taken.items()}


def _choices(fact: Fact, found: Sequence[Fact], tolerance: Tolerance) -> list[int]:
    """The places of what may be the fact, the closest first."""
    distances = ((closeness(fact, one, tolerance), place) for place, one in enumerate(found))
    return [place for _, place in sorted((far, place) for far, place in distances if far is not None)]


def _augment(number: int, choices: dict[int, list[int]], taken: dict[int, int], tried: set[int]) -> bool:
    """Give a fact a place, moving others to places that they may have as well."""
    for place in choices[number]:
        if place in tried:
            continue
        tried.add(place)
        if place not in taken or _augment(taken[place], choices, taken, tried):
            taken[place] = number
            return True
    return False


def closeness(one: Fact, other: Fact, tolerance: Tolerance) -> timedelta | None:
    """Return how far the ends of two facts are apart, or None where the tolerance keeps them apart."""
    if one.entity != other.entity:
        return None
    if one.start - tolerance.slack > other.end or other.start - tolerance.slack > one.end:
        return None
    if tolerance.share:
        common = min(one.end, other.end) - max(one.start, other.start)
        both = max(one.end, other.end) - min(one.start, other.start)
        if common < tolerance.share * both:
            return None
    return abs(one.start - other.start) + abs(one.end - other.end)
