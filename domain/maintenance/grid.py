"""Days as numbers: which starts each job has, what each costs, and what is still free.

Day 0 is the first that may be planned. A start is a run of open days of one site; what hinders it is looked up with
running sums, so that all starts of a job are judged at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from domain.maintenance.workshop import WEIGHTS, Job, Placement, Problem, share_of

Days = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_MIDDLING = 3
_NOT_ASKED_FOR = 1 << 40
"""Bays on closed days: a vehicle that waits over the weekend takes none."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Starts of one job, the best first: least cost, then earliest end, then the preferred site.

    `site`: place in `Grid.sites`; `cost`: weighted days of lateness and of moving. `sites` are those of the job, and
    `begin` and `end` where a start begins and ends in the running sums of these sites, one after another.
    """

    site: Days
    first: Days
    last: Days
    cost: Days
    sites: Days
    begin: Days
    end: Days

    def __len__(self) -> int:
        return len(self.first)

    def where(self, wanted: Flags) -> Starts:
        """Return only the wanted ones, in their order."""
        site, first, last, cost = (column[wanted] for column in (self.site, self.first, self.last, self.cost))
        return Starts(site, first, last, cost, self.sites, self.begin[wanted], self.end[wanted])


class Grid:
    """A problem in numbers; never changed after it was made."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.horizon = problem.horizon_days
        self.days = tuple(problem.start + timedelta(days=i) for i in range(self.horizon))
        self.sites = {site.site_id: i for i, site in enumerate(problem.sites)}
        self.vehicles = {vehicle.vehicle_id: i for i, vehicle in enumerate(problem.vehicles)}
        homes = sorted({vehicle.home_site for vehicle in problem.vehicles if vehicle.home_site is not None})
        self._homes = {home: i for i, home in enumerate(homes)}
        self.previous = {placement.job_id: placement for placement in problem.previous}
        shape = (len(problem.sites), self.horizon)
        self.is_open = np.array(
            [[site.is_open(d) for d in self.days] for site in problem.sites], bool
        ).reshape(shape)
        self.bays = np.array([[site.bays_of(d) for d in self.days] for site in problem.sites], int).reshape(
            shape
        )
        self.fleet_limit = share_of(len(problem.vehicles), problem.capacity.fleet_percent)
        self._spans: dict[tuple[int, int], tuple[Days, Days]] = {}

    @cached_property
    def home(self) -> Days:
        """The home site of each vehicle; the number after the last one stands for none."""
        none = len(self._homes)
        homes = (vehicle.home_site for vehicle in self.problem.vehicles)
        return np.array([none if home is None else self._homes[home] for home in homes], np.int64)

    @cached_property
    def home_limit(self) -> Days:
        """How many vehicles of each home site may be in workshops at once."""
        sizes = np.bincount(self.home, minlength=len(self._homes) + 1)
        percent = self.problem.capacity.home_site_percent
        limits = [len(self.vehicles) if percent is None else share_of(int(size), percent) for size in sizes]
        limits[-1] = len(self.vehicles)
        return np.array(limits, np.int64)

    def number_of(self, day: date) -> int:
        """Return the day's number; outside the horizon too."""
        return (day - self.problem.start).days

    def spans(self, site: int, days: int) -> tuple[Days, Days]:
        """Return first and last day of each run of so many open days at the site."""
        key = (site, days)
        if key not in self._spans:
            opened = np.flatnonzero(self.is_open[site])
            runs = max(0, len(opened) - days + 1)
            self._spans[key] = (opened[:runs], opened[days - 1 :][:runs])
        return self._spans[key]

    def starts(self, job: Job) -> Starts:
        """Return the job's starts inside its limits and outside its vehicle's duties."""
        found = self.starts_within(job, job.earliest, job.latest)
        duties = np.zeros(self.horizon + 1, np.int64)
        np.cumsum(self.duties(job.vehicle_id), out=duties[1:])
        return found.where(duties[found.last + 1] == duties[found.first])

    def duties(self, vehicle_id: str) -> Flags:
        """Tell the days on which the vehicle has duties."""
        flags = np.zeros(self.horizon, np.bool_)
        for day in self.problem.vehicles[self.vehicles[vehicle_id]].duty_days:
            if 0 <= (number := self.number_of(day)) < self.horizon:
                flags[number] = True
        return flags

    def starts_within(self, job: Job, earliest: date | None, latest: date | None) -> Starts:
        """Return the job's starts between two days (None: the horizon), whatever else is in the way."""
        sites = [self.sites[site_id] for site_id in job.site_ids]
        spans = [self.spans(site, job.days) for site in sites]
        sizes = [len(first) for first, _ in spans]
        first, last = (np.concatenate([span[i] for span in spans]) for i in (0, 1))
        rank = np.repeat(np.arange(len(sites)), sizes)
        site = np.repeat(sites, sizes)
        cost = WEIGHTS[job.priority] * np.maximum(0, last - self.number_of(job.due_on))
        cost = cost + self._moving(job, site, first)
        after = 0 if earliest is None else self.number_of(earliest)
        before = self.horizon if latest is None else self.number_of(latest)
        order = np.lexsort((rank, last, cost))
        order = order[(first[order] >= after) & (last[order] <= before)]
        site, rank, first, last, cost = (column[order] for column in (site, rank, first, last, cost))
        begin = rank * (self.horizon + 1) + first
        return Starts(site, first, last, cost, np.array(sites), begin, begin + last - first + 1)

    def _moving(self, job: Job, site: Days, first: Days) -> Days:
        before = self.previous.get(job.job_id)
        if before is None:
            return np.zeros(len(first), np.int64)
        same = (site == self.sites.get(before.site_id, -1)) & (first == self.number_of(before.first_day))
        return np.where(same, 0, self.moving_cost(job))

    def moving_cost(self, job: Job) -> int:
        """Return what it costs to move the job: of its weight, but no less than for middling priority.

        A move troubles driver and workshop alike, however little the job itself matters.
        """
        return max(WEIGHTS[job.priority], WEIGHTS[_MIDDLING]) * self.problem.move_cost_days

    def leaving_out(self, job: Job) -> int:
        """Return what it costs not to place the job: more than any place in the horizon."""
        late = max(0, self.horizon - self.number_of(job.due_on))
        moved = self.moving_cost(job) if job.job_id in self.previous else 0
        return WEIGHTS[job.priority] * (late + self.horizon) + moved

    def placement(self, job: Job, site: int, first: int, last: int) -> Placement:
        """Return a start in words and dates."""
        site_id = self.problem.sites[site].site_id
        return Placement(job.job_id, job.vehicle_id, site_id, self.days[first], self.days[last])


class Room:
    """What is still free of bays, of the fleet's and the home sites' shares, and of each vehicle's days."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.bays = np.where(grid.is_open, grid.bays, _NOT_ASKED_FOR)
        self.fleet = np.full(grid.horizon, grid.fleet_limit, np.int64)
        self.home = np.repeat(grid.home_limit[:, None], grid.horizon, axis=1)
        self.busy = np.zeros((len(grid.vehicles), grid.horizon), np.int64)
        for running in grid.problem.running:
            last = min(grid.number_of(running.until), grid.horizon - 1)
            if last >= 0:
                self.take(grid.vehicles[running.vehicle_id], grid.sites[running.site_id], 0, last)

    def take(self, vehicle: int, site: int, first: int, last: int, times: int = 1) -> None:
        """Take a bay, a place of the fleet and the vehicle's days; with `times` -1, give them back."""
        span = slice(first, last + 1)
        self.bays[site, span] -= times
        self.fleet[span] -= times
        self.home[self._grid.home[vehicle], span] -= times
        self.busy[vehicle, span] += times

    def fits(self, vehicle: int, starts: Starts) -> Flags:
        """Tell which of a job's starts there is room for."""
        away = (self.fleet <= 0) | (self.home[self._grid.home[vehicle]] <= 0) | (self.busy[vehicle] > 0)
        hindered = np.zeros((len(starts.sites), self._grid.horizon + 1), np.int64)
        np.cumsum((self.bays[starts.sites] <= 0) | away, axis=1, out=hindered[:, 1:])
        sums = hindered.ravel()
        fits: Flags = sums[starts.end] == sums[starts.begin]
        return fits
