"""What a plan must be, written from the rules alone, day by day, on plain dates: it shares no code with the planner.

It imports the planner's records only, never a function of theirs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from domain.maintenance.planner import Plan
from domain.maintenance.workshop import Job, Placement, Problem

DAY = timedelta(days=1)
Stay = tuple[str, str, date, date]
"""A vehicle at a site, from a day to a day."""
WEIGHT_BY_PRIORITY = {1: 16, 2: 8, 3: 4, 4: 2, 5: 1}


def each_day(first: date, last: date) -> list[date]:
    days = []
    while first <= last:
        days.append(first)
        first += DAY
    return days


def works(problem: Problem, site_id: str, day: date) -> bool:
    (site,) = [one for one in problem.sites if one.site_id == site_id]
    return day.weekday() not in site.closed_weekdays and day not in site.closed_on


def broken_rules(problem: Problem, placements: Sequence[Placement]) -> list[str]:
    """Say in words every rule that the placements break; none is a plan that may be carried out."""
    jobs = {job.job_id: job for job in problem.jobs}
    broken = [words for placed in placements for words in _of_one(problem, jobs.get(placed.job_id), placed)]
    if len({placed.job_id for placed in placements}) < len(placements):
        broken.append("a job is placed twice")
    running = [(one.vehicle_id, one.site_id, problem.start, one.until) for one in problem.running]
    stays = [(one.vehicle_id, one.site_id, one.first_day, one.last_day) for one in placements]
    for day in each_day(problem.start, problem.start + DAY * (problem.horizon_days - 1)):
        broken += _of_a_day(problem, day, [stay for stay in stays if stay[2] <= day <= stay[3]],
                            [stay for stay in running if stay[2] <= day <= stay[3]])  # fmt: skip
    return broken


def _of_one(problem: Problem, job: Job | None, placed: Placement) -> Iterator[str]:
    if job is None or job.vehicle_id != placed.vehicle_id:
        yield f"{placed.job_id}: no such job of that vehicle"
        return
    if placed.site_id not in job.site_ids:
        yield f"{job.job_id}: at a site that is not its own"
    if placed.first_day < problem.start:
        yield f"{job.job_id}: in the past"
    if placed.last_day > problem.start + DAY * (problem.horizon_days - 1):
        yield f"{job.job_id}: after the horizon"
    if job.earliest is not None and placed.first_day < job.earliest:
        yield f"{job.job_id}: before its earliest day"
    if job.latest is not None and placed.last_day > job.latest:
        yield f"{job.job_id}: after its latest day"
    span = each_day(placed.first_day, placed.last_day)
    worked = [day for day in span if works(problem, placed.site_id, day)]
    if len(worked) != job.days or worked[:1] != span[:1] or worked[-1:] != span[-1:]:
        yield f"{job.job_id}: {len(worked)} open days from {placed.first_day}, {job.days} wanted"
    (vehicle,) = [one for one in problem.vehicles if one.vehicle_id == job.vehicle_id]
    if set(span) & vehicle.duty_days:
        yield f"{job.job_id}: on a duty day"


def _of_a_day(problem: Problem, day: date, stays: Sequence[Stay], running: Sequence[Stay]) -> Iterator[str]:
    """Running work may exceed a limit by itself; then nothing planned may be there."""
    in_service = [stay[0] for stay in (*stays, *running)]
    if len(set(in_service)) < len(in_service):
        yield f"{day}: a vehicle is in two places"
    if stays and len(in_service) > allowed(len(problem.vehicles), problem.capacity.fleet_percent):
        yield f"{day}: {len(in_service)} vehicles of {len(problem.vehicles)} in service"
    for site in problem.sites:
        planned = sum(stay[1] == site.site_id for stay in stays)
        taken = planned + sum(stay[1] == site.site_id for stay in running)
        if planned and works(problem, site.site_id, day) and taken > site.bays_on.get(day, site.bays):
            yield f"{day}: {taken} vehicles at {site.site_id}"
    percent = problem.capacity.home_site_percent
    homes = {vehicle.vehicle_id: vehicle.home_site for vehicle in problem.vehicles}
    for home in set(homes.values()) - {None} if percent is not None else ():
        planned = sum(homes[stay[0]] == home for stay in stays)
        away = sum(homes[vehicle_id] == home for vehicle_id in in_service)
        if planned and away > allowed(sum(one == home for one in homes.values()), percent or 0):
            yield f"{day}: {away} vehicles of {home} in service"


def allowed(vehicles: int, percent: int) -> int:
    if vehicles == 0 or percent == 0:
        return 0
    whole = 0
    while (whole + 1) * 100 <= vehicles * percent:
        whole += 1
    return whole or 1


def cost_of(problem: Problem, job: Job, placed: Placement | None) -> int:
    """Weighted days: of lateness; of leaving out (late at the end, a horizon more); of moving (at least weight 4)."""
    weight = WEIGHT_BY_PRIORITY[job.priority]
    before = next((one for one in problem.previous if one.job_id == job.job_id), None)
    stays = before is None or (
        placed is not None and (before.site_id, before.first_day) == (placed.site_id, placed.first_day)
    )
    moving = 0 if stays else max(weight, 4) * problem.move_cost_days
    if placed is None:
        after_horizon = problem.start + DAY * problem.horizon_days
        return weight * (max(0, (after_horizon - job.due_on).days) + problem.horizon_days) + moving
    return weight * max(0, (placed.last_day - job.due_on).days) + moving


def total_cost(problem: Problem, placements: Sequence[Placement]) -> int:
    placed = {one.job_id: one for one in placements}
    return sum(cost_of(problem, job, placed.get(job.job_id)) for job in problem.jobs)


def every_place(problem: Problem, job: Job) -> list[Placement | None]:
    """Every way to place a job that breaks no rule on its own, and not placing it."""
    days = each_day(problem.start, problem.start + DAY * (problem.horizon_days - 1))
    found: list[Placement | None] = [None]
    for site_id, first, last in itertools.product(job.site_ids, days, days):
        if first <= last:
            placed = Placement(job.job_id, job.vehicle_id, site_id, first, last)
            if not list(_of_one(problem, job, placed)):
                found.append(placed)
    return found


def least_cost(problem: Problem) -> int:
    """The cost of the best plan there is, by trying all."""
    best = total_cost(problem, ())
    for choice in itertools.product(*(every_place(problem, job) for job in problem.jobs)):
        placed = [one for one in choice if one is not None]
        if (cost := total_cost(problem, placed)) < best and not broken_rules(problem, placed):
            best = cost
    return best


def accounts_for_all(problem: Problem, plan: Plan) -> bool:
    """Each job is placed or explained, once."""
    named = [one.job_id for one in plan.placements] + [one.job_id for one in plan.unplaced]
    return sorted(named) == sorted(job.job_id for job in problem.jobs)
