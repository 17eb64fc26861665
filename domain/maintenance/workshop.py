"""What a plan is made of: workshops, vehicles, jobs, the capacity of the fleet, and placements.

Days are calendar days of the workshop; the caller says which day is the first that may be planned. Nothing here reads a
clock. A vehicle is out of service from the first to the last day of its job, closed days between included; a bay is
taken on the open days of that span only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

WEEKEND = frozenset({5, 6})
WEIGHTS: Mapping[int, int] = {1: 16, 2: 8, 3: 4, 4: 2, 5: 1}
"""Priority of a job (1 is the most urgent) and what a day of lateness then weighs."""
LONGEST_HORIZON_DAYS = 731


class BadPlanInput(ValueError):
    """What is to be planned contradicts itself; the message names each fault."""


@dataclass(frozen=True, slots=True)
class Site:
    """A workshop. On a closed day nobody works; `bays_on` overrides `bays` for single days."""

    site_id: str
    bays: int
    closed_weekdays: frozenset[int] = WEEKEND
    closed_on: frozenset[date] = frozenset()
    bays_on: Mapping[date, int] = field(default_factory=dict)

    def is_open(self, day: date) -> bool:
        """Tell whether the workshop works on that day."""
        return day.weekday() not in self.closed_weekdays and day not in self.closed_on

    def bays_of(self, day: date) -> int:
        """Return how many bays there are on that day, on a closed day none."""
        return self.bays_on.get(day, self.bays) if self.is_open(day) else 0


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A vehicle of the fleet; on its `duty_days` it must not be in a workshop."""

    vehicle_id: str
    home_site: str | None = None
    duty_days: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Job:
    """Work to plan: `days` open days in a row at one of `site_ids`, the preferred one first.

    `due_on`: the last day on which it is not late. `earliest` and `latest`: hard limits of its first and last day.
    """

    job_id: str
    vehicle_id: str
    site_ids: tuple[str, ...]
    days: int
    due_on: date
    priority: int = 3
    earliest: date | None = None
    latest: date | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """Work under way: it holds its bay and its vehicle up to and with `until`, and cannot be moved."""

    vehicle_id: str
    site_id: str
    until: date


@dataclass(frozen=True, slots=True)
class Placement:
    """A job's place in the plan; both days included."""

    job_id: str
    vehicle_id: str
    site_id: str
    first_day: date
    last_day: date


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much of the fleet may be in workshops on any day, in per cent; of each home site's vehicles, too, if given.

    Rounded down, and at least one vehicle where the share is not 0: else a fleet of six could never be serviced at 15
    %.
    """

    fleet_percent: int = 15
    home_site_percent: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that a plan depends on.

    `start` is the first day that may be planned; `previous` the plan that stood before, and `previously_unplaced` the
    jobs that it had no place for; `move_cost_days` how many days of lateness of a job moving it must save (of priority
    4 and 5 more, see `Grid.moving_cost`).
    """

    start: date
    horizon_days: int
    jobs: tuple[Job, ...]
    sites: tuple[Site, ...]
    vehicles: tuple[Vehicle, ...]
    capacity: Capacity = Capacity()
    running: tuple[Running, ...] = ()
    previous: tuple[Placement, ...] = ()
    previously_unplaced: frozenset[str] = frozenset()
    move_cost_days: int = 3

    @property
    def end(self) -> date:
        """The last day of the horizon."""
        return self.start + timedelta(days=self.horizon_days - 1)

    def is_overdue(self, job: Job) -> bool:
        """Tell whether the job is late already, whatever is planned."""
        return job.due_on < self.start


def share_of(vehicles: int, percent: int) -> int:
    """Return how many of so many vehicles may be in workshops at once (see `Capacity`)."""
    return max(1, vehicles * percent // 100) if vehicles and percent else 0


def check(problem: Problem) -> None:
    """Refuse what cannot be planned.

    Raises:
        BadPlanInput: repeated ids, unknown vehicles or sites, or figures out of their range; all faults in one message.
    """
    faults = [*_range_faults(problem), *_repeats(problem), *_job_faults(problem), *_unknown(problem)]
    if faults:
        more = f" (and {len(faults) - 20} more)" if len(faults) > 20 else ""
        raise BadPlanInput("; ".join(faults[:20]) + more)


def _range_faults(problem: Problem) -> Iterator[str]:
    if not 1 <= problem.horizon_days <= LONGEST_HORIZON_DAYS:
        yield f"horizon_days is {problem.horizon_days}, expected 1 to {LONGEST_HORIZON_DAYS}"
    if problem.move_cost_days < 0:
        yield f"move_cost_days is {problem.move_cost_days}, expected 0 or more"
    capacity = problem.capacity
    for name, percent in (("fleet", capacity.fleet_percent), ("home_site", capacity.home_site_percent)):
        if percent is not None and not 0 <= percent <= 100:
            yield f"{name}_percent is {percent}, expected 0 to 100"
    for site in problem.sites:
        if min(site.bays, *site.bays_on.values(), 0) < 0:
            yield f"site {site.site_id} has a negative number of bays"


def _repeats(problem: Problem) -> Iterator[str]:
    named: tuple[tuple[str, Iterable[str]], ...] = (
        ("job", (job.job_id for job in problem.jobs)),
        ("site", (site.site_id for site in problem.sites)),
        ("vehicle", (vehicle.vehicle_id for vehicle in problem.vehicles)),
        ("previous job", (placement.job_id for placement in problem.previous)),
        ("running vehicle", (running.vehicle_id for running in problem.running)),
    )
    for what, ids in named:
        yield from (
            f"{what} {one} is given {times} times" for one, times in Counter(ids).items() if times > 1
        )


def _job_faults(problem: Problem) -> Iterator[str]:
    for job in problem.jobs:
        if job.days < 1:
            yield f"job {job.job_id} takes {job.days} days, expected 1 or more"
        if job.priority not in WEIGHTS:
            yield f"job {job.job_id} has priority {job.priority}, expected 1 to {max(WEIGHTS)}"
        if not job.site_ids or len(set(job.site_ids)) < len(job.site_ids):
            yield f"job {job.job_id} has no sites, or one twice"
        if job.earliest and job.latest and job.latest < job.earliest:
            yield f"job {job.job_id} must end by {job.latest}, before its earliest day {job.earliest}"


def _unknown(problem: Problem) -> Iterator[str]:
    vehicles = {vehicle.vehicle_id for vehicle in problem.vehicles}
    sites = {site.site_id for site in problem.sites}
    for job in problem.jobs:
        if job.vehicle_id not in vehicles:
            yield f"job {job.job_id} is for {job.vehicle_id}, which is not in the fleet"
        yield from (
            f"job {job.job_id} names no known site: {one}" for one in job.site_ids if one not in sites
        )
    for running in problem.running:
        if running.vehicle_id not in vehicles or running.site_id not in sites:
            yield f"running work of {running.vehicle_id} at {running.site_id}: not of this fleet and these sites"
