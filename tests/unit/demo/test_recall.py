"""Matching what was found with what is true: one to one, within tolerances, kind by kind."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest

from fleetflow.demo.recall import Fact, Score, Tolerance, closeness, judge, pair

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
OVERLAP = Tolerance()


def fact(
    start: float,
    end: float,
    entity: str = "v1",
    kind: str = "trip",
    *,
    optional: bool = False,
    also: frozenset[str] = frozenset(),
) -> Fact:
    """A fact between two minutes after noon."""
    first, last = (NOON + timedelta(minutes=minute) for minute in (start, end))
    return Fact(entity, kind, first, last, optional, also)


def only(truth: list[Fact], found: list[Fact], tolerance: Tolerance = OVERLAP) -> Score:
    (score,) = judge(truth, found, tolerance)
    return score


def test_what_overlaps_is_found_and_what_does_not_is_missed_and_wrong() -> None:
    score = only([fact(0, 10), fact(100, 110)], [fact(5, 12), fact(200, 210)])
    assert (score.found, score.wrong, score.missed) == (1, 1, 1)
    assert (score.precision, score.recall) == (0.5, 0.5)


def test_nothing_found_has_no_precision_and_nothing_true_no_recall() -> None:
    missed, wrong = only([fact(0, 10)], []), only([], [fact(0, 10)])
    assert (missed.precision, missed.recall) == (None, 0.0)
    assert (wrong.precision, wrong.recall) == (0.0, None)


def test_another_entity_or_kind_is_another_matter() -> None:
    assert only([fact(0, 10, "v1")], [fact(0, 10, "v2")]).found == 0
    scores = judge([fact(0, 10, kind="leak")], [fact(0, 10, kind="theft")], OVERLAP)
    assert [(score.kind, score.found, score.wrong, score.missed) for score in scores] == [
        ("leak", 0, 0, 1),
        ("theft", 0, 1, 0),
    ]


def test_a_fact_is_found_once() -> None:
    score = only([fact(0, 60)], [fact(0, 20), fact(30, 60)])
    assert (score.found, score.wrong, score.missed) == (1, 1, 0)


def test_a_fact_that_lasts_may_be_found_each_day() -> None:
    score = only([fact(0, 60)], [fact(0, 20), fact(30, 60), fact(100, 110)], Tolerance(many=True))
    assert (score.found, score.wrong, score.missed) == (1, 1, 0)


def test_slack_widens_both_ends() -> None:
    early, late = fact(-20, -10), fact(20, 30)
    for found in (early, late):
        assert only([fact(0, 10)], [found]).found == 0
        assert only([fact(0, 10)], [found], Tolerance(timedelta(minutes=10))).found == 1
        assert only([fact(0, 10)], [found], Tolerance(timedelta(minutes=9))).found == 0


def test_a_share_wants_most_of_both_in_common() -> None:
    half = Tolerance(share=0.5)
    assert only([fact(0, 10)], [fact(0, 20)], half).found == 1
    assert only([fact(0, 10)], [fact(0, 21)], half).found == 0


def test_to_miss_what_is_optional_is_no_fault_and_to_find_it_counts_nowhere() -> None:
    optional = fact(0, 10, optional=True)
    assert only([optional], []) == Score("trip")
    assert only([optional], [fact(0, 10)]) == Score("trip")


def test_what_is_found_in_part_of_an_optional_fact_is_not_wrong() -> None:
    optional = fact(0, 100, optional=True)
    assert only([optional], [fact(10, 12), fact(50, 52)], Tolerance(share=0.5)) == Score("trip")


def test_a_fact_may_go_by_another_kind_besides() -> None:
    bought = fact(0, 0, kind="over_tank", also=frozenset({"without_rise"}))
    scores = judge([bought], [fact(0, 0, kind="over_tank"), fact(0, 0, kind="without_rise")], OVERLAP)
    assert scores == [Score("over_tank", found=1), Score("without_rise")]
    called_wrongly = judge([bought], [fact(0, 0, kind="without_rise")], OVERLAP)
    assert called_wrongly == [Score("over_tank", missed=1), Score("without_rise")]


def test_an_earlier_choice_gives_way_so_that_more_are_found() -> None:
    # The first could take either, the second only the one that lies closer to the first.
    truth, found = [fact(0, 30), fact(0, 10)], [fact(0, 29), fact(20, 40)]
    assert pair(truth, found, OVERLAP) == {0: 1, 1: 0}


def test_the_closest_is_taken() -> None:
    assert pair([fact(0, 10)], [fact(8, 30), fact(1, 9), fact(2, 40)], OVERLAP) == {0: 1}


@pytest.mark.parametrize("seed", range(40))
def test_as_many_are_found_as_by_trying_every_assignment(seed: int) -> None:
    rng = random.Random(seed)

    def some() -> list[Fact]:
        starts = [rng.randrange(60) for _ in range(rng.randrange(1, 6))]
        return [fact(start, start + rng.randrange(1, 15), entity=rng.choice("ab")) for start in starts]

    truth, found = some(), some()
    best = 0
    for order in itertools.permutations([*range(len(found)), *[None] * len(truth)], len(truth)):
        fits = [
            place is not None and closeness(one, found[place], OVERLAP) is not None
            for one, place in zip(truth, order, strict=True)
        ]
        best = max(best, sum(fits))
    assert only_found(truth, found) == best


def only_found(truth: list[Fact], found: list[Fact]) -> int:
    return sum(score.found for score in judge(truth, found, OVERLAP))
