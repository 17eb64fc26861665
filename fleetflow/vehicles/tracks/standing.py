"""Where the tracks of some vehicles stand: all that a fold hands over to the next, of bounded size a vehicle."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from domain.tracks import Fixes, Parts, Visits
from domain.tracks.legs import Carry
from domain.tracks.table import Flags, Ints
from fleetflow.vehicles.tracks.sums import DAY_US, NEVER, DaySums, RuleCounts


@dataclass(frozen=True)
class Standing:
    """Everything from before `as_of_us` (a row a vehicle code, `NEVER` for those not followed yet), and nothing later.

    Attributes:
        as_of_us: the time that each vehicle stands at.
        carry: its last trusted fix.
        candidates: fixes that are not trusted yet.
        parts: the open end of its segments.
        visits: visits to sites that are not over.
        days: sums of what is final, of days that may still grow.
        counts: verdicts of UTC days that may still grow.
    """

    as_of_us: Ints
    carry: Carry = field(default_factory=Carry.empty)
    candidates: Fixes = field(default_factory=Fixes.empty)
    parts: Parts = field(default_factory=Parts.empty)
    visits: Visits = field(default_factory=Visits.empty)
    days: DaySums = field(default_factory=DaySums.empty)
    counts: RuleCounts = field(default_factory=RuleCounts.empty)


@dataclass(frozen=True)
class Froms:
    """What may still change, a row a vehicle code: rows that begin at these times or later are made anew.

    Attributes:
        fixes_us: no fix before it will be judged any more; visits begin at it or later, or are pending.
        segments_us: no segment that begins before it will change.
        days: local days since 1970-01-01 before it are closed, in any zone.
        counts: UTC days before it are closed.
    """

    fixes_us: Ints
    segments_us: Ints
    days: Ints
    counts: Ints


def froms_of(standing: Standing) -> Froms:
    """Return from when on the vehicles' rows may still change."""
    fixes = standing.as_of_us.copy()
    np.minimum.at(fixes, standing.candidates.vehicle, standing.candidates.fixed_at_us)
    segments = fixes.copy()
    np.minimum.at(segments, standing.carry.vehicle, standing.carry.fixed_at_us)
    np.minimum.at(segments, standing.parts.vehicle, standing.parts.start_us)
    # A zone's local day is at most one before the day in UTC.
    return Froms(fixes, segments, segments // DAY_US - 1, fixes // DAY_US)


def close_days(standing: Standing) -> tuple[DaySums, RuleCounts]:
    """Return the sums and counts of days that may still change."""
    froms, days, counts = froms_of(standing), standing.days, standing.counts
    return (
        days.take(days.day >= froms.days[days.vehicle]),
        counts.take(counts.day >= froms.counts[counts.vehicle]),
    )


def is_among(vehicle: Ints, wanted: Flags) -> Flags:
    """Say of rows whether their vehicle is wanted."""
    return np.asarray(wanted[vehicle], np.bool_)


def nowhere(vehicles: int) -> Standing:
    """Return the standing of vehicles that were never followed."""
    return Standing(np.full(vehicles, NEVER))
