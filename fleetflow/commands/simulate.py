"""`fleetflow simulate`: a fleet from a seed, streamed at a given rate, its order database changed along."""

from __future__ import annotations

import json
import signal
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fleetflow.simulator import Progress, SimulationPlan, Truth

FEEDS = {"gps": "gps_location", "shipment": "shipment_event", "assignment": "driver_assignment_event"}
SHARE = "a share of the events, 0 to 1"
SPOOL = "spool"


def register(app: typer.Typer) -> None:
    """Add `simulate` to the program."""
    app.command("simulate")(simulate)


def simulate(
    rate: Annotated[float, typer.Option(help="live events per second, up to 50,000")] = 500.0,
    seconds: Annotated[float, typer.Option(help="how long the live part lasts")] = 60.0,
    events: Annotated[int | None, typer.Option(help="live events in total; wins over --seconds")] = None,
    seed: Annotated[
        int, typer.Option(help="the same seed, start and sizes give the same fleet and events")
    ] = 1,
    start: Annotated[
        str | None, typer.Option(help="RFC 3339 moment at which the live part begins; now")
    ] = None,
    tenant: Annotated[str, typer.Option(help="whose fleet it is")] = "acme",
    drivers: Annotated[int, typer.Option(help="0: as many as the rate needs")] = 0,
    vehicles: Annotated[int, typer.Option(help="0: as many as the rate needs")] = 0,
    shipments: Annotated[int, typer.Option(help="open at the start; 0: as many as the rate needs")] = 0,
    history_days: Annotated[
        int | None, typer.Option(help="past days to send first; 8 for an empty order database, else 0")
    ] = None,
    history_shipments: Annotated[int, typer.Option(help="shipments due on each past day")] = 2_500,
    mix: Annotated[str, typer.Option(help="feed shares")] = "gps=0.65,shipment=0.30,assignment=0.05",
    duplicates: Annotated[float, typer.Option(help=SHARE)] = 0.01,
    out_of_order: Annotated[float, typer.Option(help=SHARE)] = 0.01,
    late: Annotated[float, typer.Option(help=SHARE)] = 0.005,
    invalid: Annotated[float, typer.Option(help=SHARE)] = 0.005,
    missing_driver: Annotated[float, typer.Option(help=SHARE)] = 0.004,
    illegal: Annotated[float, typer.Option(help=SHARE)] = 0.002,
    order_changes: Annotated[
        float, typer.Option(help="order rows changed per second at most; 0: none")
    ] = 100.0,
    telemetry_vehicles: Annotated[
        int, typer.Option(help="vehicles with CAN frames, tachographs and planted events, besides the rate")
    ] = 0,
    telemetry_days: Annotated[
        int, typer.Option(help="past days of their positions and frames, 2 or more; activities: 35 days")
    ] = 4,
    out: Annotated[Path | None, typer.Option(help="write NDJSON files here instead of streaming")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the truth as JSON only")] = False,
) -> None:
    """Simulate a fleet: fill an empty order database, send the past, then live events at the rate."""
    from fleetflow.faults import UserError
    from fleetflow.simulator import DeliveryError, Faults, PlanError, SimulationPlan

    try:
        plan = SimulationPlan(
            start=_moment(start),
            seed=seed,
            tenant=tenant,
            rate=rate,
            seconds=seconds,
            events=events,
            drivers=drivers,
            vehicles=vehicles,
            shipments=shipments,
            history_days=8 if history_days is None else history_days,
            history_shipments=history_shipments,
            mix=_mix(mix),
            faults=Faults(duplicates, out_of_order, late, invalid, missing_driver, illegal),
            order_changes_per_s=order_changes,
            telemetry_vehicles=telemetry_vehicles,
            telemetry_days=telemetry_days,
        )
        if out is not None:
            truth = _to_files(plan, out, as_json)
        else:
            truth = _to_streams(plan, as_json, keep_history=history_days is not None)
    except (PlanError, DeliveryError) as fault:
        raise UserError(str(fault)) from fault
    _print_truth(truth, as_json)


def _moment(text: str | None) -> datetime:
    from fleetflow.simulator import PlanError

    if text is None:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError as fault:
        raise PlanError(f"start is an RFC 3339 moment such as 2026-11-20T08:00:00Z, got {text!r}") from fault


def _mix(text: str) -> dict[str, float]:
    from fleetflow.simulator import PlanError

    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {FEEDS[name.strip()]: float(share) for name, share in pairs}
    except (KeyError, ValueError) as fault:
        raise PlanError(f"mix is written gps=0.65,shipment=0.30,assignment=0.05; got {text!r}") from fault


def _to_files(plan: SimulationPlan, out: Path, quiet: bool) -> Truth:
    from fleetflow.simulator import FileSink, Streams, run_simulation
    from fleetflow.simulator.pacing import PlannedClock

    with (
        FileSink(out, "gps_location") as gps,
        FileSink(out, "unknown") as status,
        FileSink(out, "unknown_telemetry") as telemetry,
        _Display(plan, quiet) as display,
    ):
        clock = PlannedClock(plan.start_ms)
        return run_simulation(
            plan,
            None,
            Streams(gps, status, telemetry),
            out,
            display.show,
            clock=clock,
            stop=_stop_on_signal(),
        )


def _to_streams(plan: SimulationPlan, quiet: bool, *, keep_history: bool) -> Truth:
    from fleetflow.runtime import client, connect
    from fleetflow.settings import load_settings
    from fleetflow.simulator import Streams, is_filled, run_simulation
    from ingestion.streams.producer import Producer

    settings = load_settings()
    with ExitStack() as stack:
        orders = stack.enter_context(connect(settings.orders_dsn.reveal()))
        if not keep_history and is_filled(orders, plan.tenant):
            plan = replace(plan, history_days=0)
        kinesis = client(settings, "kinesis", max_attempts=1)
        spool = settings.home / SPOOL
        gps = stack.enter_context(Producer(kinesis, settings.gps_stream, spool))
        status = stack.enter_context(Producer(kinesis, settings.status_stream, spool))
        telemetry = stack.enter_context(Producer(kinesis, settings.telemetry_stream, spool))
        display = stack.enter_context(_Display(plan, quiet))
        streams, stop = Streams(gps, status, telemetry), _stop_on_signal()
        return run_simulation(plan, orders, streams, settings.home, display.show, stop=stop)


def _stop_on_signal() -> threading.Event:
    """SIGINT and SIGTERM end the live part; what was sent is flushed and the truth is complete."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


class _Display:
    """A progress bar per phase on stderr; nothing with --json."""

    def __init__(self, plan: SimulationPlan, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.completed:>10,.0f} / {task.total:,.0f}"),
            TextColumn("{task.fields[rate]:>10}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=quiet,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Display:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        """Move the phase's bar; the phases before it are done."""
        if progress.phase not in self._tasks:
            for task in self._tasks.values():
                total = self._bars.tasks[task].total
                self._bars.update(task, completed=total)
            self._tasks[progress.phase] = self._bars.add_task(progress.phase, total=progress.total, rate="")
        rate = f"{progress.rate:,.0f}/s" if progress.rate else ""
        self._bars.update(
            self._tasks[progress.phase], completed=progress.sent, total=progress.total, rate=rate
        )


def _print_truth(truth: Truth, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(truth.as_dict()))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"sent in run {truth.run}: {truth.live_rate:,.0f} live events/s")
    table.add_column("feed")
    columns = ("sent", "distinct", "valid_distinct", "invalid", "repeats", "late", "out_of_order",
               "missing_driver", "illegal")  # fmt: skip
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for feed, counts in truth.as_dict()["feeds"].items():
        counts["invalid"] = sum(counts["invalid"].values())
        table.add_row(feed, *(f"{counts[name]:,}" for name in columns))
    Console().print(table)
