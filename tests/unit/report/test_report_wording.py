"""Numbers as words, and the geometry of the charts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from serving.report import charts, wording


@pytest.mark.parametrize(
    ("say", "value", "words"),
    [
        (wording.percent, 0.9425, "94.2%"),
        (wording.percent, 1.0, "100.0%"),
        (wording.percent, 0.99999, "99.9%"),
        (wording.percent, 0.00001, "0.1%"),
        (wording.percent, 0.0, "0.0%"),
        (wording.percent, None, "n/a"),
        (wording.signed_points, 1.24, "+1.2"),
        (wording.signed_points, -0.04, "±0.0"),
        (wording.signed_points, -3.0, "\N{MINUS SIGN}3.0"),
        (wording.signed_points, None, "n/a"),
        (wording.count, 1234567, "1,234,567"),
        (wording.count, None, "n/a"),
        (wording.minutes, 0, "0 min"),
        (wording.minutes, 59.4, "59 min"),
        (wording.minutes, 125, "2 h 05 min"),
        (wording.minutes, 60 * 24 * 3 + 61, "3 d 1 h"),
        (wording.minutes, -61, "\N{MINUS SIGN}1 h 01 min"),
        (wording.minutes, None, "n/a"),
        (wording.seconds, 4.26, "4.3 s"),
        (wording.seconds, 41.4, "41 s"),
        (wording.seconds, 185, "3 min 05 s"),
        (wording.seconds, 7200, "2 h 00 min"),
        (wording.seconds, None, "n/a"),
        (wording.size, 0, "0 B"),
        (wording.size, 1536, "1.5 KiB"),
        (wording.size, 5 << 30, "5.0 GiB"),
        (wording.size, None, "n/a"),
        (wording.usual_count, 0.43, "0.4"),
        (wording.usual_count, 27.1, "27"),
        (wording.usual_count, None, "n/a"),
        (wording.day, date(2026, 11, 19), "Thu 19 Nov 2026"),
        (wording.clock, datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2 Jan 03:04"),
        (wording.clock, None, "n/a"),
        (wording.opening, "gPS lost", "GPS lost"),
        (wording.opening, "", ""),
    ],
)
def test_words(say: Callable[[object], str], value: object, words: str) -> None:
    assert say(value) == words


def test_clock_of_today_needs_no_date() -> None:
    now = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert wording.clock(now, now + timedelta(hours=2)) == "03:04"
    assert wording.clock(now, now + timedelta(days=1)) == "2 Jan 03:04"


def line_of(*values: float | None, target: float | None = None) -> charts.Line:
    days = [date(2026, 11, 12) + timedelta(days=n) for n in range(len(values))]
    return charts.share_line(values, target, days, width=100, height=50)


def test_missing_day_is_a_gap() -> None:
    line = line_of(0.9, 0.95, None, 0.97, 0.99, None)
    assert [len(path.split()) for path in line.paths] == [2, 2]
    assert [dot.text for dot in line.dots] == ["90.0%", "95.0%", "97.0%", "99.0%"]
    assert not any(dot.last for dot in line.dots)


def test_single_known_day_is_a_dot_without_a_line() -> None:
    line = line_of(None, None, 0.9)
    assert line.paths == ()
    assert [dot.last for dot in line.dots] == [True]


@pytest.mark.parametrize("values", [(None, None), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (0.501, 0.5)])
@pytest.mark.parametrize("target", [None, 0.0, 0.95, 1.0])
def test_everything_stays_inside_the_chart(values: tuple[float | None, ...], target: float | None) -> None:
    line = line_of(*values, target=target)
    heights = [dot.y for dot in line.dots] + ([] if line.target_y is None else [line.target_y])
    assert all(4 <= y <= 46 for y in heights)
    assert 2 <= len(line.y_ticks) <= 5


def test_higher_share_is_higher_up() -> None:
    low, high = line_of(0.8, 0.9).dots
    assert high.y < low.y


def test_gap_bar_grows_from_the_middle_and_stops_at_the_edge() -> None:
    assert charts.gap_bar(None, 5) is None
    assert charts.gap_bar(2.5, 5) == charts.Bar(50, 25, worse=False)
    assert charts.gap_bar(-2.5, 5) == charts.Bar(25, 25, worse=True)
    assert charts.gap_bar(-80, 20) == charts.Bar(0, 50, worse=True)


@pytest.mark.parametrize(("gaps", "scale"), [((), 5), ((None, 1), 5), ((-12.0, 3), 12), ((-60.0,), 20)])
def test_tables_share_one_scale(gaps: tuple[float | None, ...], scale: float) -> None:
    assert charts.gap_scale(gaps) == scale
