"""The planner on cases made by hand: odd fleets and workshops, reasons in words, and plans of the day after."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from domain.maintenance.planner import ChangeKind, Plan, make_plan
from domain.maintenance.workshop import (
    BadPlanInput,
    Capacity,
    Job,
    Placement,
    Problem,
    Running,
    Site,
    Vehicle,
    share_of,
)

MONDAY = date(2026, 11, 23)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def fleet(count: int, **more: frozenset[date]) -> tuple[Vehicle, ...]:
    return tuple(Vehicle(f"v{i}", "s0", more.get(f"v{i}", frozenset())) for i in range(count))


def job(number: int, due: int = 3, days: int = 1, priority: int = 3, **more: date | None) -> Job:
    return Job(f"j{number}", f"v{number}", ("s0",), days, day(due), priority, **more)


def problem(*jobs: Job, bays: int = 1, vehicles: int = 20, percent: int = 100, horizon: int = 12) -> Problem:
    return Problem(MONDAY, horizon, jobs, (Site("s0", bays),), fleet(vehicles), Capacity(percent))


def days_of(plan: Plan) -> dict[str, tuple[date, date]]:
    return {placed.job_id: (placed.first_day, placed.last_day) for placed in plan.placements}


def words_of(plan: Plan) -> str:
    (unplaced,) = plan.unplaced
    return f"{unplaced.constraint}, {unplaced.missing_days}: {unplaced.words}"


@pytest.mark.parametrize(
    ("vehicles", "percent", "limit"),
    [(2_000, 15, 300), (99, 15, 14), (6, 15, 1), (1, 15, 1), (0, 15, 0), (50, 0, 0), (3, 100, 3)],
)
def test_the_share_is_rounded_down_but_never_to_none(vehicles: int, percent: int, limit: int) -> None:
    assert share_of(vehicles, percent) == limit


@pytest.mark.parametrize("effort", [0.0, 1.0])
def test_nothing_to_plan(effort: float) -> None:
    plan = make_plan(problem(), effort, with_bound=True)
    assert (plan.placements, plan.unplaced, plan.changes) == ((), (), ())
    assert (plan.figures.cost, plan.figures.bound) == (0, 0)


def test_a_job_goes_over_a_weekend_and_keeps_its_bay() -> None:
    plan = make_plan(problem(job(0, days=3, earliest=day(3)), job(1, due=9, earliest=day(4)), bays=1))
    assert days_of(plan) == {"j0": (day(3), day(7)), "j1": (day(8), day(8))}


def test_a_vehicle_over_the_weekend_counts_for_the_fleet_but_takes_no_bay() -> None:
    sites = (Site("s0", 1), Site("s1", 1, closed_weekdays=frozenset()))
    over = Job("j0", "v0", ("s0",), 2, day(4), earliest=day(4), latest=day(7))
    saturday = Job("j1", "v1", ("s1",), 1, day(5), earliest=day(5), latest=day(5))
    both = Problem(MONDAY, 12, (over, saturday), sites, fleet(2))
    assert days_of(make_plan(replace(both, capacity=Capacity(100)))) == {
        "j0": (day(4), day(7)),
        "j1": (day(5), day(5)),
    }
    assert len(make_plan(replace(both, capacity=Capacity(50))).unplaced) == 1


def test_overdue_comes_first_whatever_it_weighs() -> None:
    plan = make_plan(problem(job(0, due=0, priority=1), job(1, due=-1, priority=5)))
    assert days_of(plan) == {"j1": (day(0), day(0)), "j0": (day(1), day(1))}


def test_all_overdue_are_all_planned() -> None:
    plan = make_plan(problem(*(job(i, due=-5) for i in range(10))), with_bound=True)
    assert plan.unplaced == ()
    assert plan.figures.cost == plan.figures.overdue_cost == 4 * sum((*range(5, 10), *range(12, 17)))
    assert 410 <= (plan.figures.bound or 0) <= 420


def test_the_more_urgent_goes_first_where_there_is_room_for_one() -> None:
    plan = make_plan(problem(job(0, due=0, priority=4), job(1, due=0, priority=1)))
    assert days_of(plan)["j1"] == (day(0), day(0))


def test_no_bays() -> None:
    words = words_of(make_plan(problem(job(0), bays=0)))
    assert (
        words
        == "bays, 1: no start with a free bay each day; the nearest, s0 on 2026-11-23, misses 1 bay-days"
    )


def test_longer_than_the_horizon() -> None:
    words = words_of(make_plan(problem(job(0, days=14))))
    assert words == "horizon, 4: 14 open days in a row are wanted from 2026-11-23 to 2026-12-04; s0 has 10"


def test_longer_than_its_window() -> None:
    words = words_of(make_plan(problem(job(0, days=3, earliest=day(3), latest=day(6)))))
    assert words == "window, 1: 3 open days in a row are wanted from 2026-11-26 to 2026-11-29; s0 has 2"


@pytest.mark.parametrize("limits", [{"latest": day(-1)}, {"earliest": day(40)}])
def test_a_window_that_has_passed_or_is_to_come(limits: dict[str, date]) -> None:
    (unplaced,) = make_plan(problem(job(0, **limits))).unplaced
    assert (unplaced.constraint, unplaced.missing_days) == ("window", 1)
    assert "no time at all" in unplaced.words


def test_duties_on_every_start() -> None:
    given = problem(job(0, days=2, latest=day(3)))
    busy = replace(given, vehicles=fleet(20, v0=frozenset({day(0), day(1), day(2)})))
    assert words_of(make_plan(busy)) == (
        "duties, 1: v0 has duties on every start; the nearest, s0 from 2026-11-25 to 2026-11-26, "
        "needs 1 of its duty days"
    )


def test_the_limit_of_the_fleet() -> None:
    jobs = [job(0, days=10, priority=1), job(1, priority=5)]
    words = words_of(make_plan(problem(*jobs, bays=5, vehicles=6, percent=15)))
    assert words == (
        "fleet, 1: the limit of 1 vehicles at once (15 % of the fleet) is reached on every start; "
        "the nearest, s0 on 2026-11-23, misses 1 days"
    )


def test_the_limit_of_a_home_site() -> None:
    given = replace(problem(job(0, days=10, due=-1), job(1), bays=5), capacity=Capacity(100, 5))
    assert words_of(make_plan(given)).startswith(
        "home_site, 1: the limit of vehicles of one home site at once (5 %)"
    )


def test_one_vehicle_in_two_jobs() -> None:
    second = replace(job(1, latest=day(0)), vehicle_id="v0")
    words = words_of(make_plan(problem(job(0, due=-3), second, bays=2)))
    assert words == "vehicle, 1: v0 is in a workshop at every start; the nearest, s0 on 2026-11-23, by 1 days"


def test_no_single_limit_but_all_together() -> None:
    given = problem(job(0, latest=day(1)), job(1, days=1, latest=day(0), due=-1), vehicles=6, percent=17)
    given = replace(given, sites=(Site("s0", 9, bays_on={day(1): 0}),))
    assert words_of(make_plan(given)) == (
        "together, 1: every start misses one limit or another; s0 on 2026-11-23 by days of fleet 1"
    )


def test_running_work_holds_its_bay() -> None:
    given = replace(problem(job(0)), running=(Running("v9", "s0", day(1)),))
    assert days_of(make_plan(given)) == {"j0": (day(2), day(2))}


def test_running_work_over_the_limit_lets_nothing_in() -> None:
    running = (Running("v8", "s0", day(1)), Running("v9", "s0", day(1)), Running("v7", "s0", day(-5)))
    assert days_of(make_plan(replace(problem(job(0)), running=running))) == {"j0": (day(2), day(2))}


def test_a_place_that_stood_is_kept_though_an_earlier_one_is_free() -> None:
    stood = Placement("j0", "v0", "s0", day(3), day(3))
    plan = make_plan(replace(problem(job(0, due=3)), previous=(stood,)))
    assert plan.placements == (stood,)
    assert plan.changes == ()


@pytest.mark.parametrize(("move_cost_days", "first"), [(2, 3), (3, 3), (1, 1)])
def test_a_job_moves_only_if_it_gains_more_than_a_move_costs(move_cost_days: int, first: int) -> None:
    stood = Placement("j0", "v0", "s0", day(3), day(3))
    given = replace(problem(job(0, due=1, earliest=day(1))), previous=(stood,), move_cost_days=move_cost_days)
    plan = make_plan(given)
    assert days_of(plan)["j0"][0] == day(first)
    assert [change.words for change in plan.changes] == (
        ["it ends earlier, by more than a move costs"] if first == 1 else []
    )


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"start": day(4)}, "moved", "2026-11-26 has passed and it was not begun"),
        ({"sites": (Site("s0", 1, closed_on=frozenset({day(3)})),)}, "moved", "s0 is closed on 2026-11-26"),
        ({"sites": (Site("s0", 1, bays_on={day(3): 0}),)}, "moved", "no room there now (bays)"),
        ({"vehicles": fleet(20, v0=frozenset({day(3)}))}, "moved", "v0 has duties between"),
        ({"jobs": (job(0, earliest=day(4)),)}, "moved", "it must lie between 2026-11-27 and any day now"),
        (
            {"jobs": (replace(job(0), site_ids=("s1",)),), "sites": (Site("s0", 1), Site("s1", 1))},
            "moved",
            "no longer",
        ),
        ({"sites": (Site("s0", 0),)}, "dropped", "no room there now (bays); no start with a free bay"),
        ({"jobs": ()}, "gone", "it is no longer to be planned"),
        (
            {"jobs": (job(0), job(1, due=-2, latest=day(3), earliest=day(3)))},
            "moved",
            "no room there now (bays); it gave way to j1 (overdue)",
        ),
    ],
)
def test_each_change_is_explained(changed: dict[str, object], kind: str, words: str) -> None:
    stood = Placement("j0", "v0", "s0", day(3), day(3))
    plan = make_plan(replace(problem(job(0)), previous=(stood,), **changed))  # type: ignore[arg-type]
    (change,) = [change for change in plan.changes if change.job_id == "j0"]
    assert (change.kind, change.before) == (kind, stood)
    assert words in change.words


def test_a_job_that_is_new_is_told() -> None:
    (change,) = make_plan(problem(job(0))).changes
    assert (change.kind, change.before) == (ChangeKind.ADDED, None)


def test_the_next_day_without_news_moves_nothing() -> None:
    given = problem(*(job(i, due=i) for i in range(8)))
    first = make_plan(given)
    begun = {placed.job_id for placed in first.placements if placed.first_day == day(0)}
    second = make_plan(
        replace(
            given,
            start=day(1),
            jobs=tuple(one for one in given.jobs if one.job_id not in begun),
            previous=tuple(placed for placed in first.placements if placed.job_id not in begun),
        )
    )
    assert len(begun) == 1
    assert second.changes == ()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"jobs": (job(0), job(0))}, "job j0 is given 2 times"),
        ({"jobs": (job(0, days=0),)}, "job j0 takes 0 days, expected 1 or more"),
        ({"jobs": (job(0, days=-2),)}, "job j0 takes -2 days"),
        ({"jobs": (job(0, priority=9),)}, "job j0 has priority 9, expected 1 to 5"),
        ({"jobs": (replace(job(0), site_ids=()),)}, "job j0 has no sites"),
        ({"jobs": (replace(job(0), site_ids=("s9",)),)}, "names no known site: s9"),
        ({"jobs": (job(77),)}, "v77, which is not in the fleet"),
        ({"jobs": (job(0, earliest=day(4), latest=day(3)),)}, "before its earliest day"),
        ({"sites": (Site("s0", -1),)}, "site s0 has a negative number of bays"),
        ({"sites": (Site("s0", 1), Site("s0", 1))}, "site s0 is given 2 times"),
        ({"horizon_days": 0}, "horizon_days is 0, expected 1 to 731"),
        ({"capacity": Capacity(101)}, "fleet_percent is 101, expected 0 to 100"),
        ({"capacity": Capacity(15, -1)}, "home_site_percent is -1"),
        ({"move_cost_days": -1}, "move_cost_days is -1"),
        ({"running": (Running("v99", "s0", day(1)),)}, "running work of v99 at s0"),
        ({"running": (Running("v1", "s0", day(1)),) * 2}, "running vehicle v1 is given 2 times"),
    ],
)
def test_what_contradicts_itself_is_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(BadPlanInput, match=message):
        make_plan(replace(problem(), **changed))  # type: ignore[arg-type]


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(BadPlanInput, match=r"takes 0 days.*and 10 more"):
        make_plan(problem(*(job(i, days=0) for i in range(20)), *(job(i) for i in range(10)), vehicles=20))
