"""Drivers' lives: lawful but for what was planted, as the platform's own rules judge it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from small_lives import drivers_of, plan_of

from domain.driver_hours import Activity, Finding, Kind, Rule, evaluate
from fleetflow.simulator.vehicle_life.activities import ActivityWriter
from fleetflow.simulator.vehicle_life.duties import DAY, DriverLife
from fleetflow.simulator.vehicle_life.rosters import Scenario, Seat

PLANTABLE = {
    "BREAK", "DAILY_DRIVING", "DAILY_REST", "WEEKLY_DRIVING", "FORTNIGHTLY_DRIVING", "WEEKLY_REST_SPACING",
    "WEEKLY_REST_PATTERN", "UNPROVEN_REST", "DAILY_REST_MULTI_MANNING",
}  # fmt: skip


Drivers = list[tuple[DriverLife, ActivityWriter]]


@pytest.fixture(scope="module")
def drivers() -> Drivers:
    return drivers_of(plan_of())


def ended(life: DriverLife, writer: ActivityWriter, start: int) -> list[Activity]:
    """All that had ended by the start."""
    crewed = life.roster.seat in (Seat.FIRST, Seat.SECOND)
    return [
        Activity(one.start, one.end, Kind(one.kind.value), crew=crewed and one.in_shift)
        for one in writer.all
        if one.end <= start
    ]


def findings(life: DriverLife, writer: ActivityWriter, start: int) -> list[Finding]:
    """What the rules find in it."""
    found = evaluate(ended(life, writer, start)).findings
    return [one for one in found if not one.needs_evidence or one.rule is Rule.UNPROVEN_REST]


# Starts on every weekday, at all hours.
@pytest.mark.parametrize("hours_later", range(0, 7 * 24, 29))
def test_the_rules_find_what_was_planted_and_nothing_else(hours_later: int) -> None:
    plan = plan_of(seed=hours_later, hours_later=hours_later)
    for life, writer in drivers_of(plan):
        judged = findings(life, writer, plan.start_ms // 60_000)
        found = sorted((str(one.rule), one.measured, one.limit) for one in judged)
        wanted = sorted((one.rule, one.measured, one.limit) for one in life.infringements)
        assert found == wanted, writer.key


def test_each_finding_lies_where_the_truth_says(drivers: Drivers) -> None:
    for life, writer in drivers:
        planted = list(life.infringements)
        for found in findings(life, writer, plan_of().start_ms // 60_000):
            (one,) = [
                one
                for one in planted
                if one.rule == found.rule
                and one.start < found.end
                and found.start < one.end
                and one.measured == found.measured
            ]
            planted.remove(one)
        assert planted == []


def test_a_demo_plants_every_rule_several_times_and_leaves_many_drivers_lawful(drivers: Drivers) -> None:
    rules = Counter(one.rule for life, _ in drivers for one in life.infringements)
    assert rules.keys() == PLANTABLE
    assert min(rules.values()) >= 2
    assert len(drivers) == 30
    assert sum(not life.infringements for life, _ in drivers) >= 13


@pytest.mark.parametrize("scenario", [Scenario.CREW_LONG_DAY, Scenario.CREW_SHORT_REST])
def test_a_crew_goes_where_one_driver_may_not(drivers: Drivers, scenario: Scenario) -> None:
    crew = [(life, writer) for life, writer in drivers if life.roster.scenario is scenario]
    assert len(crew) == 2
    for _, writer in crew:
        alone = [Activity(one.start, one.end, Kind(one.kind.value), crew=False) for one in writer.all]
        rules = [str(one.rule) for one in evaluate(alone).findings if not one.needs_evidence]
        assert "DAILY_REST" in rules


def test_what_is_told_as_multi_manning_is_what_the_rules_take_for_it(drivers: Drivers) -> None:
    start = plan_of().start_ms // 60_000
    told = 0
    for life, writer in drivers:
        days = [day for day in evaluate(ended(life, writer, start)).days if day.crew]
        shifts = [one for one in life.crewed() if one.end < start - 3 * DAY]  # its rest is over
        assert all(any(day.start < one.end and one.start < day.end for day in days) for one in shifts)
        assert len(days) >= len(shifts)
        assert bool(days) == (life.roster.seat in (Seat.FIRST, Seat.SECOND))
        told += len(shifts)
    assert told > 100


def test_activities_of_a_driver_follow_each_other_without_overlap(drivers: Drivers) -> None:
    for _, writer in drivers:
        assert all(one.end <= other.start for one, other in pairwise(writer.all))


def test_one_of_a_crew_drives_while_the_other_is_available(drivers: Drivers) -> None:
    firsts, seconds = (
        {life.roster.vehicle.number: life for life, _ in drivers if life.roster.seat is seat}
        for seat in (Seat.FIRST, Seat.SECOND)
    )
    assert firsts.keys() == seconds.keys() != set()
    for number, first in firsts.items():
        for one, other in zip(first.duties, seconds[number].duties, strict=True):
            pairs = {(a.kind.value, b.kind.value) for a, b in zip(one.steps, other.steps, strict=True)}
            assert pairs <= {
                ("driving", "availability"),
                ("availability", "driving"),
                ("rest", "rest"),
                ("other_work", "other_work"),
            }
