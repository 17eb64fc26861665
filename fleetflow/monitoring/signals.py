"""The closed list of what is watched, and of the one-off events that code reports.

Every signal has a metric, an alert rule, a panel and a runbook; every event has a runbook.
"""

from __future__ import annotations

from fleetflow.monitoring import history_signals, ingestion_signals, machine_signals, warehouse_signals
from fleetflow.monitoring.model import Signal

SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for group in (
        ingestion_signals.SIGNALS,
        warehouse_signals.SIGNALS,
        history_signals.SIGNALS,
        machine_signals.SIGNALS,
    )
    for signal in group
}

# What is told when it happens and has no duration. A failed DAG is explained on the DAG's own page.
EVENTS = {
    "dag_failed": None,
    "deadline_missed": "docs/runbooks/alert_deadline_missed.md",
}

# What only Prometheus can see: that it gets no metrics at all.
UNSEEN = "metrics_absent"
