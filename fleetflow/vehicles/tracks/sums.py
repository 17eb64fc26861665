"""Sums by vehicle, driver and local day, and verdicts by UTC day and rule. Whole numbers, so any cut adds up."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from domain.tracks import Kind, Parts, Verdicts
from domain.tracks.cleaning import Track
from domain.tracks.days import Midnights
from domain.tracks.table import Flags, Floats, Ints, Table, sizes_of, starts_of

US = 1_000_000
DAY_US = 86_400 * US
NEVER = -(2**62)
# The shortest part of a daily rest that counts (Regulation (EC) 561/2006, article 4 (g): 3 + 9 hours).
REST_US = 3 * 3_600 * US


@dataclass(frozen=True)
class DaySums(Table):
    """What a vehicle did under a driver (-1: nobody logged in) on a local day, `day` since 1970-01-01 in `zone`.

    Times are microseconds, ways millimetres. `rest_us` is standing and silence of 3 hours or more, `site_wait_us`
    shorter standing at a site, `trips` and `site_stops` those that began on the day. `manoeuvre_mm` was moved within
    stops. `read_km` is the day's last odometer reading, at `read_us`.
    """

    vehicle: Ints
    driver: Ints
    zone: Ints
    day: Ints
    driving_us: Ints
    stop_us: Ints
    gap_us: Ints
    carried_us: Ints
    rest_us: Ints
    site_wait_us: Ints
    trips: Ints
    site_stops: Ints
    distance_mm: Ints
    manoeuvre_mm: Ints
    carried_mm: Ints
    standing_us: Ints
    idle_us: Ints
    engine_on_us: Ints
    engine_known_us: Ints
    odometer_mm: Ints
    odometer_track_mm: Ints
    odometer_faults: Ints
    read_us: Ints
    read_km: Floats


DAY_KEYS = ("vehicle", "driver", "zone", "day")
DAY_SUMS = tuple(
    column.name for column in fields(DaySums) if column.name not in (*DAY_KEYS, "read_us", "read_km")
)


def sum_parts(parts: Parts, first: Flags, rest: Flags, at_site: Flags) -> DaySums:
    """Sum parts by day; `first` marks those that begin their segment, the others say what their segment is."""
    trip, stop = parts.kind == Kind.TRIP, parts.kind == Kind.STOP
    elapsed, way = parts.end_us - parts.start_us, parts.distance_mm
    rows = DaySums(
        parts.vehicle,
        parts.driver,
        parts.zone,
        parts.day,
        driving_us=elapsed * trip,
        stop_us=elapsed * stop,
        gap_us=elapsed * (parts.kind == Kind.GAP),
        carried_us=elapsed * (parts.kind == Kind.CARRIED),
        rest_us=elapsed * rest,
        site_wait_us=elapsed * (stop & at_site & ~rest),
        trips=(trip & first).astype(np.int64),
        site_stops=(stop & at_site & first).astype(np.int64),
        distance_mm=way * trip,
        manoeuvre_mm=way * stop,
        carried_mm=way * (parts.kind == Kind.CARRIED),
        standing_us=parts.standing_us * trip,
        idle_us=parts.idle_us,
        engine_on_us=parts.engine_on_us,
        engine_known_us=parts.engine_known_us,
        odometer_mm=parts.odometer_mm,
        odometer_track_mm=parts.odometer_track_mm,
        odometer_faults=parts.odometer_faults,
        read_us=np.full(len(parts), NEVER),
        read_km=np.full(len(parts), np.nan),
    )
    return add_days(rows)


def read_odometers(track: Track, midnights: Midnights) -> DaySums:
    """Return each day's last odometer reading, as sums of nothing else."""
    rows = track.take(np.flatnonzero(~np.isnan(track.odometer_km)))
    if not len(rows):
        return DaySums.empty()
    nothing = np.zeros(len(rows), np.int64)
    day = midnights.day_of(rows.zone, rows.fixed_at_us)
    return add_days(
        DaySums(
            rows.vehicle,
            rows.driver,
            rows.zone,
            day,
            **dict.fromkeys(DAY_SUMS, nothing),
            read_us=rows.fixed_at_us,
            read_km=rows.odometer_km,
        )
    )


def add_days(*tables: DaySums) -> DaySums:
    """Add up rows of one key; of readings the last stays. Sorted by key."""
    rows = DaySums.concat(tables)
    rows = rows.take(np.lexsort((rows.read_us, rows.day, rows.zone, rows.driver, rows.vehicle)))
    starts = starts_of(rows.vehicle, rows.driver, rows.zone, rows.day)
    if len(starts) == len(rows):
        return rows
    last = starts + sizes_of(starts, len(rows)) - 1
    sums = {name: np.add.reduceat(getattr(rows, name), starts) for name in DAY_SUMS}
    return rows.take(last).with_columns(**sums)


@dataclass(frozen=True)
class RuleCounts(Table):
    """How many fixes of a vehicle and UTC day a rule named; `rule` is a `domain.tracks.Rule`."""

    vehicle: Ints
    day: Ints
    rule: Ints
    fixes: Ints


def count_verdicts(verdicts: Verdicts) -> RuleCounts:
    """Count verdicts by the UTC day of their fix."""
    one = np.ones(len(verdicts), np.int64)
    return add_counts(RuleCounts(verdicts.vehicle, verdicts.fixed_at_us // DAY_US, verdicts.rule, one))


def add_counts(*tables: RuleCounts) -> RuleCounts:
    """Add up rows of one key; sorted by key."""
    rows = RuleCounts.concat(tables)
    rows = rows.take(np.lexsort((rows.rule, rows.day, rows.vehicle)))
    starts = starts_of(rows.vehicle, rows.day, rows.rule)
    if len(starts) == len(rows):
        return rows
    return rows.take(starts).with_columns(fixes=np.add.reduceat(rows.fixes, starts))
