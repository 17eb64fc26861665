"""What the DAG of the lake's signals calls."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def write_changed_days() -> Report:
    """Write the lake's days of signals whose frames have changed; return the signals of each. Safe to repeat."""
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.telemetry.signals import write_signals

    return {one.day.isoformat(): one.signals for one in write_signals(load_settings())}
