"""Trips, stops, gaps: legs joined to parts (one a local day and driver), parts resolved to segments.

The state machine works on runs of parts of one kind. A run's kind may depend on what follows it, so the end of what is
known stays open: at most the last three runs of a vehicle. Everything before them is final.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.tracks.cleaning import US
from domain.tracks.days import Midnights
from domain.tracks.legs import SUMS, Kind, Legs, cut
from domain.tracks.rules import TripRules
from domain.tracks.table import Flags, Floats, Ints, Table, sizes_of, starts_of


@dataclass(frozen=True)
class Parts(Legs):
    """Stretches of one kind, vehicle, driver and local day; those of a segment follow each other without a gap."""

    day: Ints


@dataclass(frozen=True)
class Segments(Table):
    """Trips, stops and so on, by vehicle and time; those of a vehicle follow each other without a gap.

    A segment is named by vehicle and `start_us`. `driver` is the one at its start. Sums are those of `Legs`.
    """

    vehicle: Ints
    kind: Ints
    driver: Ints
    start_us: Ints
    end_us: Ints
    start_lat: Floats
    start_lon: Floats
    end_lat: Floats
    end_lon: Floats
    distance_mm: Ints
    standing_us: Ints
    idle_us: Ints
    engine_on_us: Ints
    engine_known_us: Ints
    max_kmh: Floats
    odometer_mm: Ints
    odometer_track_mm: Ints
    odometer_faults: Ints


@dataclass(frozen=True)
class Days(Table):
    """What one vehicle and driver did of one kind in one local day (`day` since 1970-01-01, in `zone`)."""

    vehicle: Ints
    driver: Ints
    zone: Ints
    day: Ints
    kind: Ints
    elapsed_us: Ints
    segments: Ints
    distance_mm: Ints
    standing_us: Ints
    idle_us: Ints
    engine_on_us: Ints
    engine_known_us: Ints
    odometer_mm: Ints
    odometer_track_mm: Ints
    odometer_faults: Ints


@dataclass(frozen=True)
class Resolved:
    """Parts whose kind is settled, and those that what follows may still change."""

    final: Parts
    open: Parts


def make_parts(legs: Legs, midnights: Midnights) -> Parts:
    """Cut legs at local midnights and join what follows each other and is alike.

    Raises:
        ValueError: a leg is outside of the midnights' days.
    """
    first = midnights.day_of(legs.zone, legs.start_us)
    # A leg that ends at midnight has nothing of the next day.
    last = midnights.day_of(legs.zone, np.maximum(legs.end_us - 1, legs.start_us))
    crossing = np.flatnonzero(last > first)
    at = np.repeat(crossing, (last - first)[crossing])
    nth = np.arange(len(at)) - np.searchsorted(at, at, "left") + 1
    cuts = midnights.starts_of_days(legs.zone[at], first[at] + nth)
    # A day that the calendar skipped begins and ends at one instant.
    inside = cuts > legs.start_us[at]
    inside[1:] &= (cuts[1:] != cuts[:-1]) | (at[1:] != at[:-1])
    whole = cut(legs, at[inside], cuts[inside])
    return join(Parts(**whole.columns(), day=midnights.day_of(whole.zone, whole.start_us)))


def join(parts: Parts) -> Parts:
    """Join neighbours of one vehicle, kind, driver, zone and day."""
    starts = starts_of(parts.vehicle, parts.kind, parts.driver, parts.zone, parts.day)
    if len(starts) == len(parts):
        return parts
    last = starts + sizes_of(starts, len(parts)) - 1
    ends = {name: getattr(parts, name)[last] for name in ("end_us", "end_lat", "end_lon")}
    return parts.take(starts).with_columns(**ends, **_sums(parts, starts))


def resolve(parts: Parts, rules: TripRules, *, closing: bool) -> Resolved:
    """Decide what short standing and short moving are, as far as it can be known; all of it, if nothing follows."""
    parts = join(parts)
    if not len(parts):
        return Resolved(parts, parts)
    parts = _absorb_stands(parts, rules, closing)
    parts = _drop_short_trips(parts, rules, closing)
    if closing:
        return Resolved(parts, Parts.empty())
    open_rows = _open_rows(_Runs.of(parts), rules)
    return Resolved(parts.take(~open_rows), parts.take(open_rows))


def make_segments(parts: Parts) -> Segments:
    """Join parts to segments: neighbours of one vehicle and kind, whatever the day and the driver."""
    starts = starts_of(parts.vehicle, parts.kind)
    last = starts + sizes_of(starts, len(parts)) - 1
    first = parts.take(starts).columns()
    ends = {name: getattr(parts, name)[last] for name in ("end_us", "end_lat", "end_lon")}
    kept = {name: first[name] for name in ("vehicle", "kind", "driver", "start_us", "start_lat", "start_lon")}
    return Segments(**kept, **ends, **_sums(parts, starts))


def make_days(parts: Parts) -> Days:
    """Sum parts by vehicle, driver, local day and kind, sorted by these; a segment counts on each day it touches."""
    at = np.lexsort((parts.start_us, parts.kind, parts.day, parts.zone, parts.driver, parts.vehicle))
    rows = parts.take(at)
    starts = starts_of(rows.vehicle, rows.driver, rows.zone, rows.day, rows.kind)
    begins = np.ones(len(rows), np.int64)
    keys = {name: getattr(rows, name)[starts] for name in ("vehicle", "driver", "zone", "day", "kind")}
    sums = {name: values for name, values in _sums(rows, starts).items() if name in SUMS}
    return Days(
        **keys,
        elapsed_us=np.add.reduceat(rows.end_us - rows.start_us, starts) if len(rows) else begins,
        segments=np.add.reduceat(begins, starts) if len(rows) else begins,
        **sums,
    )


def _sums(parts: Parts, starts: Ints) -> dict[str, np.ndarray]:
    if not len(parts):
        return {name: getattr(parts, name) for name in (*SUMS, "max_kmh")}
    sums = {name: np.add.reduceat(getattr(parts, name), starts) for name in SUMS}
    return {**sums, "max_kmh": np.fmax.reduceat(parts.max_kmh, starts)}


@dataclass(frozen=True)
class _Runs:
    """Runs of parts of one vehicle and kind; `is_last` of its vehicle. `before`: kind of the run before, or -1."""

    vehicle: Ints
    kind: Ints
    before: Ints
    is_last: Flags
    elapsed_us: Ints
    distance_mm: Ints
    sizes: Ints

    @classmethod
    def of(cls, parts: Parts) -> _Runs:
        starts = starts_of(parts.vehicle, parts.kind)
        sizes = sizes_of(starts, len(parts))
        vehicle, kind = parts.vehicle[starts], parts.kind[starts]
        same = vehicle[1:] == vehicle[:-1]
        before = np.append(-1, np.where(same, kind[:-1], -1))
        elapsed = parts.end_us[starts + sizes - 1] - parts.start_us[starts]
        distance = np.add.reduceat(parts.distance_mm, starts)
        return cls(vehicle, kind, before, np.append(~same, True), elapsed, distance, sizes)

    def stand_is_short(self, rules: TripRules) -> Flags:
        """Standing in the course of a trip that does not end it, as long as it lasted."""
        short = self.elapsed_us < rules.min_dwell_s * US
        return np.asarray((self.kind == Kind.STOP) & (self.before == Kind.TRIP) & short)

    def trip_is_short(self, rules: TripRules) -> Flags:
        """Moving that is no trip, as far as it went."""
        return np.asarray((self.kind == Kind.TRIP) & (self.distance_mm < rules.min_trip_m * 1000))


def _relabel(parts: Parts, runs: _Runs, changed: Flags, kind: Kind) -> Parts:
    new = np.where(changed, int(kind), runs.kind)
    return join(parts.with_columns(kind=np.repeat(new, runs.sizes)))


def _absorb_stands(parts: Parts, rules: TripRules, closing: bool) -> Parts:
    runs = _Runs.of(parts)
    short = runs.stand_is_short(rules)
    return _relabel(parts, runs, short if closing else short & ~runs.is_last, Kind.TRIP)


def _drop_short_trips(parts: Parts, rules: TripRules, closing: bool) -> Parts:
    runs = _Runs.of(parts)
    short = runs.trip_is_short(rules)
    if not closing:
        waits = runs.is_last | np.append((runs.is_last & runs.stand_is_short(rules))[1:], False)
        short &= ~waits
    return _relabel(parts, runs, short, Kind.STOP)


def _open_rows(runs: _Runs, rules: TripRules) -> Flags:
    """Mark the last run of each vehicle, and the runs before it that its outcome may join to it."""
    is_open = runs.is_last.copy()
    # Standing that may yet be part of the trip before it; a trip that may yet be part of the stop before it.
    joins = runs.stand_is_short(rules) | (runs.trip_is_short(rules) & (runs.before == Kind.STOP))
    for _ in range(2):
        is_open[:-1] |= is_open[1:] & joins[1:]
    return np.repeat(is_open, runs.sizes)
