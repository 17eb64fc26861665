"""Legs: what lies between a fix and the next of its vehicle, with everything that is later summed.

Distances are whole millimetres and times whole microseconds, so that sums do not depend on how a track was cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from domain.tracks.cleaning import US, Track
from domain.tracks.geo import steps_m, wrap_deg
from domain.tracks.odometer import odometer_gains
from domain.tracks.rules import CleaningRules, TripRules
from domain.tracks.table import Flags, Floats, Ints, Table, starts_of


class Kind(IntEnum):
    """What a vehicle does in a stretch of time."""

    STOP = 0
    TRIP = 1
    GAP = 2
    CARRIED = 3


@dataclass(frozen=True)
class Carry(Track):
    """The last trusted fix of each vehicle, and what the next leg needs of those before it."""

    moving: Flags
    read_km: Floats
    read_at_us: Ints
    since_read_mm: Ints


@dataclass(frozen=True)
class Legs(Table):
    """Stretches of time of a vehicle, in order. A leg is one row, or one a local day if midnight cuts it.

    `odometer_track_mm` is the way by track between the two readings that `odometer_mm` is the difference of; both are
    with the leg that ends in the later reading. `engine_known_us` is time in which the ignition is known.
    """

    vehicle: Ints
    kind: Ints
    driver: Ints
    zone: Ints
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


SUMS = (
    "distance_mm",
    "standing_us",
    "idle_us",
    "engine_on_us",
    "engine_known_us",
    "odometer_mm",
    "odometer_track_mm",
    "odometer_faults",
)


def make_legs(track: Track, carry: Carry, cleaning: CleaningRules, rules: TripRules) -> tuple[Legs, Carry]:
    """Return the legs that new fixes of a track add, and what to carry on from its end.

    `carry` has at most one row a vehicle, older than the vehicle's fixes in `track`.
    """
    rows, is_carried = _behind(carry, track)
    if not len(rows):
        return Legs.empty(), carry
    starts = starts_of(rows.vehicle)
    leg = np.ones(len(rows), np.bool_)
    leg[starts] = False
    ends = np.flatnonzero(leg)
    metres = steps_m(rows.lat, rows.lon)[ends - 1]
    elapsed = np.diff(rows.fixed_at_us)[ends - 1]
    speed = metres * 3.6e6 / np.maximum(elapsed, 1)
    rows = rows.with_columns(moving=_moving(rows, is_carried[starts], starts, ends, speed, rules))
    way = np.rint(metres * 1000).astype(np.int64)
    went = (metres > (cleaning.static_within_m or 0.0)) & (speed >= rules.start_kmh)
    kind = _kinds(rows, ends, went, metres, elapsed, rules)
    readings = _readings(rows, starts, ends, way, rules)
    legs = _legs(rows, ends, way, elapsed, kind, readings, rules)
    last = np.append(starts[1:], len(rows)) - 1
    carried = rows.with_columns(
        read_km=readings.read_km, read_at_us=readings.read_at_us, since_read_mm=readings.since_mm
    ).take(last)
    stay = carry.take(~np.isin(carry.vehicle, carried.vehicle))
    return legs, Carry.concat([stay, carried])


def _behind(carry: Carry, track: Track) -> tuple[Carry, Flags]:
    """Put each vehicle's carried fix before its new ones, and say which rows are carried."""
    unknown = np.full(len(track), np.nan)
    zeros = np.zeros(len(track), np.int64)
    new = Carry(
        **track.columns(),
        moving=np.zeros(len(track), np.bool_),
        read_km=unknown,
        read_at_us=zeros,
        since_read_mm=zeros,
    )
    known = carry.take(np.isin(carry.vehicle, track.vehicle))
    rows = Carry.concat([known, new])
    is_carried = np.arange(len(rows)) < len(known)
    if not len(known):
        return rows, is_carried
    at = np.lexsort((~is_carried, rows.vehicle))
    return rows.take(at), is_carried[at]


def _moving(
    rows: Carry, is_carried: Flags, starts: Ints, ends: Ints, implied: Floats, rules: TripRules
) -> Flags:
    """Say of each fix whether the vehicle moves there, with hysteresis between the two speeds."""
    derived = np.full(len(rows), np.nan)
    derived[ends] = np.where(rows.after_jump[ends], np.nan, implied)
    speed = np.where(np.isnan(rows.speed_kmh), derived, rows.speed_kmh)
    stands = speed <= rules.stop_kmh
    if rules.use_ignition:
        stands |= rows.ignition == 0
    goes = ~stands & (speed >= rules.start_kmh)
    # What was decided stays so; the first fix of a vehicle that does not say stands.
    goes[starts] = np.where(is_carried, rows.moving[starts], goes[starts])
    stands[starts] = ~goes[starts]
    decided = np.where(goes | stands, np.arange(len(rows)), 0)
    return np.asarray(goes[np.maximum.accumulate(decided)])


def _kinds(rows: Carry, ends: Ints, went: Flags, metres: Floats, elapsed: Ints, rules: TripRules) -> Ints:
    begins = ends - 1
    kind = np.where(rows.moving[begins] | rows.moving[ends] | went, int(Kind.TRIP), int(Kind.STOP))
    if rules.use_ignition:
        off = (rows.ignition[begins] == 0) & (rows.ignition[ends] == 0)
        kind = np.where(off, np.where(went, int(Kind.CARRIED), int(Kind.STOP)), kind)
    silent = elapsed > rules.max_gap_s * US
    kind = np.where(silent, np.where(metres <= rules.same_place_m, int(Kind.STOP), int(Kind.GAP)), kind)
    return np.where(rows.after_jump[ends], int(Kind.GAP), kind)


@dataclass(frozen=True)
class _Readings:
    """A row's latest odometer reading so far, and for each leg what a reading at its end adds."""

    read_km: Floats
    read_at_us: Ints
    since_mm: Ints
    gain_mm: Ints
    track_mm: Ints
    is_fault: Flags


def _readings(rows: Carry, starts: Ints, ends: Ints, way: Ints, rules: TripRules) -> _Readings:
    size = len(rows)
    passed = np.zeros(size, np.int64)
    passed[ends] = way
    passed = np.cumsum(passed)
    carried = ~np.isnan(rows.read_km)
    value = np.where(carried, rows.read_km, rows.odometer_km)
    at_us = np.where(carried, rows.read_at_us, rows.fixed_at_us)
    base = np.where(carried, rows.since_read_mm, 0)
    known = ~np.isnan(value)
    latest = np.where(known, np.arange(size), 0)
    # A vehicle's first row hides the readings of the vehicle before, even if it has none itself.
    latest[starts] = starts
    latest = np.maximum.accumulate(latest)
    has = known[latest]
    read = np.where(has, value[latest], np.nan)
    read_at = np.where(has, at_us[latest], 0)
    since = np.where(has, passed - passed[latest] + base[latest], 0)
    gain, track = np.zeros(len(ends), np.int64), np.zeros(len(ends), np.int64)
    fault = np.zeros(len(ends), np.bool_)
    legs = np.flatnonzero(known[ends] & has[ends - 1])
    later, before = ends[legs], ends[legs] - 1
    gains = odometer_gains(read[before], value[later], at_us[later] - read_at[before], rules)
    gain[legs] = np.rint(gains.gain_m * 1000).astype(np.int64)
    track[legs] = np.where(gains.is_fault, 0, since[before] + way[legs])
    fault[legs] = gains.is_fault
    return _Readings(read, read_at, since, gain, track, fault)


def _legs(
    rows: Carry, ends: Ints, way: Ints, elapsed: Ints, kind: Ints, readings: _Readings, rules: TripRules
) -> Legs:
    begins = ends - 1
    seen = (elapsed <= rules.max_gap_s * US) & (kind != Kind.GAP)
    known = np.where(seen & (rows.ignition[begins] >= 0), elapsed, 0)
    engine = np.where(rows.ignition[begins] == 1, known, 0)
    standing = np.where(kind == Kind.STOP, elapsed, 0)
    return Legs(
        rows.vehicle[ends],
        kind,
        rows.driver[begins],
        rows.zone[begins],
        rows.fixed_at_us[begins],
        rows.fixed_at_us[ends],
        rows.lat[begins],
        rows.lon[begins],
        rows.lat[ends],
        rows.lon[ends],
        way,
        standing,
        np.where(kind == Kind.STOP, engine, 0),
        engine,
        known,
        np.fmax(rows.speed_kmh[begins], rows.speed_kmh[ends]),
        readings.gain_mm,
        readings.track_mm,
        readings.is_fault.astype(np.int64),
    )


def cut(legs: Legs, at: Ints, cuts_us: Ints) -> Legs:
    """Cut leg `at[i]` at `cuts_us[i]`; both sorted by leg and time, every cut inside its leg.

    Sums are shared by time and still add up; the place of a cut lies on the straight line in degrees. The count of
    odometer faults, and the gain of a reading, which is made at the end of a leg, stay with the last piece.
    """
    if not len(at):
        return legs
    pieces = np.bincount(at, minlength=len(legs)) + 1
    source = np.repeat(np.arange(len(legs)), pieces)
    first = np.cumsum(pieces) - pieces
    inner = at + np.arange(len(at)) + 1
    out = legs.take(source)
    start, end = out.start_us.copy(), out.end_us.copy()
    start[inner] = cuts_us
    end[inner - 1] = cuts_us
    whole = np.maximum(out.end_us - out.start_us, 1)
    begin_share = (start - out.start_us) / whole
    end_share = (end - out.start_us) / whole
    last = np.zeros(len(out), np.bool_)
    last[first + pieces - 1] = True
    changed = {"start_us": start, "end_us": end}
    until = np.floor(out.distance_mm * end_share).astype(np.int64)
    changed["distance_mm"] = until - np.floor(out.distance_mm * begin_share).astype(np.int64)
    for name in ("standing_us", "idle_us", "engine_on_us", "engine_known_us"):
        # A leg is all or nothing of each.
        changed[name] = np.where(getattr(out, name) > 0, end - start, 0)
    for name in ("odometer_mm", "odometer_track_mm", "odometer_faults"):
        changed[name] = np.where(last, getattr(out, name), 0)
    return out.with_columns(**changed, **_places(out, begin_share, end_share))


def _places(legs: Legs, begin_share: Floats, end_share: Floats) -> dict[str, Floats]:
    north = legs.end_lat - legs.start_lat
    east = wrap_deg(legs.end_lon - legs.start_lon)
    return {
        "start_lat": np.where(begin_share > 0, legs.start_lat + north * begin_share, legs.start_lat),
        "start_lon": np.where(begin_share > 0, wrap_deg(legs.start_lon + east * begin_share), legs.start_lon),
        "end_lat": np.where(end_share < 1, legs.start_lat + north * end_share, legs.end_lat),
        "end_lon": np.where(end_share < 1, wrap_deg(legs.start_lon + east * end_share), legs.end_lon),
    }
