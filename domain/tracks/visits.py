"""Visits of vehicles to fences, and the events they raise: entry, dwell, exit; each once.

Fed with settled tracks, in order, any split of which gives the same visits. A vehicle is in from the first fix inside
to the first one that is outside by more than the index's margin. Being away for less than `min_away_s` does not end a
visit; being in for less than `min_visit_s` is none.

A visit is named by vehicle, fence and the time of entry, which never changes once it is raised: what could change it is
not settled yet, and what comes later than that is refused as LATE. An event is named by the visit and its kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from uuid import UUID, uuid5

import numpy as np

from domain.tracks.cleaning import US, Track
from domain.tracks.fences import FenceIndex
from domain.tracks.table import Flags, Ints, Table, sizes_of, starts_of

# Names of events live in a space of their own; the value has no other meaning.
EVENTS = UUID("5a0f7c52-6f0b-4d0c-9c3e-0d2f7f6f2b61")
STILL_IN = 2**62


@dataclass(frozen=True)
class VisitRules:
    """When being in a fence is a visit.

    Attributes:
        min_visit_s: seconds between the first and the last fix in, at least. A truck at 80 km/h passes a circle of
            500 m in 45 s.
        min_away_s: away for less, it has not left: the way round the building, or one bad fix.
        dwell_s: in for this long raises `DWELL`. 30 minutes is half the usual free time for loading.
    """

    min_visit_s: float = 60.0
    min_away_s: float = 120.0
    dwell_s: float = 1800.0


class Crossing(IntEnum):
    """What an event tells."""

    ENTRY = 1
    DWELL = 2
    EXIT = 4


@dataclass(frozen=True)
class Visits(Table):
    """Visits, sorted by vehicle, fence and time. `left_us` is the first fix outside, or `STILL_IN`.

    `last_us` is the last fix in, `raised` the sum of the `Crossing`s told so far.
    """

    vehicle: Ints
    fence: Ints
    entered_us: Ints
    last_us: Ints
    left_us: Ints
    raised: Ints


@dataclass(frozen=True)
class Events(Table):
    """Events, sorted by vehicle, time, fence and kind; `entered_us` names the visit."""

    vehicle: Ints
    fence: Ints
    at_us: Ints
    kind: Ints
    entered_us: Ints


@dataclass(frozen=True)
class VisitStep:
    """What a stretch of track settled: visits that are over, new events, and the visits that are not over."""

    over: Visits
    events: Events
    pending: Visits


@dataclass(frozen=True)
class VisitTracker:
    """Fences and rules by which visits are followed."""

    index: FenceIndex
    rules: VisitRules = field(default_factory=VisitRules)

    def advance(self, pending: Visits, track: Track) -> VisitStep:
        """Follow the visits over the next settled fixes, as `Tracker.advance` gives them."""
        if not len(track):
            return VisitStep(Visits.empty(), Events.empty(), pending)
        starts = starts_of(track.vehicle)
        vehicles, newest = track.vehicle[starts], track.fixed_at_us[np.append(starts[1:], len(track)) - 1]
        here = np.isin(pending.vehicle, vehicles)
        open_here = here & (pending.left_us == STILL_IN)
        spans = self._spans(pending.take(open_here), track, starts)
        visits = self._merge(Visits.concat([pending.take(here & ~open_here), spans]))
        latest = newest[np.searchsorted(vehicles, visits.vehicle)]
        over = visits.left_us <= latest - int(self.rules.min_away_s * US)
        real = visits.last_us - visits.entered_us >= self.rules.min_visit_s * US
        visits, events = self._raise(visits, real, over)
        rest = Visits.concat([pending.take(~here), visits.take(~over)])
        rest = rest.take(np.lexsort((rest.entered_us, rest.fence, rest.vehicle)))
        return VisitStep(visits.take(over & real), events, rest)

    def _spans(self, known: Visits, track: Track, starts: Ints) -> Visits:
        """Return the stretches of fixes in a fence, or within its margin after having been in."""
        rank = np.arange(len(track)) - np.repeat(starts, sizes_of(starts, len(track)))
        near = self.index.locate(track.lat, track.lon)
        # A visit that was open comes before its vehicle's first fix, as if it had one there.
        rows = _Rows.concat(
            [
                _Rows(known.vehicle, known.fence, np.full(len(known), -1), known.entered_us, known.last_us,
                      known.raised, np.ones(len(known), np.bool_)),
                _Rows(track.vehicle[near.row], near.fence, rank[near.row], track.fixed_at_us[near.row],
                      track.fixed_at_us[near.row], np.zeros(len(near), np.int64), near.inside),
            ]
        )  # fmt: skip
        rows = rows.take(np.lexsort((rows.rank, rows.fence, rows.vehicle)))
        span = rows.rank - np.arange(len(rows))
        begins = starts_of(rows.vehicle, rows.fence, span)
        if not len(begins):
            return Visits.empty()
        # Within the margin counts only after having been inside.
        inside = np.where(rows.inside, np.arange(len(rows)), len(rows))
        first = np.minimum.reduceat(inside, begins)
        ends = begins + sizes_of(begins, len(rows)) - 1
        been = first <= ends
        first, ends = first[been], ends[been]
        return Visits(
            rows.vehicle[first],
            rows.fence[first],
            rows.entered_us[first],
            rows.last_us[ends],
            self._left(rows.take(ends), track, starts),
            rows.raised[first],
        )

    def _left(self, last: _Rows, track: Track, starts: Ints) -> Ints:
        """Return the time of the fix after the last one in, if the vehicle has one."""
        after = starts[np.searchsorted(track.vehicle[starts], last.vehicle)] + last.rank + 1
        inside = np.minimum(after, len(track) - 1)
        exists = (after < len(track)) & (track.vehicle[inside] == last.vehicle)
        return np.where(exists, track.fixed_at_us[inside], STILL_IN)

    def _merge(self, visits: Visits) -> Visits:
        """Join visits of a vehicle to a fence that it was not away from for long enough."""
        if not len(visits):
            return visits
        visits = visits.take(np.lexsort((visits.entered_us, visits.fence, visits.vehicle)))
        away = visits.entered_us[1:] - visits.left_us[:-1] >= self.rules.min_away_s * US
        other = (np.diff(visits.vehicle) != 0) | (np.diff(visits.fence) != 0)
        starts = np.flatnonzero(np.append(True, away | other))
        last = starts + sizes_of(starts, len(visits)) - 1
        return visits.take(starts).with_columns(
            last_us=visits.last_us[last],
            left_us=visits.left_us[last],
            raised=np.bitwise_or.reduceat(visits.raised, starts),
        )

    def _raise(self, visits: Visits, real: Flags, over: Flags) -> tuple[Visits, Events]:
        """Raise what has become certain and was not raised before."""
        dwell = int(self.rules.dwell_s * US)
        stayed = real & (visits.last_us - visits.entered_us >= dwell)
        certain = {
            Crossing.ENTRY: (real, visits.entered_us),
            Crossing.DWELL: (stayed, visits.entered_us + dwell),
            Crossing.EXIT: (real & over, visits.left_us),
        }
        raised, told = visits.raised.copy(), []
        for kind, (is_certain, at_us) in certain.items():
            new = np.flatnonzero(is_certain & (visits.raised & kind == 0))
            raised[new] |= kind
            one = visits.take(new)
            told.append(
                Events(one.vehicle, one.fence, at_us[new], np.full(len(new), int(kind)), one.entered_us)
            )
        events = Events.concat(told)
        events = events.take(np.lexsort((events.kind, events.fence, events.at_us, events.vehicle)))
        return visits.with_columns(raised=raised), events


@dataclass(frozen=True)
class _Rows(Table):
    """A fix in or near a fence, or an open visit before its vehicle's first fix (rank -1)."""

    vehicle: Ints
    fence: Ints
    rank: Ints
    entered_us: Ints
    last_us: Ints
    raised: Ints
    inside: Flags


def event_id(vehicle_id: str, fence_id: str, entered_us: int, kind: Crossing) -> str:
    """Name an event: the same for the same visit and kind, whenever and however often it is found."""
    return str(uuid5(EVENTS, f"{vehicle_id}\x1f{fence_id}\x1f{entered_us}\x1f{kind.name}"))


def keep_names(visits: Visits, raised: Visits) -> Ints:
    """Return the time that names each visit found anew, from more than was known when others were raised.

    A visit that has time in common with a raised one of the same vehicle and fence is that one, and keeps its name; of
    several, the earliest that no other visit took. Any other is named by its own entry. So a history computed again,
    with fixes that had come too late, raises no event twice.
    """
    known: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for vehicle, fence, entered, left in sorted(_keys(raised)):
        known.setdefault((vehicle, fence), []).append((entered, left))
    names = []
    for vehicle, fence, entered, left in _keys(visits):
        rest = known.get((vehicle, fence), [])
        same = next((one for one in rest if one[0] <= left and one[1] >= entered), None)
        if same:
            rest.remove(same)
        names.append(same[0] if same else entered)
    return np.array(names, np.int64)


def _keys(visits: Visits) -> list[tuple[int, int, int, int]]:
    columns = (visits.vehicle, visits.fence, visits.entered_us, visits.left_us)
    return list(zip(*(column.tolist() for column in columns), strict=True))
