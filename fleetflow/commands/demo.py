"""`fleetflow demo`: the main job, once, end to end; `demo recall`: what was found of what a simulator planted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

group = typer.Typer(help="The main job, once, end to end.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="demo")


@group.callback(invoke_without_command=True)
def demo(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=1, max=50_000, help="Live events a second.")] = 1500,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of live streaming.")] = 60,
    history_shipments: Annotated[
        int, typer.Option(min=0, help="Shipments due on each of the past days.")
    ] = 600,
    seed: Annotated[int, typer.Option(help="Seed of the fleet.")] = 7,
    telemetry_vehicles: Annotated[
        int, typer.Option(min=0, help="Vehicles with CAN frames, tachographs and planted events.")
    ] = 24,
    home: Annotated[
        Path | None, typer.Option(help="State directory; emptied first. Default: demo below the home.")
    ] = None,
) -> None:
    """Start a stack, simulate a fleet, land, transform, check and report; exit status 0 only if all adds up."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console

    from fleetflow.demo.job import Demo, DemoPlan
    from fleetflow.demo.show import Progress, summarise
    from fleetflow.settings import default_home

    console = Console() if sys.stdout.isatty() else Console(width=120)
    plan = DemoPlan(
        rate=rate,
        seconds=seconds,
        history_shipments=history_shipments,
        seed=seed,
        telemetry_vehicles=telemetry_vehicles,
    )
    with Progress(console) as progress:
        outcome = Demo((home or default_home() / "demo").resolve(), plan, progress.tell).run()
    summarise(outcome, console)
    if outcome.faults:
        raise typer.Exit(1)


@group.command()
def recall(
    run: Annotated[str | None, typer.Option(help="Name of the run; the newest one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold the marts against what a simulator planted: found, wrong, missed, precision and recall of each kind.

    The truth is `sent/<run>.vehicles.json` below the home; `fleetflow simulate --telemetry-vehicles` writes it.
    """
    from rich.console import Console

    from fleetflow.demo.measure import measure
    from fleetflow.demo.show import recall_table
    from fleetflow.settings import load_settings

    settings = load_settings()
    scores = measure(settings, settings.sent_dir, run)
    if not as_json:
        console = Console() if sys.stdout.isatty() else Console(width=120)
        console.print(recall_table(scores))
        return
    rows = [
        {"subject": subject, **vars(score), "precision": score.precision, "recall": score.recall}
        for subject, score in scores
    ]
    typer.echo(json.dumps(rows))
