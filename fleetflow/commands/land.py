"""`fleetflow land`: run a landing worker."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingestion.landing.worker import Worker


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("land")(land)


def land(
    until_idle: Annotated[
        float | None,
        typer.Option(min=0.5, help="End when nothing came for so many seconds and all is landed."),
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Serve Prometheus metrics on this port (0: a free one).")
    ] = None,
    metrics_address: Annotated[str, typer.Option(help="Address of the metrics endpoint.")] = "127.0.0.1",
    worker: Annotated[
        str | None, typer.Option(help="Name of this worker; default host and process id.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tally as JSON.")] = False,
) -> None:
    """Land the streams: raw objects to S3, rows and ledger to the warehouse. SIGTERM drains and ends."""
    from fleetflow.faults import UserError
    from fleetflow.landing import landing_worker
    from fleetflow.logs import log_to_stderr
    from fleetflow.settings import load_settings

    log_to_stderr()
    lander = landing_worker(load_settings(), worker)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: lander.stop())
    if metrics_port is not None:
        port = lander.metrics.serve(metrics_port, metrics_address)
        typer.echo(f"metrics on http://{metrics_address}:{port}/metrics", err=True)
    ended_well = lander.run(until_idle, _progress())
    tally = lander.tally
    if as_json:
        facts = {
            "events": tally.events,
            "accepted": tally.accepted,
            "rejected": tally.rejected,
            "cuts": tally.cuts,
        }
        typer.echo(json.dumps(facts))
    else:
        typer.echo(
            f"landed {tally.events:,} events in {tally.cuts:,} cuts:"
            f" {tally.accepted:,} accepted, {tally.rejected:,} rejected"
        )
    if not ended_well:
        raise UserError(f"gave up after 30 s; what is not landed stays in the stream: {tally.last_fault}")


def _progress() -> Callable[[Worker], None]:
    """Show the tally on a terminal, once a second."""
    shown = [0.0]

    def show(lander: Worker) -> None:
        if sys.stderr.isatty() and time.monotonic() - shown[0] > 1:
            shown[0] = time.monotonic()
            typer.echo(f"\r{lander.tally.events:,} events landed", err=True, nl=False)

    return show
