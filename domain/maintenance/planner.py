"""The service planner: who goes to which workshop when, why not, and what changed since the plan before.

Two stages, so that overdue work comes first without any weighing: overdue jobs are planned as if there were no
others, then the others in what is left. In each stage: keep what stood, place the rest greedily, plan anew the
workshops at which something has to be settled (CP-SAT), then move single jobs while that pays. Where nothing has
changed, nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from domain.maintenance.bound import lower_bound
from domain.maintenance.grid import Grid
from domain.maintenance.reasons import Unplaced, explain_loss, explain_unplaced
from domain.maintenance.search import Search, keep, place, settle
from domain.maintenance.solver import improve
from domain.maintenance.workshop import Placement, Problem, check

EFFORT = 6.0
"""Deterministic seconds of the solver for a stage, each two to four of processor time; more finds little."""


class ChangeKind(StrEnum):
    """What became of a job since the previous plan."""

    ADDED = "added"
    MOVED = "moved"
    DROPPED = "dropped"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Change:
    """A job that stands elsewhere than before: new, moved, without a place now, or no longer to be planned."""

    kind: ChangeKind
    job_id: str
    before: Placement | None
    after: Placement | None
    words: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What a plan costs, in weighted days (see `WEIGHTS`), beside what no plan can undercut.

    `bound` and `overdue_bound` are lower bounds of any plan's cost, of all jobs and of the overdue ones alone; None:
    not asked for. `late_days`: days by which placed jobs end after they are due. `moves`: jobs that stand elsewhere
    than before.
    """

    cost: int
    overdue_cost: int
    late_days: int
    placed: int
    unplaced: int
    moves: int
    bound: int | None = None
    overdue_bound: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Every job once: placed (by first day and id) or not placed with the reason; and the changes, by kind and id."""

    placements: tuple[Placement, ...]
    unplaced: tuple[Unplaced, ...]
    changes: tuple[Change, ...]
    figures: Figures


def make_plan(problem: Problem, effort: float = EFFORT, with_bound: bool = False) -> Plan:
    """Plan services; with `effort` 0 greedily, else with the solver where it finds something that costs less.

    The same problem gives the same plan. What is kept: `problem`'s limits, each of them, on each day; an overdue job
    never gives way to one that is not; nothing that the solver finds counts unless it costs less.

    Raises:
        BadPlanInput: the problem contradicts itself.
    """
    check(problem)
    grid = Grid(_in_order(problem))
    search = Search(grid)
    everyone = range(len(search.jobs))
    overdue = [job for job in everyone if problem.is_overdue(search.jobs[job])]
    late = set(overdue)
    for stage in (overdue, [job for job in everyone if job not in late]):
        _plan_stage(search, stage, effort)
    return _plan(search, overdue, with_bound)


def _in_order(problem: Problem) -> Problem:
    """Return the problem with its workshops and vehicles by id, so that the order they came in decides nothing."""
    sites = tuple(sorted(problem.sites, key=lambda site: site.site_id))
    return replace(
        problem, sites=sites, vehicles=tuple(sorted(problem.vehicles, key=lambda one: one.vehicle_id))
    )


def _plan_stage(search: Search, jobs: Sequence[int], effort: float) -> None:
    keep(search, jobs)
    place(search, jobs)
    if effort > 0:
        improve(search, jobs, _unsettled_sites(search, jobs), effort)
    settle(search, jobs)


def _unsettled_sites(search: Search, jobs: Sequence[int]) -> list[int]:
    """Return the sites at which a job stands, or wants to, that is not where it was: elsewhere all stays as it is."""
    known = search.grid.problem.previously_unplaced
    sites: set[int] = set()
    for job in jobs:
        stands = search.chosen[job]
        if stands is None and search.jobs[job].job_id not in known:
            sites.update(search.starts[job].sites.tolist())
        elif stands is not None and stands != search.before(job):
            sites.add(int(search.starts[job].site[stands]))
    return sorted(sites)


def _plan(search: Search, overdue: Sequence[int], with_bound: bool) -> Plan:
    everyone = range(len(search.jobs))
    placed = [placement for job in everyone if (placement := search.placement(job)) is not None]
    unplaced = [explain_unplaced(search, job) for job in everyone if search.chosen[job] is None]
    changes = sorted(_changes(search), key=lambda change: (change.kind, change.job_id))
    figures = Figures(
        cost=search.cost(everyone),
        overdue_cost=search.cost(overdue),
        late_days=sum(_late_days(search, job) for job in everyone),
        placed=len(placed),
        unplaced=len(unplaced),
        moves=sum(change.kind is ChangeKind.MOVED for change in changes),
        bound=_bound(search, everyone) if with_bound else None,
        overdue_bound=_bound(search, overdue) if with_bound else None,
    )
    placed.sort(key=lambda placement: (placement.first_day, placement.job_id))
    return Plan(tuple(placed), tuple(unplaced), tuple(changes), figures)


def _late_days(search: Search, job: int) -> int:
    placement = search.placement(job)
    return 0 if placement is None else max(0, (placement.last_day - search.jobs[job].due_on).days)


def _bound(search: Search, jobs: Sequence[int]) -> int:
    chosen, starts = [search.jobs[job] for job in jobs], [search.starts[job] for job in jobs]
    return lower_bound(search.grid, chosen, starts, search.cost(jobs))


def _changes(search: Search) -> Iterator[Change]:
    previous = search.grid.previous
    for number, job in enumerate(search.jobs):
        before, after = previous.get(job.job_id), search.placement(number)
        if before is None and after is not None:
            yield Change(ChangeKind.ADDED, job.job_id, None, after, "new in the plan")
        elif before is not None and after is None:
            words = f"{explain_loss(search, number, before)}; {explain_unplaced(search, number).words}"
            yield Change(ChangeKind.DROPPED, job.job_id, before, None, words)
        elif before is not None and after is not None and not _same_place(before, after):
            yield Change(ChangeKind.MOVED, job.job_id, before, after, explain_loss(search, number, before))
    known = {job.job_id for job in search.jobs}
    for job_id, before in previous.items():
        if job_id not in known:
            yield Change(ChangeKind.GONE, job_id, before, None, "it is no longer to be planned")


def _same_place(before: Placement, after: Placement) -> bool:
    return (before.site_id, before.first_day) == (after.site_id, after.first_day)
