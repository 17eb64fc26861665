"""What the DAG of the workshops' plan calls."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

Report = dict[str, Any]

log = logging.getLogger("fleetflow.tasks.maintenance")


def plan_services(day: str) -> Report:
    """Plan every tenant's services from a day (ISO) on; return the figures by tenant. Safe to repeat."""
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.maintenance.plan import plan_night

    nights = plan_night(load_settings(), date.fromisoformat(day), tell=log.info)
    return {
        night.tenant_id: {
            "placed": night.plan.figures.placed,
            "unplaced": night.plan.figures.unplaced + len(night.homeless),
            "moves": night.plan.figures.moves,
            "changes": len(night.plan.changes),
        }
        for night in nights
    }
