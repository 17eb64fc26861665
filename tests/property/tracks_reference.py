"""What the track rules say, fix by fix and leg by leg, in plain Python: slow, and written without a look at arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from domain.tracks import CleaningRules, TripRules

RADIUS_M = 6_371_008.77
SECOND = 1_000_000


@dataclass(frozen=True)
class Fix:
    vehicle: int
    t: int
    lat: float
    lon: float
    speed: float = math.nan
    accuracy: float = math.nan
    odometer: float = math.nan
    ignition: int = -1
    driver: int = -1
    zone: int = 0
    sent: int = 0
    seen: tuple[float, float] = (0.0, 0.0)
    jumped: bool = False


def metres(a: Fix, b: Fix) -> float:
    p, q = math.radians(a.lat), math.radians(b.lat)
    east = math.radians(b.lon - a.lon)
    # Not the haversine: the angle between the vectors, by their cross and dot products.
    cross = math.hypot(
        math.cos(q) * math.sin(east), math.cos(p) * math.sin(q) - math.sin(p) * math.cos(q) * math.cos(east)
    )
    dot = math.sin(p) * math.sin(q) + math.cos(p) * math.cos(q) * math.cos(east)
    return RADIUS_M * math.atan2(cross, dot)


def row_rule(fix: Fix, rules: CleaningRules) -> str:
    if not (-90 <= fix.lat <= 90 and -180 <= fix.lon <= 180):
        return "invalid"
    if fix.t - fix.sent > rules.future_after_s * SECOND:
        return "future"
    if fix.sent - fix.t > rules.outdated_after_s * SECOND:
        return "outdated"
    if abs(fix.lat) <= rules.zero_within_deg and abs(fix.lon) <= rules.zero_within_deg:
        return "zero"
    return "accuracy" if fix.accuracy > rules.accuracy_over_m else "kept"


def unknown_last(value: float) -> tuple[bool, float]:
    return (math.isnan(value), 0.0 if math.isnan(value) else value)


def preference(fix: Fix) -> tuple[object, ...]:
    numbers = (fix.lat, fix.lon, fix.speed, fix.odometer)
    return (
        fix.t,
        unknown_last(fix.accuracy),
        fix.sent,
        *map(unknown_last, numbers),
        fix.ignition,
        fix.driver,
        fix.zone,
    )


def reachable(a: Fix, b: Fix, rules: CleaningRules) -> bool:
    return metres(a, b) <= rules.jump_slack_m + (b.t - a.t) / SECOND * rules.jump_over_kmh / 3.6


def clean(fixes: list[Fix], rules: CleaningRules) -> tuple[list[Fix], list[str]]:
    """Clean one vehicle's fixes: the track, and the rule of each fix by its position."""
    verdict = [row_rule(fix, rules) for fix in fixes]
    rows = sorted((i for i in range(len(fixes)) if verdict[i] == "kept"), key=lambda i: preference(fixes[i]))
    anchor: int | None = None
    candidates: list[int] = []
    accepted: list[tuple[int, bool]] = []
    last_time = None
    for i in rows:
        if fixes[i].t == last_time:
            verdict[i] = "duplicate"
            continue
        last_time = fixes[i].t
        if anchor is not None and reachable(fixes[anchor], fixes[i], rules):
            for lost in candidates:
                verdict[lost] = "jump"
            candidates, anchor = [], i
            accepted.append((i, False))
        elif candidates and reachable(fixes[candidates[-1]], fixes[i], rules):
            candidates.append(i)
        else:
            for lost in candidates:
                verdict[lost] = "jump"
            candidates = [i]
        if len(candidates) >= rules.jump_confirm:
            accepted += [(row, at == 0 and anchor is not None) for at, row in enumerate(candidates)]
            candidates, anchor = [], candidates[-1]
    if anchor is None:
        accepted += [(row, False) for row in candidates]
    else:
        for lost in candidates:
            verdict[lost] = "jump"
    return hold(fixes, verdict, accepted, rules), verdict


def hold(
    fixes: list[Fix], verdict: list[str], accepted: list[tuple[int, bool]], rules: CleaningRules
) -> list[Fix]:
    track = []
    stand: Fix | None = None
    for row, jumped in accepted:
        fix = fixes[row]
        still = fix.ignition == 0 if math.isnan(fix.speed) else fix.speed <= rules.static_below_kmh
        if jumped or not still:
            stand = None
        if still and stand is not None and metres(stand, fix) <= rules.static_within_m:
            verdict[row] = "static"
        elif still:
            stand = fix
        place = stand if stand is not None else fix
        track.append(replace(fix, lat=place.lat, lon=place.lon, seen=(fix.lat, fix.lon), jumped=jumped))
    return track


@dataclass
class Leg:
    kind: str
    a: Fix
    b: Fix
    m: float
    odometer_m: float = 0.0
    faults: int = 0

    @property
    def us(self) -> int:
        return self.b.t - self.a.t


def legs_of(track: list[Fix], cleaning: CleaningRules, rules: TripRules) -> list[Leg]:
    legs: list[Leg] = []
    moving = False
    reading: Fix | None = None
    for n, fix in enumerate(track):
        before = track[n - 1] if n else None
        implied = math.nan
        if before is not None and not fix.jumped:
            implied = metres(before, fix) / max((fix.t - before.t) / SECOND, 1e-6) * 3.6
        speed = implied if math.isnan(fix.speed) else fix.speed
        was = moving
        if fix.ignition == 0 or speed <= rules.stop_kmh:
            moving = False
        elif speed >= rules.start_kmh:
            moving = True
        if before is not None:
            legs.append(
                Leg(kind_of(before, fix, was, moving, cleaning, rules), before, fix, metres(before, fix))
            )
        if not math.isnan(fix.odometer):
            if reading is not None:
                count_odometer(legs[-1], reading, fix, rules)
            reading = fix
    return legs


def count_odometer(leg: Leg, before: Fix, after: Fix, rules: TripRules) -> None:
    gain = after.odometer - before.odometer
    hours = (after.t - before.t) / SECOND / 3600
    most = rules.odometer_slack_km + hours * rules.odometer_over_kmh
    if gain < -rules.odometer_slack_km:
        rolled = [gain + span for span in rules.odometer_rolls_at_km if before.odometer < span]
        gain = next((each for each in rolled if each <= most), gain)
    if -rules.odometer_slack_km <= gain < 0:
        gain = 0.0
    if gain < 0 or gain > most:
        leg.faults = 1
    else:
        leg.odometer_m = gain * 1000


def kind_of(a: Fix, b: Fix, was: bool, moving: bool, cleaning: CleaningRules, rules: TripRules) -> str:
    apart = metres(a, b)
    went = (
        apart > cleaning.static_within_m and apart / max((b.t - a.t) / SECOND, 1e-6) * 3.6 >= rules.start_kmh
    )
    if b.jumped:
        return "GAP"
    if b.t - a.t > rules.max_gap_s * SECOND:
        return "STOP" if apart <= rules.same_place_m else "GAP"
    if a.ignition == 0 and b.ignition == 0:
        return "CARRIED" if went else "STOP"
    return "TRIP" if was or moving or went else "STOP"


@dataclass
class Segment:
    kind: str
    legs: list[Leg]

    @property
    def m(self) -> float:
        return sum(leg.m for leg in self.legs)


def segments_of(legs: list[Leg], rules: TripRules) -> list[Segment]:
    """The state machine: standing after moving is a stop once it lasts, moving is a trip once it went far enough."""
    found: list[Segment] = []
    pause: list[Leg] = []
    for leg in legs:
        pausing = leg.kind == "STOP" and (pause or (found and found[-1].kind == "TRIP"))
        if pausing:
            pause.append(leg)
            if pause[-1].b.t - pause[0].a.t >= rules.min_dwell_s * SECOND:
                found.append(Segment("STOP", pause))
                pause = []
            continue
        if pause:
            found[-1].legs += pause
            pause = []
        if found and found[-1].kind == leg.kind:
            found[-1].legs.append(leg)
        else:
            found.append(Segment(leg.kind, [leg]))
    if pause:
        found[-1].legs += pause
    merged: list[Segment] = []
    for segment in found:
        kind = "STOP" if segment.kind == "TRIP" and segment.m < rules.min_trip_m else segment.kind
        if merged and merged[-1].kind == kind:
            merged[-1].legs += segment.legs
        else:
            merged.append(Segment(kind, list(segment.legs)))
    return merged


def seconds_by_day(segments: list[Segment], zone: str) -> dict[tuple[str, int], int]:
    """Microseconds by kind and local day, minute by minute where a leg is longer than one."""
    found: dict[tuple[str, int], int] = {}
    for segment in segments:
        for leg in segment.legs:
            t = leg.a.t
            while t < leg.b.t:
                until = min(leg.b.t, t - t % (60 * SECOND) + 60 * SECOND)
                day = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC")) + timedelta(microseconds=t)
                key = (segment.kind, day.astimezone(ZoneInfo(zone)).toordinal() - 719_163)
                found[key] = found.get(key, 0) + until - t
                t = until
    return found
