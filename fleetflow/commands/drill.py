"""`fleetflow drill`: rehearse an outage on the embedded stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(drill)


def drill(
    part: Annotated[str, typer.Argument(help="postgres, s3 or kinesis")],
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="How long it fails.")] = 20.0,
    home: Annotated[
        Path | None, typer.Option(help="State directory; default FLEETFLOW_HOME, else .fleetflow.")
    ] = None,
) -> None:
    """Let a part of the stack on this machine fail for a while: Postgres stops, S3 answers 500/503, Kinesis throttles.

    Nothing may get lost by it; `fleetflow doctor` shows what is noticed, `fleetflow reconcile` that all adds up.
    """
    from fleetflow.faults import UserError
    from fleetflow.local.errors import StackError
    from fleetflow.local.outage import play
    from fleetflow.settings import default_home

    typer.echo(f"{part} fails for {seconds:g} s", err=True)
    try:
        play(home or default_home(), part, seconds)
    except (StackError, OSError, ValueError) as fault:
        raise UserError(str(fault)) from fault
    typer.echo(f"{part} works again", err=True)
