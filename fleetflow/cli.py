"""The `fleetflow` program: one module per command group, registered here."""

from __future__ import annotations

import importlib
import sys

import typer

app = typer.Typer(
    name="fleetflow",
    help="The data platform of a logistics fleet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

GROUPS = (
    "stack",
    "migrate",
    "simulate",
    "send",
    "land",
    "rejected",
    "cdc",
    "transform",
    "quality",
    "report",
    "audit",
    "metrics",
    "partner",
    "lake",
    "backfill",
    "reconcile",
    "retention",
    "privacy",
    "driver_hours",
    "can",
    "docs",
    "telemetry",
    "maintenance",
    "doctor",
    "drill",
    "bench",
    "demo",
)

for _group in GROUPS:
    importlib.import_module(f"fleetflow.commands.{_group}").register(app)


def main() -> None:
    """Run the program; a fault that a user can mend is one line on stderr and exit status 2."""
    from fleetflow.faults import explain

    try:
        app()
    except Exception as fault:
        line = explain(fault)
        if line is None:
            raise
        sys.stderr.write(f"fleetflow: {line}\n")
        sys.exit(2)
