"""How long a plan of services takes, and how good it is beside the bound that no plan can undercut.

The work: a fleet whose jobs want so much of the workshops' days (loads below), planned greedily, planned with the
solver, and planned again the day after with what is new, from the plan that stood. The limit is the Lagrangian bound
of the cost, in weighted days; it is computed in the same run.
"""

from __future__ import annotations

import random
import time
from dataclasses import asdict, replace
from datetime import date, timedelta
from typing import Any

from domain.maintenance.planner import EFFORT, ChangeKind, Plan, make_plan
from domain.maintenance.workshop import Capacity, Job, Problem, Running, Site, Vehicle

LOADS = (0.8, 0.95, 1.1)
_NEW_A_DAY = 0.015
START = date(2026, 11, 23)
_DAYS_OF_WORK = (1, 1, 1, 1, 1, 1, 2, 2, 3, 5)
_PRIORITIES = (1, 2, 2, 3, 3, 3, 3, 4, 4, 5)


def draw_problem(vehicles: int, sites: int, horizon_days: int, seed: int, load: float = 0.9) -> Problem:
    """Draw a fleet with its duties and jobs; `load` is the share of the bays' days that the jobs want."""
    dice = random.Random(seed)
    names = [f"site-{i:02d}" for i in range(sites)]
    fleet = tuple(_vehicle(dice, i, names[dice.randrange(sites)], horizon_days) for i in range(vehicles))
    jobs = tuple(
        _job(dice, number, vehicle, names, horizon_days)
        for number, vehicle in enumerate(dice.sample(fleet, int(vehicles * 0.85)))
    )
    wanted = dict.fromkeys(names, 0)
    for job in jobs:
        wanted[job.site_ids[0]] += job.days
    open_days = horizon_days * 5 / 7
    bays = {name: max(1, round(days / open_days / load)) for name, days in wanted.items()}
    places = tuple(Site(name, bays[name], closed_on=frozenset({START + timedelta(32)})) for name in names)
    return Problem(START, horizon_days, jobs, places, fleet, Capacity(15, 15))


def _vehicle(dice: random.Random, number: int, home: str, horizon_days: int) -> Vehicle:
    duties: set[date] = set()
    for _ in range(dice.randrange(4)):
        first = dice.randrange(horizon_days)
        duties |= {START + timedelta(first + i) for i in range(dice.randint(1, 7))}
    return Vehicle(f"veh-{number:05d}", home, frozenset(duties))


def _job(dice: random.Random, number: int, vehicle: Vehicle, names: list[str], horizon_days: int) -> Job:
    due = START + timedelta(dice.randint(-20, -1) if dice.random() < 0.08 else dice.randint(0, horizon_days))
    home = str(vehicle.home_site)
    others = [name for name in dice.sample(names, 2) if name != home] if dice.random() < 0.4 else []
    return Job(
        job_id=f"job-{number:05d}",
        vehicle_id=vehicle.vehicle_id,
        site_ids=(home, *others[:1]),
        days=dice.choice(_DAYS_OF_WORK),
        due_on=due,
        priority=dice.choice(_PRIORITIES),
        earliest=due - timedelta(21),
    )


def day_after(problem: Problem, plan: Plan, seed: int) -> Problem:
    """Return the problem of the next day: what began is under way, a few jobs are new, the rest stands as planned."""
    dice = random.Random(seed)
    start = problem.start + timedelta(days=1)
    begun = {placed.job_id: placed for placed in plan.placements if placed.first_day < start}
    names = [site.site_id for site in problem.sites]
    new = tuple(
        _job(dice, 1_000_000 + number, vehicle, names, problem.horizon_days)
        for number, vehicle in enumerate(dice.sample(problem.vehicles, int(len(problem.jobs) * _NEW_A_DAY)))
    )
    return replace(
        problem,
        start=start,
        jobs=tuple(job for job in problem.jobs if job.job_id not in begun) + new,
        running=tuple(
            Running(placed.vehicle_id, placed.site_id, placed.last_day)
            for placed in begun.values()
            if placed.last_day >= start
        ),
        previous=tuple(placed for placed in plan.placements if placed.job_id not in begun),
        previously_unplaced=frozenset(unplaced.job_id for unplaced in plan.unplaced),
    )


def run_bench(
    vehicles: int = 2_000, sites: int = 20, horizon_days: int = 60, runs: int = 1
) -> dict[str, Any]:
    """Plan a fleet at each load, `runs` times with other seeds; return seconds and costs, and every run."""
    results = [
        _run(draw_problem(vehicles, sites, horizon_days, seed, load), load, seed)
        for load in LOADS
        for seed in range(runs)
    ]
    shape = {"vehicles": vehicles, "sites": sites, "horizon_days": horizon_days, "effort": EFFORT}
    by_load = {f"load_{run['load']}_seed_{run['seed']}": run for run in results}
    return {"benchmark": "maintenance", **shape, **by_load}


def _run(problem: Problem, load: float, seed: int) -> dict[str, Any]:
    greedy, greedy_s = _timed(problem, effort=0)
    solved, solved_s = _timed(problem, effort=EFFORT)
    bounded, bounded_s = _timed(problem, effort=0, with_bound=True)
    next_day = day_after(problem, solved, seed)
    after, after_s = _timed(next_day, effort=EFFORT)
    bound = max(1, bounded.figures.bound or 0)
    return {
        "load": load,
        "seed": seed,
        "jobs": len(problem.jobs),
        "bound": bounded.figures.bound,
        "overdue_bound": bounded.figures.overdue_bound,
        "bound_cpu_s": round(bounded_s - greedy_s, 2),
        "greedy": _figures(greedy, greedy_s, bound),
        "solver": _figures(solved, solved_s, bound),
        "day_after": {
            "cpu_s": round(after_s, 2),
            "jobs": len(next_day.jobs),
            "new_jobs": len(next_day.jobs) - len(next_day.previous) - len(next_day.previously_unplaced),
            **{kind.value: sum(change.kind is kind for change in after.changes) for kind in ChangeKind},
        },
    }


def _timed(problem: Problem, effort: float, with_bound: bool = False) -> tuple[Plan, float]:
    """Plan once; return the plan and the processor time of this process in seconds."""
    start = time.process_time()
    plan = make_plan(problem, effort, with_bound)
    return plan, time.process_time() - start


def _figures(plan: Plan, seconds: float, bound: int) -> dict[str, Any]:
    figures = asdict(plan.figures)
    kept = ("cost", "overdue_cost", "late_days", "placed", "unplaced")
    return {
        "cpu_s": round(seconds, 2),
        "above_bound": round(plan.figures.cost / bound - 1, 3),
        **{name: figures[name] for name in kept},
    }
