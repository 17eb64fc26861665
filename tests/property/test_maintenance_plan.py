"""The service planner against an independently written checker, against brute force, and against itself a day later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from domain.maintenance.planner import ChangeKind, Plan, make_plan
from domain.maintenance.workshop import Capacity, Job, Placement, Problem, Running, Site, Vehicle
from fleetflow.bench.maintenance import day_after, draw_problem
from tests.property.maintenance_checker import (
    accounts_for_all,
    broken_rules,
    cost_of,
    every_place,
    least_cost,
    total_cost,
)

START = date(2026, 11, 26)
"""A Thursday: jobs of more than two days go over a weekend."""
EFFORTS = st.sampled_from((0.0, 1.0))
SLOW = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def days_from(low: int, high: int) -> st.SearchStrategy[date]:
    return st.integers(low, high).map(lambda number: START + timedelta(days=number))


@st.composite
def problems(draw: st.DrawFn, most_jobs: int = 9, most_sites: int = 3, horizon: int = 16) -> Problem:
    sites = tuple(
        Site(
            f"s{i}",
            draw(st.integers(0, 2)),
            draw(st.sampled_from((frozenset({5, 6}), frozenset({6}), frozenset()))),
            draw(st.frozensets(days_from(0, horizon), max_size=2)),
            draw(st.dictionaries(days_from(0, horizon), st.integers(0, 2), max_size=2)),
        )
        for i in range(draw(st.integers(1, most_sites)))
    )
    ids = [site.site_id for site in sites]
    vehicles = tuple(
        Vehicle(
            f"v{i}",
            draw(st.sampled_from([None, *ids])),
            draw(st.frozensets(days_from(-2, horizon), max_size=4)),
        )
        for i in range(draw(st.integers(1, 8)))
    )
    jobs = tuple(
        draw(jobs_of(f"j{i}", vehicles, ids, horizon)) for i in range(draw(st.integers(0, most_jobs)))
    )
    running = draw(
        st.lists(
            st.builds(
                Running,
                st.sampled_from([vehicle.vehicle_id for vehicle in vehicles]),
                st.sampled_from(ids),
                days_from(-1, 5),
            ),
            max_size=2,
            unique_by=lambda one: one.vehicle_id,
        )
    )
    return Problem(
        START,
        draw(st.integers(1, horizon)),
        jobs,
        sites,
        vehicles,
        Capacity(draw(st.sampled_from((0, 15, 40, 100))), draw(st.sampled_from((None, 0, 15, 50)))),
        tuple(running),
        move_cost_days=draw(st.integers(0, 4)),
    )


@st.composite
def jobs_of(draw: st.DrawFn, job_id: str, vehicles: tuple[Vehicle, ...], ids: list[str], horizon: int) -> Job:
    earliest = draw(st.none() | days_from(-3, horizon))
    latest = draw(st.none() | days_from(0, horizon + 3))
    return Job(
        job_id=job_id,
        vehicle_id=draw(st.sampled_from([vehicle.vehicle_id for vehicle in vehicles])),
        site_ids=tuple(draw(st.lists(st.sampled_from(ids), min_size=1, max_size=2, unique=True))),
        days=draw(st.sampled_from((1, 1, 2, 3, 6))),
        due_on=draw(days_from(-10, horizon + 5)),
        priority=draw(st.integers(1, 5)),
        earliest=earliest,
        latest=latest if latest is None or earliest is None else max(earliest, latest),
    )


def after(problem: Problem, plan: Plan) -> Problem:
    """The same problem with the plan as the one that stood before."""
    return replace(
        problem,
        previous=plan.placements,
        previously_unplaced=frozenset(one.job_id for one in plan.unplaced),
    )


@SLOW
@given(problem=problems(), effort=EFFORTS, data=st.data())
def test_a_plan_breaks_no_rule_whatever_stood_before(
    problem: Problem, effort: float, data: st.DataObject
) -> None:
    before = tuple(
        Placement(job.job_id, job.vehicle_id, data.draw(st.sampled_from((*job.site_ids, "gone"))), day, day)
        for job in problem.jobs
        if (day := data.draw(st.none() | days_from(-3, 16))) is not None
    )
    problem = replace(problem, previous=(*before, Placement("withdrawn", "v0", "s0", START, START)))
    plan = make_plan(problem, effort, with_bound=True)
    assert broken_rules(problem, plan.placements) == []
    assert accounts_for_all(problem, plan)
    assert plan.figures.cost == total_cost(problem, plan.placements)
    assert plan.figures.bound is not None
    assert plan.figures.bound <= plan.figures.cost
    told = {change.job_id: change for change in plan.changes}
    now = {placed.job_id: placed for placed in plan.placements}
    for placed in problem.previous:
        stands = now.get(placed.job_id)
        same = stands is not None and (stands.site_id, stands.first_day) == (placed.site_id, placed.first_day)
        assert same == (placed.job_id not in told)
        assert same or told[placed.job_id].words


@SLOW
@given(problem=problems(), effort=EFFORTS)
def test_an_unplaced_job_has_no_free_place_and_a_reason(problem: Problem, effort: float) -> None:
    plan = make_plan(problem, effort)
    jobs = {job.job_id: job for job in problem.jobs}
    for unplaced in plan.unplaced:
        assert unplaced.missing_days > 0
        assert unplaced.words
        alone = every_place(problem, jobs[unplaced.job_id])
        assert all(broken_rules(problem, (*plan.placements, one)) for one in alone if one is not None)
        assert (len(alone) == 1) == (unplaced.constraint.value in ("horizon", "window", "duties"))


@SLOW
@given(problem=problems(), effort=EFFORTS)
def test_overdue_jobs_are_planned_as_if_there_were_no_others(problem: Problem, effort: float) -> None:
    overdue = tuple(job for job in problem.jobs if job.due_on < problem.start)
    ids = {job.job_id for job in overdue}
    whole, alone = make_plan(problem, effort), make_plan(replace(problem, jobs=overdue), effort)
    assert [placed for placed in whole.placements if placed.job_id in ids] == list(alone.placements)


@SLOW
@given(problem=problems(), effort=EFFORTS, data=st.data())
def test_order_of_the_input_is_of_no_matter(problem: Problem, effort: float, data: st.DataObject) -> None:
    shuffled = replace(
        problem,
        jobs=tuple(data.draw(st.permutations(problem.jobs))),
        sites=tuple(data.draw(st.permutations(problem.sites))),
        vehicles=tuple(data.draw(st.permutations(problem.vehicles))),
    )
    assert make_plan(shuffled, effort) == make_plan(problem, effort)


@SLOW
@given(problem=problems(), effort=EFFORTS)
def test_where_nothing_changed_nothing_moves(problem: Problem, effort: float) -> None:
    first = make_plan(problem, effort)
    again = make_plan(after(problem, first), effort)
    assert again.placements == first.placements
    assert again.changes == ()


@SLOW
@given(problem=problems(), effort=EFFORTS, gone=st.integers(0, 8))
def test_a_job_less_moves_others_only_where_that_pays(problem: Problem, effort: float, gone: int) -> None:
    assume(problem.jobs)
    first = make_plan(problem, effort)
    problem = after(problem, first)
    dropped = problem.jobs[gone % len(problem.jobs)]
    fewer = replace(problem, jobs=tuple(job for job in problem.jobs if job is not dropped))
    second = make_plan(fewer, effort)
    stood = {placed.job_id: placed for placed in first.placements}
    jobs = {job.job_id: job for job in fewer.jobs}
    overdue = {job.job_id for job in fewer.jobs if fewer.is_overdue(job)}
    changed = {change.job_id: change for change in second.changes if change.kind is not ChangeKind.GONE}
    # An overdue job never gives way to one that is not: if it gains a place, those that are not may lose theirs for it.
    held = overdue if overdue & changed.keys() else jobs.keys()
    for job_id in held & changed.keys():
        change = changed[job_id]
        assert change.kind is not ChangeKind.DROPPED
        if change.kind is ChangeKind.MOVED:
            job, before = jobs[job_id], stood[job_id]
            assert cost_of(fewer, job, change.after) < cost_of(fewer, job, before)


def test_a_place_that_becomes_free_goes_to_an_overdue_job_before_all_others() -> None:
    jobs = (
        Job("j0", "v0", ("s0",), 1, START - timedelta(days=1), 1),
        Job("j1", "v0", ("s0",), 1, START, 1),
        Job("j2", "v0", ("s0",), 3, START - timedelta(days=1), 1),
    )
    problem = Problem(START, 5, jobs, (Site("s0", 1),), (Vehicle("v0"),), move_cost_days=0)
    first = make_plan(problem, 0.0)
    assert [placed.job_id for placed in first.placements] == ["j0", "j1"]
    second = make_plan(replace(after(problem, first), jobs=jobs[1:]), 0.0)
    kinds = {change.job_id: change.kind for change in second.changes}
    assert kinds == {"j0": ChangeKind.GONE, "j1": ChangeKind.DROPPED, "j2": ChangeKind.ADDED}


@pytest.mark.parametrize("load", [0.8, 1.2])
def test_a_drawn_fleet_and_the_day_after(load: float) -> None:
    problem = draw_problem(300, 4, 30, seed=3, load=load)
    greedy, solved = make_plan(problem, 0.0), make_plan(problem, 1.0)
    assert solved.figures.cost < greedy.figures.cost
    following = day_after(problem, solved, seed=3)
    second = make_plan(following, 1.0, with_bound=True)
    for given_problem, plan in ((problem, greedy), (problem, solved), (following, second)):
        assert broken_rules(given_problem, plan.placements) == []
        assert accounts_for_all(given_problem, plan)
    assert second.figures.moves < 0.2 * len(following.previous)
    assert (second.figures.bound or 0) <= second.figures.cost


@SLOW
@given(problem=problems(most_jobs=4, most_sites=2, horizon=7), effort=EFFORTS)
def test_small_plans_against_brute_force(problem: Problem, effort: float) -> None:
    best = least_cost(problem)
    plan = make_plan(problem, effort, with_bound=True)
    assert plan.figures.bound is not None
    assert plan.figures.bound <= best <= plan.figures.cost


@SLOW
@given(problem=problems(most_jobs=4, most_sites=1, horizon=7))
def test_one_workshop_is_planned_as_well_as_can_be(problem: Problem) -> None:
    """All jobs of one stage and one workshop are one problem of the solver's, which it solves to the end."""
    assume(len({job.due_on < problem.start for job in problem.jobs}) == 1)
    assert make_plan(problem, effort=5.0).figures.cost == least_cost(problem)
