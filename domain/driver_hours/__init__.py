"""Driver hours: EU 561/2006 with the Mobility Package, and US FMCSA property-carrying; pure, on minutes."""

from domain.driver_hours.engine import Evaluation, Outcome, OutOfOrder, State, advance, evaluate, still_open
from domain.driver_hours.model import (
    Activity,
    DriverDay,
    Finding,
    Kind,
    Origin,
    Rule,
    Severity,
    minute_of,
    moment_of,
)
from domain.driver_hours.remaining import EarlyWarning, Remaining, remaining

__all__ = [
    "Activity",
    "DriverDay",
    "EarlyWarning",
    "Evaluation",
    "Finding",
    "Kind",
    "Origin",
    "OutOfOrder",
    "Outcome",
    "Remaining",
    "Rule",
    "Severity",
    "State",
    "advance",
    "evaluate",
    "minute_of",
    "moment_of",
    "remaining",
    "still_open",
]
