from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from domain.driver_hours import Activity, Kind, Origin, Rule, evaluate, minute_of, moment_of
from domain.driver_hours.model import week_of, week_start
from domain.driver_hours.timeline import join, stretch_of, tidy
from tests.unit.driver_hours.line import MONDAY, WEEK, line, of


def test_what_is_empty_or_ends_before_it_starts_is_left_out_and_counted() -> None:
    given = [Activity(10, 20, Kind.DRIVING), Activity(20, 20, Kind.REST), Activity(30, 25, Kind.REST)]
    assert tidy(given) == ([given[0]], 2, 0)


def test_the_order_of_arrival_and_repeats_have_no_effect() -> None:
    given = line("D100 R45 D100 R600")
    assert tidy([*reversed(given), *given]).activities == given


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        pytest.param(
            (Kind.REST, Origin.TACHOGRAPH), (Kind.DRIVING, Origin.MANUAL), Kind.REST, id="tachograph"
        ),
        pytest.param((Kind.REST, Origin.MANUAL), (Kind.DRIVING, Origin.INFERRED), Kind.REST, id="manual"),
        pytest.param(
            (Kind.REST, Origin.TACHOGRAPH), (Kind.DRIVING, Origin.TACHOGRAPH), Kind.DRIVING, id="two cards"
        ),
        pytest.param(
            (Kind.AVAILABILITY, Origin.MANUAL), (Kind.OTHER_WORK, Origin.MANUAL), Kind.OTHER_WORK, id="work"
        ),
        pytest.param((Kind.UNKNOWN, Origin.MANUAL), (Kind.REST, Origin.MANUAL), Kind.REST, id="unknown last"),
    ],
)
def test_overlaps(one: tuple[Kind, Origin], other: tuple[Kind, Origin], kind: Kind) -> None:
    """[0, 60) and [30, 90): each alone at its end, the stronger one between, in either order."""
    first, second = Activity(0, 60, one[0], origin=one[1]), Activity(30, 90, other[0], origin=other[1])
    settled = tidy([second, first])
    assert [(a.start, a.end) for a in settled.activities] == [(0, 30), (30, 60), (60, 90)]
    assert [a.kind for a in settled.activities] == [one[0], kind, other[0]]
    assert settled.overlapping == 1


def test_cuts_of_one_kind_vanish_and_crew_does_not_join_single() -> None:
    whole = join(stretch_of(Activity(0, 30, Kind.REST)), stretch_of(Activity(30, 50, Kind.REST)))
    assert whole is not None
    assert (whole.start, whole.end, whole.proven) == (0, 50, 50)
    crew = stretch_of(Activity(30, 50, Kind.DRIVING, crew=True))
    assert join(stretch_of(Activity(0, 30, Kind.DRIVING)), crew) is None


def test_a_gap_counts_as_rest_and_proves_none() -> None:
    given = [Activity(MONDAY, MONDAY + 270, Kind.DRIVING), Activity(MONDAY + 315, MONDAY + 400, Kind.DRIVING)]
    findings = evaluate(given).findings
    assert [f.rule for f in findings] == [Rule.UNPROVEN_REST]
    assert (findings[0].start, findings[0].measured, findings[0].limit) == (MONDAY + 270, 0, 45)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("D60 R45 D60", [], id="recorded"),
        pytest.param("D60 R44! D60", [(0, 30)], id="inferred"),
        pytest.param("D60 R14! D60", [], id="too short to count for anything"),
        pytest.param("D60 R600 U59 D60", [], id="659 count for no more than 600"),
        pytest.param("D60 R600 U60 D60", [(600, 660)], id="660 do"),
        pytest.param("D60 R400 U1 R400 D60", [(400, 660)], id="two proven runs are not one"),
        pytest.param("D60 U100 R540 U100 D60", [(540, 660)], id="the longest run counts"),
    ],
)
def test_unproven_rest(words: str, expected: list[tuple[int, int]]) -> None:
    assert [(f.measured, f.limit) for f in of(words, Rule.UNPROVEN_REST)] == expected
    assert all(f.needs_evidence and f.reason for f in of(words, Rule.UNPROVEN_REST))


def test_nothing_gives_nothing() -> None:
    assert evaluate([]) == ([], [], 0, 0)


def test_weeks_begin_on_monday_00_00_utc() -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    assert minute_of(monday) == MONDAY == week_start(week_of(MONDAY))
    assert week_of(MONDAY - 1) == week_of(MONDAY) - 1
    assert week_of(MONDAY + WEEK - 1) == week_of(MONDAY)
    assert moment_of(MONDAY) == monday


def test_a_time_has_a_zone_and_is_floored_to_its_minute() -> None:
    east = timezone(timedelta(hours=2))
    assert minute_of(datetime(2026, 1, 5, 2, 0, 59, tzinfo=east)) == MONDAY
    with pytest.raises(ValueError, match="no zone"):
        minute_of(datetime(2026, 1, 5))
