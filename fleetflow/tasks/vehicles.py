"""What the DAG of the vehicle side calls, beside the build and mark that it shares with the shipments."""

from __future__ import annotations

import logging
from typing import Any

from fleetflow import orchestration

Report = dict[str, Any]

log = logging.getLogger("fleetflow.tasks.vehicles")


def claim_vehicles() -> str | None:
    """Claim what has landed and no run has transformed; return the run's id, or None as `claim_shipments` does."""
    from fleetflow.vehicles.run import PIPELINE, ROW_LIMIT

    return orchestration.claim_batches(PIPELINE, ROW_LIMIT)


def gate_run(run_id: str) -> Report:
    """Judge what a run has claimed; hold the run if a check of severity error fails.

    Raises:
        ChecksFailedError: the run is held; its batches stay out of the marts until they are released.
    """
    from fleetflow.vehicles.run import GATE

    return orchestration.gate_run(run_id, GATE)


def fold_run(run_id: str) -> Report:
    """Do every step for what a run has claimed; return their counts. Safe to repeat."""
    from fleetflow import transform
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.run import fold

    settings = load_settings()
    claim = orchestration.claimed(settings.dsn("transformer"), run_id)
    with claim as (_, run), transform.heartbeat(settings, run):
        return fold(settings, run, log.info)
