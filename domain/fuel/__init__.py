"""Fuel: readings of tanks and counters in; refills, drains, leaks, trips' fuel, baselines and anomalies out. Pure.

    readings (any order)
      -> make_minutes       a row a vehicle and minute; impossible values named and counted    minutes.Minutes
      -> trace_levels       litres, burn, rests, dead and stuck sensors                        level.Levels
      -> find_events        refills and drains, at rest and under way                          events.Event
      -> find_day_losses    what is missing beyond them, by day; find_leaks over days          losses.Leak
      -> FuelLog.measure    a trip's litres by counter, rate and level                         consumption.TripFuel
    purchases
      -> reconcile          one visit to one rise; too much, elsewhere, not in the tank        purchases.Mismatch
    trips
      -> make_baseline      of a vehicle on a profile, shrunk to its model's                   baseline.Baseline
    all
      -> judge_*            score, severity, causes in words                                   anomaly.Anomaly

Vehicles are codes: positions in a list that the caller keeps. Times are int64 microseconds since 1970 UTC, volumes
litres, rates litres an hour, distances kilometres. Litres are summed in whole 1/1024, so that a history gives the same
rows from whatever row it begins. docs/reference/fuel.md describes it with pictures.
"""

from domain.fuel.anomaly import (
    Anomaly,
    Cause,
    Kind,
    Severity,
    Source,
    Word,
    judge_consumption,
    judge_drain,
    judge_leak,
    judge_methods,
    judge_mismatch,
    judge_stuck,
    sort_anomalies,
)
from domain.fuel.baseline import (
    Baseline,
    BaselineBook,
    Profile,
    TripSample,
    climb_m,
    make_baseline,
    profile_of,
)
from domain.fuel.consumption import FuelLog, Method, TripFault, TripFuel
from domain.fuel.events import Event, EventKind, Found, find_events
from domain.fuel.level import Levelled, Levels, trace_levels
from domain.fuel.losses import DayLoss, Leak, find_day_losses, find_leaks
from domain.fuel.minutes import Fault, Gathered, Minutes, make_minutes
from domain.fuel.purchases import (
    Finding,
    Mismatch,
    Position,
    Purchase,
    Reconciled,
    Skipped,
    Visit,
    reconcile,
)

__all__ = [
    "Anomaly",
    "Baseline",
    "BaselineBook",
    "Cause",
    "DayLoss",
    "Event",
    "EventKind",
    "Fault",
    "Finding",
    "Found",
    "FuelLog",
    "Gathered",
    "Kind",
    "Leak",
    "Levelled",
    "Levels",
    "Method",
    "Minutes",
    "Mismatch",
    "Position",
    "Profile",
    "Purchase",
    "Reconciled",
    "Severity",
    "Skipped",
    "Source",
    "TripFault",
    "TripFuel",
    "TripSample",
    "Visit",
    "Word",
    "climb_m",
    "find_day_losses",
    "find_events",
    "find_leaks",
    "judge_consumption",
    "judge_drain",
    "judge_leak",
    "judge_methods",
    "judge_mismatch",
    "judge_stuck",
    "make_baseline",
    "make_minutes",
    "profile_of",
    "reconcile",
    "sort_anomalies",
    "trace_levels",
]
