"""Better plans than greedy ones, workshop by workshop, with OR-tools' CP-SAT.

All jobs at once are too many for a solver within minutes; those of one workshop are not. So each workshop's jobs, and
those that found no place and could be there, are planned anew in the room that everything else leaves, their other
workshops included. A workshop's new plan is taken only if it costs less. The solver is bound to one worker, a fixed
seed and deterministic time, so that the same problem gives the same plan on any machine of the same build.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from domain.maintenance.search import Search

_Key = tuple[str, int, int]
_LONGEST = 1.0
"""Deterministic seconds for one workshop at most."""


def improve(search: Search, jobs: Sequence[int], sites: Sequence[int], effort: float) -> None:
    """Plan the jobs of each of these sites anew where that costs less; `effort`: deterministic seconds for all."""
    for number, site in enumerate(sites):
        free = [job for job in jobs if _belongs(search, job, site)]
        spent = min(_LONGEST, effort / (len(sites) - number))
        effort -= spent
        before, stood = search.cost(free), [search.chosen[job] for job in free]
        least = sum(int(search.starts[job].cost[0]) for job in free if len(search.starts[job]))
        if before <= least:
            continue
        for job in free:
            search.put(job, None)
        found = _solve(search, free, stood, spent)
        for job, start in zip(free, found or stood, strict=True):
            search.put(job, start)
        if found and search.cost(free) >= before:
            for job in free:
                search.put(job, None)
            for job, start in zip(free, stood, strict=True):
                search.put(job, start)


def _belongs(search: Search, job: int, site: int) -> bool:
    stands = search.site_of(job)
    return stands == site if stands is not None else site in search.starts[job].sites


def _solve(
    search: Search, free: Sequence[int], stood: Sequence[int | None], seconds: float
) -> list[int | None] | None:
    """Return a start (or None) for each job, or None if the solver found nothing in its time."""
    from ortools.sat.python import cp_model

    model = cp_model.CpModel()
    uses: dict[_Key, list[Any]] = defaultdict(list)
    terms, costs, choices = [], [], []
    several = {
        vehicle for vehicle, times in Counter(search.vehicle[job] for job in free).items() if times > 1
    }
    for job, stands in zip(free, stood, strict=True):
        options: list[tuple[int | None, Any]] = []
        for start in _open_starts(search, job):
            literal = model.new_bool_var("")
            options.append((start, literal))
            for key in _keys(search, job, start, several):
                uses[key].append(literal)
        options.append((None, model.new_bool_var("")))
        model.add_exactly_one(literal for _, literal in options)
        for option, literal in options:
            model.add_hint(literal, option == stands)
            terms.append(literal)
            costs.append(_cost(search, job, option))
        choices.append(options)
    for key, literals in uses.items():
        if len(literals) > (limit := _limit(search, key)):
            model.add(sum(literals) <= limit)
    model.minimize(cp_model.LinearExpr.weighted_sum(terms, costs))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = 1
    solver.parameters.max_deterministic_time = seconds
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    return [next(start for start, literal in options if solver.boolean_value(literal)) for options in choices]


def _open_starts(search: Search, job: int) -> list[int]:
    starts = search.starts[job]
    found: list[int] = (
        search.room.fits(search.vehicle[job], starts).nonzero()[0].tolist() if len(starts) else []
    )
    return found


def _cost(search: Search, job: int, start: int | None) -> int:
    return search.grid.leaving_out(search.jobs[job]) if start is None else int(search.starts[job].cost[start])


def _keys(search: Search, job: int, start: int, several: set[int]) -> list[_Key]:
    """Return each limit, by day, that the start uses."""
    starts, vehicle = search.starts[job], search.vehicle[job]
    site, home = int(starts.site[start]), int(search.grid.home[vehicle])
    keys: list[_Key] = []
    for day in range(int(starts.first[start]), int(starts.last[start]) + 1):
        if search.grid.is_open[site, day]:
            keys.append(("bays", site, day))
        keys += [("fleet", 0, day), ("home", home, day)]
        if vehicle in several:
            keys.append(("vehicle", vehicle, day))
    return keys


def _limit(search: Search, key: _Key) -> int:
    kind, row, day = key
    if kind == "vehicle":
        return 1
    if kind == "fleet":
        return int(search.room.fleet[day])
    return int((search.room.bays if kind == "bays" else search.room.home)[row, day])
