"""A coherent fleet from a seed: its order database, its past, its live events, faults at given shares.

`run_simulation(plan, orders, Streams(gps, status), home)` does all of it; `build_fleet` and `fill` are its
parts.
"""

from __future__ import annotations

from fleetflow.simulator.fleet import Fleet, build_fleet
from fleetflow.simulator.orders import fill, is_filled
from fleetflow.simulator.plan import USUAL_FAULTS, Faults, PlanError, SimulationPlan
from fleetflow.simulator.run import DeliveryError, Progress, run_simulation
from fleetflow.simulator.sinks import FileSink, LineSink, Streams
from fleetflow.simulator.truth import Truth

__all__ = [
    "USUAL_FAULTS",
    "DeliveryError",
    "Faults",
    "FileSink",
    "Fleet",
    "LineSink",
    "PlanError",
    "Progress",
    "SimulationPlan",
    "Streams",
    "Truth",
    "build_fleet",
    "fill",
    "is_filled",
    "run_simulation",
]
