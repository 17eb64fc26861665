"""`fleetflow demo`: the main job, once, end to end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    rate: Annotated[float, typer.Option(min=1, max=50_000, help="Live events a second.")] = 1500,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of live streaming.")] = 60,
    history_shipments: Annotated[
        int, typer.Option(min=0, help="Shipments due on each of the past days.")
    ] = 600,
    seed: Annotated[int, typer.Option(help="Seed of the fleet.")] = 7,
    home: Annotated[
        Path | None, typer.Option(help="State directory; emptied first. Default: demo below the home.")
    ] = None,
) -> None:
    """Start a stack, simulate a fleet, land, transform, check and report; exit status 0 only if all adds up."""
    from rich.console import Console

    from fleetflow.demo.job import Demo, DemoPlan
    from fleetflow.demo.show import Progress, summarise
    from fleetflow.settings import default_home

    console = Console() if sys.stdout.isatty() else Console(width=120)
    plan = DemoPlan(rate=rate, seconds=seconds, history_shipments=history_shipments, seed=seed)
    with Progress(console) as progress:
        outcome = Demo((home or default_home() / "demo").resolve(), plan, progress.tell).run()
    summarise(outcome, console)
    if outcome.faults:
        raise typer.Exit(1)
