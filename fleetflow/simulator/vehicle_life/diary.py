"""Where a vehicle is from minute to minute: it stands, drives a trip to the next site, stands again.

Made from the duties of its drivers, so that positions, frames and tachograph agree. Minutes since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from random import Random
from typing import NamedTuple

from fleetflow.simulator.crew import Vehicle
from fleetflow.simulator.network import Site
from fleetflow.simulator.vehicle_life.drives import mean_kmh
from fleetflow.simulator.vehicle_life.duties import DriverLife
from fleetflow.simulator.vehicle_life.paths import Path, Surroundings
from fleetflow.simulator.vehicle_life.shifts import Kind


class Trip(NamedTuple):
    """A drive from site to site."""

    start: int
    end: int
    driver_id: str
    path: Path


class Stand(NamedTuple):
    """A time at a site; `driver_id` is None, and `is_off` true, between the shifts."""

    start: int
    end: int
    site: Site
    driver_id: str | None
    is_off: bool


@dataclass(frozen=True)
class Diary:
    """One stand more than trips: `stands[n]` is before `trips[n]`; the last one lasts to the horizon."""

    vehicle: Vehicle
    stands: tuple[Stand, ...]
    trips: tuple[Trip, ...]


class _Drive(NamedTuple):
    start: int
    end: int
    driver_id: str
    shift: tuple[str, int]


def keep_diary(
    vehicle: Vehicle, lives: Sequence[DriverLife], around: Surroundings, begin: int, horizon: int, rng: Random
) -> Diary:
    """Write the diary of a vehicle from the first minute after `begin` in which it stands up to `horizon`."""
    drives = sorted(_drives(lives))
    for one, other in pairwise(drives):
        if other.start < one.end:
            raise AssertionError(f"{vehicle.vehicle_id} is driven by two at minute {other.start}")
    begin = max((drive.end for drive in drives if drive.start < begin), default=begin)
    drives = [drive for drive in drives if begin <= drive.start < horizon]
    trips = tuple(_trips(vehicle, drives, around, rng))
    site, at = around.home, begin
    stands = []
    for trip, drive, before in zip(trips, drives, [None, *drives], strict=False):
        is_off = before is None or before.shift != drive.shift
        stands.append(Stand(at, trip.start, site, None if is_off else trip.driver_id, is_off))
        site, at = trip.path.target, trip.end
    stands.append(Stand(at, max(horizon, at + 1), site, None, True))
    return Diary(vehicle, tuple(stands), trips)


def _drives(lives: Sequence[DriverLife]) -> Iterator[_Drive]:
    crew = lives[0].roster.vehicle.vehicle_id
    for life in lives:
        for duty in life.duties:
            # A crew's shifts are one; those who take turns have one each.
            shift = (crew if life.roster.seat in ("first", "second") else life.roster.driver_id, duty.day)
            for start, end, kind in duty.timed():
                if kind is Kind.DRIVING:
                    yield _Drive(start, end, life.roster.driver_id, shift)


def _trips(vehicle: Vehicle, drives: Sequence[_Drive], around: Surroundings, rng: Random) -> Iterator[Trip]:
    site = around.home
    for drive, following in zip_longest(drives, drives[1:]):
        minutes = drive.end - drive.start
        km = mean_kmh(vehicle.kind.name, minutes) * rng.uniform(0.93, 1.05) * minutes / 60
        homewards = following is None or following.shift != drive.shift
        path = around.go(rng, site, km, homewards=homewards)
        yield Trip(drive.start, drive.end, drive.driver_id, path)
        site = path.target
