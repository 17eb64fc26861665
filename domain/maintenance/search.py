"""A plan in the making: who stands where, what it costs, and the greedy steps that build it.

Order matters to greedy steps, and ties are broken by job id, so that the same problem gives the same plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.maintenance.grid import Grid, Room, Starts
from domain.maintenance.workshop import WEIGHTS, Job, Placement


class Search:
    """Jobs and the starts chosen for them; a job that has none is not placed."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.room = Room(grid)
        self.jobs: tuple[Job, ...] = tuple(sorted(grid.problem.jobs, key=lambda job: job.job_id))
        self.starts: tuple[Starts, ...] = tuple(grid.starts(job) for job in self.jobs)
        self.vehicle = tuple(grid.vehicles[job.vehicle_id] for job in self.jobs)
        self.chosen: list[int | None] = [None] * len(self.jobs)

    def cost_of(self, job: int) -> int:
        """Return what the job costs as it stands."""
        start = self.chosen[job]
        return self.grid.leaving_out(self.jobs[job]) if start is None else int(self.starts[job].cost[start])

    def cost(self, jobs: Iterable[int]) -> int:
        """Return what these jobs cost together."""
        return sum(self.cost_of(job) for job in jobs)

    def put(self, job: int, start: int | None) -> None:
        """Put a job on one of its starts, or nowhere; from where it stands it is taken first."""
        for choice, times in ((self.chosen[job], -1), (start, 1)):
            if choice is not None:
                starts = self.starts[job]
                place = int(starts.site[choice]), int(starts.first[choice]), int(starts.last[choice])
                self.room.take(self.vehicle[job], *place, times)
        self.chosen[job] = start

    def best_free(self, job: int) -> int | None:
        """Return the best start of a job that there is room for."""
        starts = self.starts[job]
        if not len(starts):
            return None
        fits = self.room.fits(self.vehicle[job], starts)
        best = int(fits.argmax())
        return best if fits[best] else None

    def site_of(self, job: int) -> int | None:
        """Return the number of the site at which the job stands."""
        start = self.chosen[job]
        return None if start is None else int(self.starts[job].site[start])

    def placement(self, job: int) -> Placement | None:
        """Return where the job stands, in dates."""
        start = self.chosen[job]
        if start is None:
            return None
        starts = self.starts[job]
        return self.grid.placement(
            self.jobs[job], int(starts.site[start]), int(starts.first[start]), int(starts.last[start])
        )

    def before(self, job: int) -> int | None:
        """Return the start that the previous plan had for a job, if the job still may begin there."""
        previous = self.grid.previous.get(self.jobs[job].job_id)
        if previous is None or previous.site_id not in self.grid.sites:
            return None
        starts = self.starts[job]
        site, first = self.grid.sites[previous.site_id], self.grid.number_of(previous.first_day)
        same = ((starts.site == site) & (starts.first == first)).nonzero()[0]
        return int(same[0]) if len(same) else None

    def urgency(self, job: int) -> tuple[int, float, str]:
        """Order jobs by the day they are due (past days alike), then by weight for each day of work."""
        one = self.jobs[job]
        due = max(0, self.grid.number_of(one.due_on))
        return due, -WEIGHTS[one.priority] / one.days, one.job_id

    def importance(self, job: int) -> tuple[float, int, str]:
        """Order jobs by weight for each day of work, then by the day they are due."""
        due, weight, job_id = self.urgency(job)
        return weight, due, job_id


def keep(search: Search, jobs: Sequence[int]) -> None:
    """Put jobs where the previous plan had them, as far as that is still possible; the most urgent first."""
    for job in sorted(jobs, key=search.urgency):
        before = search.before(job)
        if before is not None and search.room.fits(search.vehicle[job], search.starts[job])[before]:
            search.put(job, before)


def place(search: Search, jobs: Sequence[int]) -> None:
    """Put each job that stands nowhere on its best free start, in the order of those tried that costs the least.

    By the day due serves a fleet that has room; by weight one that has not, where late jobs would make all others late.
    """
    waiting = [job for job in jobs if search.chosen[job] is None]
    tried = []
    for order in (search.urgency, search.importance):
        for job in sorted(waiting, key=order):
            search.put(job, search.best_free(job))
        tried.append((search.cost(waiting), [search.chosen[job] for job in waiting]))
        for job in waiting:
            search.put(job, None)
    for job, start in zip(waiting, min(tried, key=lambda one: one[0])[1], strict=True):
        search.put(job, start)


def settle(search: Search, jobs: Sequence[int]) -> None:
    """Move single jobs to better free starts until none is left that costs less, moving included."""
    ordered = sorted(jobs, key=search.urgency)
    moved = True
    while moved:
        moved = False
        for job in ordered:
            cost, stands = search.cost_of(job), search.chosen[job]
            if not len(search.starts[job]) or int(search.starts[job].cost[0]) >= cost:
                continue
            search.put(job, None)
            best = search.best_free(job)
            better = best is not None and int(search.starts[job].cost[best]) < cost
            search.put(job, best if better else stands)
            moved = moved or better
