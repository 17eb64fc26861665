"""Follows fixes of some vehicles from where they stand, one UTC day after the other. Pure.

A standing is handed out for each vehicle at the end of each UTC day that it has fixes of, and one after its newest fix.
The result is what the vehicles' rows come to from where they stood: what is final, and what is open as it stands now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from domain.tracks import (
    CleaningRules,
    FenceIndex,
    Fixes,
    Kind,
    Parts,
    Segments,
    State,
    Tracker,
    TripRules,
    Visits,
    VisitTracker,
    find_midnights,
    make_segments,
)
from domain.tracks.days import Midnights
from domain.tracks.table import Flags, Floats, Ints, Table, sizes_of, starts_of
from domain.tracks.tracker import Settled, Step
from domain.tracks.visits import STILL_IN
from fleetflow.vehicles.tracks.standing import Standing, close_days
from fleetflow.vehicles.tracks.sums import (
    DAY_US,
    NEVER,
    REST_US,
    US,
    DaySums,
    RuleCounts,
    add_counts,
    add_days,
    count_verdicts,
    read_odometers,
    sum_parts,
)

# What a time says by itself is judged where fixes are read; nothing waits, as a late fix goes back to what it changes.
CLEANING = CleaningRules(future_after_s=None, outdated_after_s=None)
TRIPS = TripRules(lateness_s=0.0)
NOWHERE = -1


@dataclass(frozen=True)
class Sites:
    """The fences of a tenant's sites, by code, and the order in which they are asked: the smallest first."""

    index: FenceIndex
    rank: Ints

    def at(self, lat: Floats, lon: Floats) -> Ints:
        """Return the site that each place is in, the smallest of several; -1 for none."""
        found = np.full(len(lat), NOWHERE)
        if not len(self.index) or not len(lat):
            return found
        near = self.index.locate(lat, lon)
        near = near.take(near.inside)
        near = near.take(np.lexsort((self.rank[near.fence], near.row)))
        first = starts_of(near.row)
        found[near.row[first]] = near.fence[first]
        return found


@dataclass(frozen=True)
class Stretches(Segments):
    """Segments with the zone and local day of their start, their sites (-1: none); open ones may still change."""

    zone: Ints
    day: Ints
    start_site: Ints
    end_site: Ints
    is_open: Flags


@dataclass(frozen=True)
class Stays(Visits):
    """Visits that count, by `is_open` those that may still change."""

    is_open: Flags


@dataclass(frozen=True)
class Followed:
    """What the vehicles' rows come to from where they stood. `undecided` are candidates at the head, by UTC day."""

    stretches: Stretches
    stays: Stays
    days: DaySums
    counts: RuleCounts
    undecided: RuleCounts


Keep = Callable[[Standing, Ints], None]
"""Takes a standing and the vehicles, sorted codes, for which it is to be kept."""


def follow(standing: Standing, fixes: Fixes, zones: list[str], sites: Sites, keep: Keep) -> Followed:
    """Follow fixes, none of which is before its vehicle's `as_of_us`, and hand every standing on the way to `keep`."""
    if not len(fixes):
        raise ValueError("no fixes to follow")
    midnights = _midnights(standing, fixes, zones)
    walk = _Walk(standing, Tracker(midnights, CLEANING, TRIPS), VisitTracker(sites.index), sites)
    newest = np.full(len(standing.as_of_us), NEVER)
    np.maximum.at(newest, fixes.vehicle, fixes.fixed_at_us)
    day = fixes.fixed_at_us // DAY_US
    for each in np.unique(day).tolist():
        rows = fixes.take(day == each)
        vehicles = np.unique(rows.vehicle)
        walk.advance(rows)
        as_of = walk.standing.as_of_us.copy()
        as_of[vehicles] = np.minimum(newest[vehicles] + 1, (each + 1) * DAY_US)
        walk.stand(as_of)
        keep(walk.standing, vehicles)
    return walk.close()


def _midnights(standing: Standing, fixes: Fixes, zones: list[str]) -> Midnights:
    times = np.concatenate(
        [
            fixes.fixed_at_us,
            standing.candidates.fixed_at_us,
            standing.carry.fixed_at_us,
            standing.parts.start_us,
        ]
    )
    return find_midnights(zones, int(times.min()), int(times.max()))


class _Walk:
    """The tracker and the visits on their way, with what has become final."""

    def __init__(self, standing: Standing, tracker: Tracker, visits: VisitTracker, sites: Sites) -> None:
        self.standing = standing
        self._tracker, self._visits, self._sites = tracker, visits, sites
        known = np.flatnonzero(standing.as_of_us != NEVER)
        self._state = State(
            settled=Settled(known, standing.as_of_us[known] - 1),
            candidates=standing.candidates,
            carry=standing.carry,
            parts=standing.parts,
        )
        self._days, self._counts, self._pending = [standing.days], [standing.counts], standing.visits
        self._stretches: list[Stretches] = []
        self._over: list[Visits] = []

    def advance(self, fixes: Fixes) -> None:
        """Follow the next fixes."""
        step = self._tracker.advance(self._state, fixes)
        self._state = step.state
        self._take(step)
        visited = self._visits.advance(self._pending, step.track)
        self._pending = visited.pending
        self._over.append(visited.over)
        self._counts = [add_counts(*self._counts, count_verdicts(step.verdicts))]

    def _take(self, step: Step, *, is_open: bool = False) -> None:
        found = stretch(step.parts, self._sites, is_open=is_open)
        self._stretches.append(found.stretches)
        odometers = read_odometers(step.track, self._tracker.midnights)
        self._days = [add_days(*self._days, found.days, odometers)]

    def stand(self, as_of_us: Ints) -> None:
        """Say where the vehicles stand now."""
        state, [days], [counts] = self._state, self._days, self._counts
        # A table of the state need not be in order of its vehicles.
        standing = Standing(
            as_of_us,
            _by_vehicle(state.carry),
            _by_vehicle(state.candidates),
            _by_vehicle(state.parts),
            _by_vehicle(self._pending),
            days,
            counts,
        )
        days, counts = close_days(standing)
        self.standing = replace(standing, days=days, counts=counts)

    def close(self) -> Followed:
        """Take the open end as it stands."""
        [counts] = self._counts
        undecided = self.standing.candidates
        self._take(self._tracker.advance(self._state, Fixes.empty(), closing=True), is_open=True)
        [days] = self._days
        one = np.ones(len(undecided), np.int64)
        waiting = RuleCounts(
            undecided.vehicle, undecided.fixed_at_us // DAY_US, np.zeros(len(undecided), np.int64), one
        )
        return Followed(
            Stretches.concat(self._stretches),
            _stays(Visits.concat(self._over), self._pending, self._visits),
            days,
            counts,
            add_counts(waiting),
        )


AnyTable = TypeVar("AnyTable", bound=Table)


def _by_vehicle(table: AnyTable) -> AnyTable:
    return table.take(np.argsort(table.columns()["vehicle"], kind="stable"))


@dataclass(frozen=True)
class _Stretched:
    stretches: Stretches
    days: DaySums


def stretch(parts: Parts, sites: Sites, *, is_open: bool) -> _Stretched:
    """Join parts, sorted by vehicle and time, to segments, and sum them by day; none lacks a part."""
    segments = make_segments(parts)
    starts = starts_of(parts.vehicle, parts.kind)
    sizes = sizes_of(starts, len(parts))
    begin = sites.at(segments.start_lat, segments.start_lon)
    stops = np.isin(segments.kind, (Kind.STOP, Kind.GAP))
    rest = stops & (segments.end_us - segments.start_us >= REST_US)
    first = np.zeros(len(parts), np.bool_)
    first[starts] = True
    stretches = Stretches(
        **segments.columns(),
        zone=parts.zone[starts],
        day=parts.day[starts],
        start_site=begin,
        end_site=sites.at(segments.end_lat, segments.end_lon),
        is_open=np.full(len(segments), is_open),
    )
    days = sum_parts(parts, first, np.repeat(rest, sizes), np.repeat(begin != NOWHERE, sizes))
    return _Stretched(stretches, days)


def _stays(over: Visits, pending: Visits, tracker: VisitTracker) -> Stays:
    real = pending.last_us - pending.entered_us >= tracker.rules.min_visit_s * US
    # Being away for a moment is not leaving; it shows when it is certain.
    still = pending.take(real).with_columns(left_us=np.full(int(real.sum()), STILL_IN))
    closed = [(over, False), (still, True)]
    return Stays.concat(
        [Stays(**one.columns(), is_open=np.full(len(one), is_open)) for one, is_open in closed]
    )
