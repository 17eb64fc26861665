"""How good a plan can be at all: a lower bound of its cost, by Lagrangian relaxation.

The limits that jobs share (bays, fleet, home sites) are dropped and priced instead. For any prices that are not
negative, the cheapest start of each job on its own, prices included, less what the priced capacity is worth, is no
more than the cost of any plan that keeps the limits; so what is returned is a bound whatever the search for good
prices did. The prices are sought by subgradient steps.

Source: A. M. Geoffrion, Lagrangean relaxation for integer programming, 1974; M. L. Fisher, The Lagrangian relaxation
method for solving integer programming problems, Management Science 27, 1981 (step length: B. T. Polyak).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from domain.maintenance.grid import Days, Grid, Room, Starts
from domain.maintenance.workshop import Job

Numbers = npt.NDArray[np.float64]
_STEPS = 300
_PATIENCE = 8
"""Steps without a better bound after which the step length is halved."""


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """All starts of all jobs in a row, each job's ended by its not being placed (first 0, last -1: uses nothing)."""

    begin: Days
    job: Days
    resource: tuple[Days, ...]
    """Per kind of limit, the row of its prices that the start uses."""
    first: Days
    last: Days
    cost: Numbers


def lower_bound(grid: Grid, jobs: Sequence[Job], starts: Sequence[Starts], known_cost: int) -> int:
    """Return a cost that no plan of these jobs can undercut; `known_cost`, that of a plan, guides the search.

    Integral, as costs are. Not considered: that a vehicle can only be in one place, which can only raise the cost.
    """
    if not jobs:
        return 0
    relaxed = _relax(grid, jobs, starts)
    limits = _limits(grid)
    priced = [grid.is_open, *(np.ones(limit.shape, np.bool_) for limit in limits[1:])]
    best = float(np.minimum.reduceat(relaxed.cost, relaxed.begin).sum())
    prices = [np.zeros(limit.shape) for limit in limits]
    pace, stale = 1.0, 0
    for _ in range(_STEPS):
        value, used = _evaluate(relaxed, prices, limits)
        stale = 0 if value > best + 1e-6 * abs(best) else stale + 1
        best = max(best, value)
        if best > known_cost - 1 + 1e-6 or pace < 1e-3:
            break
        if stale >= _PATIENCE:
            pace, stale = pace / 2, 0
        over = [use - limit for use, limit in zip(used, limits, strict=True)]
        over = [
            np.where(priced_day & ((price > 0) | (slope > 0)), slope, 0.0)
            for priced_day, price, slope in zip(priced, prices, over, strict=True)
        ]
        length = sum(float((slope**2).sum()) for slope in over)
        if not length:
            break
        step = pace * (known_cost - value) / length
        prices = [np.maximum(0.0, price + step * slope) for price, slope in zip(prices, over, strict=True)]
    return int(np.ceil(best - 1e-6 * (1 + abs(best))))


def _limits(grid: Grid) -> list[Numbers]:
    """Return what there is each day, of bays by site, of the fleet, of home sites (running work is taken off)."""
    room = Room(grid)
    rows = (np.where(grid.is_open, room.bays, 0), room.fleet[None, :], room.home)
    return [np.maximum(0, row).astype(np.float64) for row in rows]


def _relax(grid: Grid, jobs: Sequence[Job], starts: Sequence[Starts]) -> _Relaxed:
    sizes = np.array([len(found) + 1 for found in starts])
    begin = np.cumsum(sizes) - sizes
    job = np.repeat(np.arange(len(jobs)), sizes)
    nothing = begin + sizes - 1

    def column(name: str, absent: Sequence[int]) -> Days:
        found = np.empty(len(job), np.int64)
        found[nothing] = absent
        placed = np.ones(len(job), np.bool_)
        placed[nothing] = False
        found[placed] = np.concatenate([getattr(one, name) for one in starts])
        return found

    none = [0] * len(jobs)
    home = grid.home[[grid.vehicles[one.vehicle_id] for one in jobs]][job]
    return _Relaxed(
        begin=begin,
        job=job,
        resource=(column("site", none), np.zeros(len(job), np.int64), home),
        first=column("first", none),
        last=column("last", [-1] * len(jobs)),
        cost=column("cost", [grid.leaving_out(one) for one in jobs]).astype(np.float64),
    )


def _evaluate(relaxed: _Relaxed, prices: list[Numbers], limits: list[Numbers]) -> tuple[float, list[Numbers]]:
    """Return the bound that these prices give, and what the cheapest starts use of each limit each day."""
    total = relaxed.cost.copy()
    for rows, price in zip(relaxed.resource, prices, strict=True):
        sums = np.zeros((price.shape[0], price.shape[1] + 1))
        np.cumsum(price, axis=1, out=sums[:, 1:])
        total += sums[rows, relaxed.last + 1] - sums[rows, relaxed.first]
    least = np.minimum.reduceat(total, relaxed.begin)
    cheapest = np.flatnonzero(total <= least[relaxed.job])
    chosen = cheapest[np.searchsorted(relaxed.job[cheapest], np.arange(len(relaxed.begin)))]
    value = float(least.sum()) - sum(
        float((price * limit).sum()) for price, limit in zip(prices, limits, strict=True)
    )
    return value, [
        _used(rows[chosen], relaxed, chosen, limit.shape)
        for rows, limit in zip(relaxed.resource, limits, strict=True)
    ]


def _used(rows: Days, relaxed: _Relaxed, chosen: Days, shape: tuple[int, ...]) -> Numbers:
    change = np.zeros((shape[0], shape[1] + 1))
    np.add.at(change, (rows, relaxed.first[chosen]), 1)
    np.add.at(change, (rows, relaxed.last[chosen] + 1), -1)
    return np.cumsum(change, axis=1)[:, :-1]
