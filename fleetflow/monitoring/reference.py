"""The reference page of all signals, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from fleetflow.monitoring.judge import amount, span
from fleetflow.monitoring.model import Area, Signal
from fleetflow.monitoring.signals import SIGNALS

_HEAD = """# Signals

What is watched. A signal is a gauge of this name in Prometheus (`fleetflow metrics`), a line of `fleetflow doctor`, an
alert of this name, and a page that says what to do. It is a fault when it is above its limit for longer than the time
in `stands for`, and over when it has been gone for the time in `gone for`.
"""


def page() -> str:
    """Return the page: one table an area."""
    return "\n".join([_HEAD, *(line for area in Area for line in _table(area))])


def _table(area: Area) -> Iterator[str]:
    yield f"## {area.capitalize()}\n"
    yield "| signal | measures | labels | warns above | error above | stands for | gone for |"
    yield "|---|---|---|---|---|---|---|"
    for signal in SIGNALS.values():
        if signal.area is area:
            yield _row(signal)
    yield ""


def _row(signal: Signal) -> str:
    limits = {level.severity: amount(signal.unit, level.above) for level in signal.levels}
    link = f"[{signal.name}](../{signal.runbook.removeprefix('docs/')})"
    cells = (
        f"{link}<br>`{signal.metric}`",
        signal.measures,
        ", ".join(signal.labels),
        limits.get("warn", ""),
        limits.get("error", ""),
        span(signal.hold_s) if signal.hold_s else "at once",
        span(signal.resolve_s),
    )
    return f"| {' | '.join(cells)} |"
