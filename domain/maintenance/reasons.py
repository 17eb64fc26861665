"""Why a job has no place, and why one lost the place that it had, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from domain.maintenance.grid import Days, Starts
from domain.maintenance.search import Search
from domain.maintenance.workshop import Job, Placement


class Constraint(StrEnum):
    """What keeps a job out of the plan."""

    HORIZON = "horizon"
    WINDOW = "window"
    DUTIES = "duties"
    VEHICLE = "vehicle"
    BAYS = "bays"
    FLEET = "fleet"
    HOME_SITE = "home_site"
    TOGETHER = "together"


@dataclass(frozen=True, slots=True)
class Unplaced:
    """A job without a place: the limit that shuts out every start, and by how many days the nearest misses it.

    `together`: no single limit shuts out all starts, but all of them do; then the days are those of the nearest start.
    """

    job_id: str
    vehicle_id: str
    is_overdue: bool
    constraint: Constraint
    missing_days: int
    words: str


def explain_unplaced(search: Search, number: int) -> Unplaced:
    """Explain why a job that stands nowhere could not be placed, beside the plan as it is."""
    job, grid = search.jobs[number], search.grid
    starts = search.starts[number]
    if len(starts):
        constraint, missing, words = _shut_out(search, number)
    elif len(within := grid.starts_within(job, job.earliest, job.latest)):
        duties = _over(grid.duties(job.vehicle_id)[None, :], within, np.zeros(len(within), np.int64))
        missing, place = int(duties.min()), int(duties.argmin())
        constraint = Constraint.DUTIES
        words = (
            f"{job.vehicle_id} has duties on every start; the nearest, {_span(search, within, place)}, "
            f"needs {missing} of its duty days"
        )
    else:
        constraint, missing, words = _no_window(search, job)
    is_overdue = grid.problem.is_overdue(job)
    return Unplaced(job.job_id, job.vehicle_id, is_overdue, constraint, missing, words)


def _no_window(search: Search, job: Job) -> tuple[Constraint, int, str]:
    grid, problem = search.grid, search.grid.problem
    first = max(problem.start, job.earliest or problem.start)
    last = min(problem.end, job.latest or problem.end)
    low, high = max(0, grid.number_of(first)), grid.number_of(last) + 1
    sites = [grid.sites[site_id] for site_id in job.site_ids]
    most = max(int(grid.is_open[site, low : max(low, high)].sum()) for site in sites)
    fits_somewhere = len(grid.starts_within(job, None, None)) > 0
    constraint = Constraint.WINDOW if fits_somewhere else Constraint.HORIZON
    limits = (
        f"from {first} to {last}" if first <= last else f"between {first} and {last}, which is no time at all"
    )
    words = f"{job.days} open days in a row are wanted {limits}; {' or '.join(job.site_ids)} has {most}"
    return constraint, max(1, job.days - most), words


def _shut_out(search: Search, number: int) -> tuple[Constraint, int, str]:
    starts = search.starts[number]
    short = shortages(search, number, starts)
    total = np.sum(list(short.values()), axis=0)
    for constraint, days in short.items():
        if days.min() > 0:
            place = int(np.lexsort((total, days))[0])
            return constraint, int(days[place]), _full(search, number, constraint, starts, place)
    place = int(total.argmin())
    words = ", ".join(
        f"{constraint.value} {int(days[place])}" for constraint, days in short.items() if days[place]
    )
    nearest = _span(search, starts, place)
    return (
        Constraint.TOGETHER,
        int(total[place]),
        f"every start misses one limit or another; {nearest} by days of {words}",
    )


def shortages(search: Search, number: int, starts: Starts) -> dict[Constraint, Days]:
    """Return for each start on how many of its days each shared limit leaves no room."""
    room, vehicle = search.room, search.vehicle[number]
    one = np.zeros(len(starts), np.int64)
    return {
        Constraint.VEHICLE: _over(room.busy[vehicle][None, :] > 0, starts, one),
        Constraint.BAYS: _over(room.bays <= 0, starts, starts.site),
        Constraint.FLEET: _over(room.fleet[None, :] <= 0, starts, one),
        Constraint.HOME_SITE: _over(room.home[search.grid.home[vehicle]][None, :] <= 0, starts, one),
    }


def _over(full: np.typing.NDArray[np.bool_], starts: Starts, row: Days) -> Days:
    sums = np.zeros((full.shape[0], full.shape[1] + 1), np.int64)
    np.cumsum(full, axis=1, out=sums[:, 1:])
    return sums[row, starts.last + 1] - sums[row, starts.first]


def _span(search: Search, starts: Starts, place: int) -> str:
    site_id = search.grid.problem.sites[int(starts.site[place])].site_id
    first, last = (search.grid.days[int(column[place])] for column in (starts.first, starts.last))
    return f"{site_id} on {first}" if first == last else f"{site_id} from {first} to {last}"


def _full(search: Search, number: int, constraint: Constraint, starts: Starts, place: int) -> str:
    job, problem, span = search.jobs[number], search.grid.problem, _span(search, starts, place)
    days = int(shortages(search, number, starts)[constraint][place])
    match constraint:
        case Constraint.VEHICLE:
            return f"{job.vehicle_id} is in a workshop at every start; the nearest, {span}, by {days} days"
        case Constraint.BAYS:
            return f"no start with a free bay each day; the nearest, {span}, misses {days} bay-days"
        case Constraint.FLEET:
            limit = f"{search.grid.fleet_limit} vehicles at once ({problem.capacity.fleet_percent} % of the fleet)"
        case _:
            limit = f"vehicles of one home site at once ({problem.capacity.home_site_percent} %)"
    return f"the limit of {limit} is reached on every start; the nearest, {span}, misses {days} days"


def explain_loss(search: Search, number: int, before: Placement) -> str:
    """Explain why a job does not stand where the previous plan had it."""
    job, grid = search.jobs[number], search.grid
    if before.first_day < grid.problem.start:
        return f"{before.first_day} has passed and it was not begun"
    if before.site_id not in job.site_ids:
        return f"{before.site_id} is no longer a workshop for it"
    place = search.before(number)
    if place is None:
        return _not_a_start(search, job, before)
    if search.chosen[number] is not None and search.cost_of(number) < int(search.starts[number].cost[place]):
        return "it ends earlier, by more than a move costs"
    return _displaced(search, number, place, before)


def _not_a_start(search: Search, job: Job, before: Placement) -> str:
    grid = search.grid
    site, first = grid.sites[before.site_id], grid.number_of(before.first_day)
    free = grid.starts_within(job, None, None)
    if not ((free.site == site) & (free.first == first)).any():
        return (
            f"{before.site_id} is closed on {before.first_day}, or has no {job.days} open days from then on"
        )
    within = grid.starts_within(job, job.earliest, job.latest)
    if not ((within.site == site) & (within.first == first)).any():
        return f"it must lie between {job.earliest or 'any day'} and {job.latest or 'any day'} now"
    return f"{job.vehicle_id} has duties between {before.first_day} and {before.last_day} now"


def _displaced(search: Search, number: int, place: int, before: Placement) -> str:
    stands = search.chosen[number]
    search.put(number, None)
    short = shortages(search, number, search.starts[number])
    search.put(number, stands)
    hindered = [constraint for constraint, days in short.items() if days[place]]
    if not hindered:
        return "other jobs cost less this way"
    takers = _takers(search, number, before) if Constraint.BAYS in hindered else []
    words = " and ".join(constraint.value.replace("_", " ") for constraint in hindered)
    return f"no room there now ({words})" + (f"; it gave way to {', '.join(takers)}" if takers else "")


def _takers(search: Search, number: int, before: Placement) -> Sequence[str]:
    """Name up to three jobs that stand there now and did not before."""
    found = []
    for other, job in enumerate(search.jobs):
        now = search.placement(other) if search.site_of(other) == search.grid.sites[before.site_id] else None
        if other == number or now is None or now == search.grid.previous.get(job.job_id):
            continue
        if now.first_day <= before.last_day and before.first_day <= now.last_day:
            overdue = " (overdue)" if search.grid.problem.is_overdue(job) else ""
            found.append(f"{job.job_id}{overdue}")
    return found[:3]
