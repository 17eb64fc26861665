"""Lives of a few vehicles for tests, without shipments or a fleet around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from fleetflow.simulator.crew import build_crew
from fleetflow.simulator.network import build_network
from fleetflow.simulator.plan import SimulationPlan
from fleetflow.simulator.vehicle_life.activities import ActivityWriter
from fleetflow.simulator.vehicle_life.duties import DriverLife
from fleetflow.simulator.vehicle_life.life import Lives, build_lives, horizon_of, work
from fleetflow.simulator.vehicle_life.rosters import choose_vehicles, draw_rosters

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NETWORK = build_network("acme", 14)


def plan_of(seed: int = 7, *, hours_later: int = 0, vehicles: int = 24, **changes: Any) -> SimulationPlan:
    return SimulationPlan(
        start=START + timedelta(hours=hours_later), seed=seed, rate=100.0, seconds=600.0, vehicles=1_200,
        drivers=1_600, telemetry_vehicles=vehicles, **changes,
    )  # fmt: skip


def drivers_of(plan: SimulationPlan) -> list[tuple[DriverLife, ActivityWriter]]:
    """The drivers alone, without the vehicles' ways."""
    crew = build_crew(NETWORK, plan.drivers, plan.vehicles, plan.seed)
    chosen = choose_vehicles(NETWORK, crew, plan.telemetry_vehicles)
    lives = work(plan, draw_rosters(chosen, crew, Random(plan.seed)))
    return [
        (life, ActivityWriter("acme", life, plan.start_ms, horizon_of(plan), Random(1))) for life in lives
    ]


def lives_of(seed: int = 7, *, hours_later: int = 0, vehicles: int = 24, **changes: Any) -> Lives:
    """Build lives that nobody else uses; reading their lines moves them on."""
    plan = plan_of(seed, hours_later=hours_later, vehicles=vehicles, **changes)
    return build_lives(plan, NETWORK, build_crew(NETWORK, plan.drivers, plan.vehicles, seed))


@cache
def usual_lives() -> Lives:
    """Lives to look at; their lines must not be asked for."""
    return lives_of()
