"""`fleetflow telemetry`: the lake's table of signals, and decoding again after the manifest has changed."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

group = typer.Typer(help="Decoded CAN frames: signals in the lake, decoding again.", no_args_is_help=True)
_DAY = ["%Y-%m-%d"]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="telemetry")


@group.command()
def signals(
    from_day: Annotated[
        datetime | None, typer.Option("--from", formats=_DAY, help="First day (UTC); the oldest if left out.")
    ] = None,
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Last day (UTC); the newest if left out.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Write days, too, whose frames have not changed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Write the days of the lake's table `signal` whose frames have changed; see it by `fleetflow lake sql`."""
    from fleetflow.settings import load_settings

    _write(from_day, to_day, again, as_json)
    if sys.stderr.isatty():
        typer.echo(f"manifest: {load_settings().decoder_manifest}", err=True)


def _write(from_day: datetime | None, to_day: datetime | None, again: bool, as_json: bool) -> None:
    from fleetflow.faults import UserError
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.telemetry.signals import write_signals
    from ingestion.telemetry.manifest import ManifestError

    written = 0
    try:
        for one in write_signals(
            load_settings(), from_day and from_day.date(), to_day and to_day.date(), again=again
        ):
            written += 1
            facts = {"day": one.day.isoformat(), "frames": one.frames, "signals": one.signals}
            line = f"{one.day}: {one.signals:,} signals"
            typer.echo(json.dumps(facts) if as_json else line)
    except ManifestError as fault:
        raise UserError(str(fault)) from None
    if not written and not as_json:
        typer.echo("no day has changed")


@group.command()
def redecode(
    from_day: Annotated[datetime, typer.Option("--from", formats=_DAY, help="First day (UTC).")],
    to_day: Annotated[datetime, typer.Option("--to", formats=_DAY, help="Last day (UTC), included.")],
    lake: Annotated[
        bool, typer.Option("--lake/--no-lake", help="Write the lake's days of signals, too.")
    ] = True,
) -> None:
    """Decode days again, by the manifest and the vehicles' models as they are now; then run the vehicles' pipeline."""
    from fleetflow.faults import UserError
    from fleetflow.settings import load_settings
    from fleetflow.transform import PipelineBusyError
    from fleetflow.vehicles.run import run_vehicles
    from fleetflow.vehicles.telemetry.windows import ask_again

    if to_day < from_day:
        raise UserError(f"--to {to_day:%Y-%m-%d} is before --from {from_day:%Y-%m-%d}")
    settings = load_settings()
    begin, end = from_day.replace(tzinfo=UTC), to_day.replace(tzinfo=UTC) + timedelta(days=1)
    asked = ask_again(settings, begin, end)
    typer.echo(f"{asked:,} vehicle-hours are decoded again")
    if asked:
        tell = (lambda words: typer.echo(words, err=True)) if sys.stderr.isatty() else (lambda _: None)
        try:
            run_vehicles(settings, even_if_empty=True, tell=tell)
        except PipelineBusyError as busy:
            raise UserError(f"{busy}; that run or the next one decodes them") from None
    if lake:
        _write(from_day, to_day, again=True, as_json=False)
