from __future__ import annotations

import itertools

from domain.driver_hours import Activity, Kind, evaluate
from domain.driver_hours.timeline import tidy
from fleetflow.bench.driver_hours import driver_rows


def test_the_benchmarks_drivers_are_whole_and_like_real_ones() -> None:
    """28 days and the weekend before, without gap or overlap; 20 duty days of about 7 h of driving, mostly legal."""
    kinds = tuple(Kind)
    drivers = [
        [Activity(start, end, kinds[code]) for start, end, code in driver_rows(seed)] for seed in range(20)
    ]
    for driver in drivers:
        ordered = sorted(driver)
        assert driver != ordered
        assert all(before.end == after.start for before, after in itertools.pairwise(ordered))
        assert ordered[-1].end - ordered[0].start >= 29 * 1_440
        assert tidy(driver).overlapping == 0
    evaluated = [evaluate(driver) for driver in drivers]
    assert {len(found.days) for found in evaluated} == {20}
    driven = sum(day.driving for found in evaluated for day in found.days) / 20 / 20 / 60
    assert 6 < driven < 9
    wrong = sum(
        f.severity is not None and not f.needs_evidence for found in evaluated for f in found.findings
    )
    assert 0 < wrong / len(drivers) < 8
    assert driver_rows(3) == driver_rows(3) != driver_rows(4)
