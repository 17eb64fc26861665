"""Fuel against plain interpreters: windows, counters, refills matched with purchases; order does not matter."""

from __future__ import annotations

import random
from itertools import combinations
from statistics import median

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.fuel import Event, EventKind, Purchase, find_events, make_minutes, reconcile, trace_levels
from domain.fuel.counters import read_counter
from domain.fuel.purchases import _cost, _match
from domain.fuel.rules import PurchaseRules
from domain.fuel.windows import read_windows

START_US = 1_751_328_000_000_000
MINUTE_US = 60_000_000
rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 100)),
    max_size=40,
    unique_by=lambda one: one[:2],
).map(sorted)


@given(rows, st.integers(1, 5), st.integers(1, 10))
def test_windows_are_medians_of_the_rows_nearby(
    found: list[tuple[int, int, int]], most: int, span: int
) -> None:
    group, at, value = (np.array([row[n] for row in found], np.int64) for n in range(3))
    windows = read_windows(group, at, value.astype(float), most, span)
    for border in range(max(len(found) - 1, 0)):
        near, far = found[border], found[border + 1]
        before = [v for g, t, v in found[: border + 1][-most:] if g == near[0] and near[1] - t <= span]
        after = [v for g, t, v in found[border + 1 :][:most] if g == far[0] and t - far[1] <= span]
        if near[0] != far[0]:
            assert np.isnan(windows.before[border])
            continue
        assert (windows.before[border], windows.before_n[border]) == (median(before), len(before))
        assert (windows.after[border], windows.after_n[border]) == (median(after), len(after))


@given(st.lists(st.one_of(st.integers(0, 3), st.integers(0, 5000)), max_size=25))
def test_a_counter_never_gains_more_than_it_can(steps: list[int]) -> None:
    values = np.array(steps, float)
    at = START_US + np.arange(len(steps)) * MINUTE_US
    read = read_counter(at, values, most_per_hour=120, slack=1)
    assert len(read.at) + read.outliers == len(steps)
    assert len(read.gain) == len(read.at)
    assert int(np.isnan(read.gain).sum()) == read.resets
    for before, after, gain in zip(read.at, read.at[1:], read.gain[1:], strict=False):
        assert np.isnan(gain) or 0 <= gain <= 120 * (after - before) / 60 + 1
        assert np.isnan(gain) or gain == max(values[after] - values[before], 0)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_a_counter_that_only_rises_is_taken_as_it_is(gains: list[int]) -> None:
    values = 1000 + np.cumsum(gains).astype(float)
    at = START_US + np.arange(len(gains)) * MINUTE_US
    read = read_counter(at, values, most_per_hour=120, slack=1)
    assert (read.outliers, read.resets, len(read.at)) == (0, 0, len(gains))
    assert read.gain.sum() == values[-1] - values[0]


visits = st.lists(
    st.tuples(st.integers(0, 600), st.integers(20, 300)), max_size=4, unique_by=lambda one: one[0]
)
rises = st.lists(
    st.tuples(st.integers(0, 60), st.integers(20, 300)), max_size=4, unique_by=lambda one: one[0]
)


def bought(found: list[tuple[int, int]]) -> list[Purchase]:
    return [
        Purchase(START_US + minute * MINUTE_US, f"p{minute}", f"t{minute}", "diesel", float(volume),
                 station_id=f"{minute}")
        for minute, volume in found
    ]  # fmt: skip


def risen(found: list[tuple[int, int]]) -> list[Event]:
    return [
        Event(0, EventKind.REFILL, START_US + n * 10 * MINUTE_US, START_US + (n * 10 + 5) * MINUTE_US, float(volume),
              0.0, float(volume), False, True, False, True)
        for n, volume in sorted(found)
    ]  # fmt: skip


@given(visits, rises)
def test_matching_is_the_best_of_all_that_do_not_cross(
    purchases: list[tuple[int, int]], levels: list[tuple[int, int]]
) -> None:
    rules = PurchaseRules()
    result = reconcile(bought(purchases), risen(levels), 400.0)
    left, right = list(result.visits), risen(levels)
    best = (0, 0.0)
    for many in range(min(len(left), len(right)) + 1):
        for some in combinations(range(len(left)), many):
            for others in combinations(range(len(right)), many):
                costs = [_cost(left[i], right[j], rules) for i, j in zip(some, others, strict=True)]
                if None not in costs:
                    best = min(best, (-many, sum(cost or 0.0 for cost in costs)))
    got = [_cost(visit, event, rules) for visit, event in _match(left, right, rules)]
    assert None not in got
    assert (-len(got), sum(cost or 0.0 for cost in got)) == best
    assert len({id(event) for _, event in result.matches}) == len(result.matches)


levels = st.lists(
    st.one_of(st.floats(-20, 120), st.just(float("nan")), st.just(float("inf"))), min_size=1, max_size=80
)


@settings(max_examples=60)
@given(levels, st.lists(st.sampled_from([0.0, 50.0, float("nan")]), min_size=80, max_size=80), st.randoms())
def test_whatever_comes_nothing_breaks_and_order_does_not_matter(
    level: list[float], speed: list[float], dice: random.Random
) -> None:
    size = len(level)
    columns = {
        "vehicle": np.arange(size) % 2,
        "at_us": START_US + np.arange(size) // 2 * MINUTE_US,
        "level_pct": np.array(level),
        "speed_kmh": np.array(speed[:size]),
    }
    order = list(range(size))
    dice.shuffle(order)
    order += order[: size // 4]
    found = []
    for rows_ in (np.arange(size), np.array(order)):
        gathered = make_minutes(**{name: values[rows_] for name, values in columns.items()})
        traced = trace_levels(gathered.minutes, np.array([500.0, 80.0])).levels
        found.append(find_events(traced).events)
        known = traced.level_l[~np.isnan(traced.level_l)]
        assert bool(((known >= 0) & (known <= traced.tank_l.max())).all())
    assert found[0] == found[1]
    assert all(one.volume_l > 0 and one.start_us < one.end_us and 0 < one.confidence < 1 for one in found[0])
