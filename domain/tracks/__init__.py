"""Track processing: raw position fixes in, trips, stops, local days and visits out. Pure: arrays in, arrays out.

    Fixes (raw, any order)
      -> judge_rows        by itself: invalid, future, outdated, zero, accuracy        rules.Rule
      -> Tracker.advance   waits for late fixes, settles the rest; LATE                 tracker.State
      -> judge_tracks      beside others: duplicate, jump, static drift                 cleaning.Track
      -> make_legs         between neighbours: way, odometer, engine, kind              legs.Legs
      -> make_parts        cut at local midnights, joined where alike                   segments.Parts
      -> resolve           state machine: TRIP, STOP, GAP, CARRIED; final and open      segments.Parts
      -> make_segments     one row a trip or stop                                       segments.Segments
      -> make_days         one row a vehicle, driver, local day and kind                segments.Days
    Track
      -> VisitTracker      fences: entry, dwell, exit, each once                        visits.Events

Vehicles, drivers, zones and fences are codes: positions in lists that the caller keeps. Times are int64 microseconds
since 1970 UTC, distances int64 millimetres, places float64 degrees (WGS 84), speeds km/h, odometers km. Sums are of
integers, so that no way of cutting the input changes them. Asserted by the property tests: any order and split of fixes
that are not later than the lateness gives the same rows; the segments of a vehicle fill the time from its first to its
last trusted fix; fixes by rule add up to the fixes handed in. docs/reference/tracks.md describes it with pictures.
"""

from domain.tracks.cleaning import Cleaned, Track, clean
from domain.tracks.days import Midnights, find_midnights
from domain.tracks.fences import Circle, Fence, FenceError, FenceIndex, Polygon
from domain.tracks.fixes import Fixes, make_fixes, thin
from domain.tracks.legs import Kind
from domain.tracks.rules import CleaningRules, Rule, TripRules
from domain.tracks.segments import Days, Parts, Segments, make_days, make_segments
from domain.tracks.tracker import State, Step, Tracker, Verdicts
from domain.tracks.visits import (
    Crossing,
    Events,
    VisitRules,
    Visits,
    VisitTracker,
    event_id,
    keep_names,
)

__all__ = [
    "Circle",
    "Cleaned",
    "CleaningRules",
    "Crossing",
    "Days",
    "Events",
    "Fence",
    "FenceError",
    "FenceIndex",
    "Fixes",
    "Kind",
    "Midnights",
    "Parts",
    "Polygon",
    "Rule",
    "Segments",
    "State",
    "Step",
    "Track",
    "Tracker",
    "TripRules",
    "Verdicts",
    "VisitRules",
    "VisitTracker",
    "Visits",
    "clean",
    "event_id",
    "find_midnights",
    "keep_names",
    "make_days",
    "make_fixes",
    "make_segments",
    "thin",
]
