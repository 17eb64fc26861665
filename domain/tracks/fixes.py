"""Fixes as they were received, and their one order: by vehicle, time, and then by content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.tracks.table import Floats, Ints, Table, starts_of

UNKNOWN = -1


@dataclass(frozen=True)
class Fixes(Table):
    """Position fixes, in any order.

    Ids are codes (positions in a list that the caller keeps). Times are microseconds since 1970, UTC. Unknown is NaN
    in floats and -1 in `ignition` (else 0 or 1) and `driver`. `zone` is the position of the driver's (or the depot's)
    time zone in the list that `Midnights` was made of.
    """

    vehicle: Ints
    fixed_at_us: Ints
    lat: Floats
    lon: Floats
    recorded_at_us: Ints
    speed_kmh: Floats
    accuracy_m: Floats
    odometer_km: Floats
    ignition: Ints
    driver: Ints
    zone: Ints


def make_fixes(
    vehicle: npt.ArrayLike,
    fixed_at_us: npt.ArrayLike,
    lat: npt.ArrayLike,
    lon: npt.ArrayLike,
    **known: npt.ArrayLike,
) -> Fixes:
    """Make a table of fixes from what is known; one vehicle may be given as a number.

    Without `recorded_at_us` a fix counts as sent when it was taken. Other columns default to unknown, `zone` to 0.

    Raises:
        ValueError: columns differ in length.
        TypeError: a column is not one of `Fixes`.
    """
    times = np.asarray(fixed_at_us, np.int64)
    filled: dict[str, Any] = {"recorded_at_us": times, "ignition": UNKNOWN, "driver": UNKNOWN, "zone": 0}
    filled |= dict.fromkeys(("speed_kmh", "accuracy_m", "odometer_km"), np.nan)
    filled |= {"vehicle": vehicle, "fixed_at_us": times, "lat": lat, "lon": lon, **known}
    return Fixes(
        **{
            name: np.full(len(times), values) if np.ndim(values) == 0 else values
            for name, values in filled.items()
        }
    )


def order(fixes: Fixes) -> Ints:
    """Return the permutation that sorts by vehicle, time and content; equal rows alone are interchangeable.

    Of fixes of one vehicle and time the most accurate comes first, then the one sent first.
    """
    at = _by_vehicle_and_time(fixes)
    vehicle, times = fixes.vehicle[at], fixes.fixed_at_us[at]
    ties = np.flatnonzero((vehicle[1:] == vehicle[:-1]) & (times[1:] == times[:-1]))
    if not len(ties):
        return at
    tied = np.unique(np.concatenate((ties, ties + 1)))
    rows = fixes.take(at[tied])
    first = (rows.accuracy_m, rows.recorded_at_us)
    rest = (rows.lat, rows.lon, rows.speed_kmh, rows.odometer_km, rows.ignition, rows.driver, rows.zone)
    keys = (rows.vehicle, rows.fixed_at_us, *first, *rest)
    at[tied] = at[tied][np.lexsort(keys[::-1])]
    return at


def _by_vehicle_and_time(fixes: Fixes) -> Ints:
    vehicle, times = fixes.vehicle, fixes.fixed_at_us
    if len(vehicle) < 2:
        return np.arange(len(vehicle))
    same = vehicle[1:] == vehicle[:-1]
    if np.all((vehicle[1:] > vehicle[:-1]) | (same & (times[1:] >= times[:-1]))):
        return np.arange(len(vehicle))
    return np.lexsort((times, vehicle)).astype(np.int64, copy=False)


def thin(fixes: Fixes, every_s: float) -> Fixes:
    """Return the first fix of each vehicle in each stretch of `every_s` seconds, sorted: the track at a lower rate."""
    rows = fixes.take(order(fixes))
    bucket = rows.fixed_at_us // int(every_s * 1_000_000)
    return rows.take(starts_of(rows.vehicle, bucket))
