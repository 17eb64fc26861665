"""Prometheus alert rules, from the list of signals: one rule a level, with the signal's own time and words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fleetflow.monitoring.model import Area, Level, Signal, Unit
from fleetflow.monitoring.signals import SIGNALS, UNSEEN

_FORMATS = {
    Unit.SECONDS: "{{ $value | humanizeDuration }}",
    Unit.BYTES: "{{ $value | humanize1024 }}B",
    Unit.RATIO: "{{ $value | humanizePercentage }}",
}


def alert_rules() -> dict[str, Any]:
    """Return the content of the rule file: one group an area."""
    groups = [
        {"name": f"fleetflow_{area}", "rules": [rule for signal in _of(area) for rule in _rules(signal)]}
        for area in Area
    ]
    unseen = {
        "alert": UNSEEN,
        "expr": 'absent(up{job="fleetflow"}) or up{job="fleetflow"} == 0',
        "for": "2m",
        "labels": {"severity": "error", "part": str(Area.PLATFORM)},
        "annotations": {
            "summary": "Prometheus gets no metrics of the platform: no other alert of FleetFlow can fire",
            "runbook": f"docs/runbooks/alert_{UNSEEN}.md",
        },
    }
    return {"groups": [*groups, {"name": "fleetflow_watching", "rules": [unseen]}]}


def _of(area: Area) -> list[Signal]:
    return [signal for signal in SIGNALS.values() if signal.area is area]


def _rules(signal: Signal) -> Iterator[dict[str, Any]]:
    for level in signal.levels:
        yield {
            "alert": signal.name,
            "expr": f"{signal.metric} > {_number(level)}",
            "for": f"{signal.hold_s}s",
            "keep_firing_for": f"{signal.resolve_s}s",
            "labels": {"severity": level.severity, "part": str(signal.area)},
            "annotations": {"summary": summary(signal), "runbook": signal.runbook},
        }


def summary(signal: Signal) -> str:
    """Return the signal's words as a template; what Prometheus does not know is in `fleetflow doctor`."""
    labels = {label: f"{{{{ $labels.{label} }}}}" for label in signal.labels}
    value = _FORMATS.get(signal.unit) or f"{{{{ $value }}}} {signal.unit}"
    return signal.words.format_map({**labels, "value": value, "detail": "see `fleetflow doctor`"})


def _number(level: Level) -> str:
    return f"{level.above:.15g}"
