"""What the retention DAG calls."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]


def drop_past_keeping(area: str) -> Report:
    """Do one area's retention of today; return how much was dropped, and what was refused with its reason."""
    from fleetflow.retention import run_retention
    from fleetflow.settings import load_settings

    dropped: list[str] = []
    refused: list[str] = []
    for action in run_retention(load_settings(), areas=[area]):
        if action.action == "dropped":
            dropped.append(action.subject)
        else:
            refused.append(f"{action.subject}: {action.reason}")
    return {"dropped": len(dropped), "refused": len(refused), "refusals": refused[:20]}
