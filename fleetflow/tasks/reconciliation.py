"""What the reconciliation DAGs call."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]

WAIT_S = 1200.0
"""One reconciliation at a time: the hour's waits for the night's, the days' and the orders' take turns."""


class ReconciliationError(RuntimeError):
    """A window does not hold; the message names each, and the first differences in words."""


def check_windows(grain: str) -> Report:
    """Reconcile the closed hours or days that are due, and repair what may be repaired.

    Raises:
        ReconciliationError: a window does not hold.
    """
    from fleetflow.reconciliation import Plan, all_hold, reconcile_windows, summary
    from fleetflow.settings import load_settings

    attempts = reconcile_windows(load_settings(), Plan(grain, wait_s=WAIT_S))
    if not all_hold(attempts):
        raise ReconciliationError(_words(attempts))
    return {"windows": len(attempts), **summary(attempts), "repairs": sum(len(a.repairs) for a in attempts)}


def check_orders() -> Report:
    """Hold the order database against its mirror and the marts, and queue what is stale.

    Raises:
        ReconciliationError: they differ.
    """
    from fleetflow.order_reconciliation import reconcile_orders
    from fleetflow.settings import load_settings

    attempt = reconcile_orders(load_settings(), wait_s=WAIT_S)
    if not attempt.verdict.holds:
        raise ReconciliationError(_words([attempt]))
    return {
        "verdict": attempt.verdict.value,
        "counts": dict(attempt.counts),
        "repairs": list(attempt.repairs),
    }


def _words(attempts: Any) -> str:
    found = [a for a in attempts if not a.verdict.holds]
    parts = [f"{a.window}: {'; '.join(d.words for d in a.differences[:3])}" for a in found[:5]]
    more = f"; and {len(found) - 5} more windows" if len(found) > 5 else ""
    return " | ".join(parts) + more
