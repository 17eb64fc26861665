"""Drivers under 49 CFR 395: judged whole, from all that is kept of them.

A sleeper split changes hours that have passed and the cycle looks back for days, so that there is no state to go on
from. The feed knows no sleeper berth: rest is off duty, availability is on duty.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from zoneinfo import ZoneInfo

from domain.driver_hours.model import Activity, Kind
from domain.driver_hours.recorded import Report, activities, sift
from domain.driver_hours.timeline import tidy
from domain.driver_hours.us import SEVENTY_IN_EIGHT, SIXTY_IN_SEVEN, Cycle, Duty, Status, evaluate_us
from fleetflow.vehicles.driver_hours.fold import Folded, Known, settled_minute
from fleetflow.vehicles.driver_hours.store import Law

_CYCLES = {"60/7": SIXTY_IN_SEVEN, "70/8": SEVENTY_IN_EIGHT}
_DUTY = {
    Kind.DRIVING: Duty.DRIVING, Kind.OTHER_WORK: Duty.ON, Kind.AVAILABILITY: Duty.ON, Kind.REST: Duty.OFF,
    Kind.UNKNOWN: Duty.OFF,
}  # fmt: skip
# What the cycle and a shift look back at: findings so close to where the kept history begins are left as they are.
_LOOKS_BACK = timedelta(days=9)


def cycle_of(law: Law) -> Cycle:
    """Return the cycle that holds."""
    return _CYCLES[law.cycle]


def statuses(reports: Iterable[Report]) -> list[Status]:
    """Return a driver's duty statuses, in whole minutes."""
    line: list[Activity] = tidy(activities(sift(reports).reports)).activities
    return [Status(one.start, one.end, _DUTY[one.kind]) for one in line]


def fold_us(reports: Iterable[Report], law: Law, kept: timedelta) -> Folded:
    """Return what a driver's whole kept history comes to; what is older than `kept` may have been dropped."""
    sifted = sift(reports)
    begin = min((report.start for report in sifted.reports), default=0)
    head = max((report.start for report in sifted.reports), default=0)
    purged = head - begin > (kept - timedelta(days=1)).total_seconds()
    since = settled_minute(begin + int(_LOOKS_BACK.total_seconds()) if purged else begin)
    line = statuses(sifted.reports)
    end = line[-1].end if line else since
    found = evaluate_us(line, cycle_of(law), ZoneInfo(law.zone))
    known = [Known(one.at, one.end == end, one) for one in found if one.at >= since]
    return Folded(since, begin, known, sifted.faulty, [], head, [], None)
