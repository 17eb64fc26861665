"""What check__platform__health calls: one look at the platform, alerts brought up to date, people told."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]

CHECKER = "check__platform__health"


class BlindError(RuntimeError):
    """The platform could not be looked at, or what was found could not be kept."""


def check_platform() -> Report:
    """Raise and resolve alerts by what a look at the platform finds; return counts.

    Raises:
        BlindError: the warehouse, which keeps the alerts, does not answer. People were told of that.
    """
    from fleetflow.monitoring.alerts import look_and_tell
    from fleetflow.monitoring.judge import find_faults, summary
    from fleetflow.monitoring.measure import take_look
    from fleetflow.settings import load_settings

    settings = load_settings()
    look = take_look(settings, deadline_s=10.0)
    told = look_and_tell(settings, CHECKER, look)
    if not told.stored:
        raise BlindError(f"the warehouse does not answer: {told}")
    return {
        **summary(find_faults(look)),
        "raised": told.raised,
        "resolved": told.resolved,
        "open": told.open,
        "sent": told.sent,
        "not_taken": told.refused,
        "not_measured": sorted(name for name, measured in look.measured.items() if measured.fault),
        "seconds": round(look.seconds, 3),
    }
