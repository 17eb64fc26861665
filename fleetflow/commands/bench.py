"""`fleetflow bench`: figures, each beside the machine's limit measured in the same run. Nothing asserts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pathlib import Path

    from fleetflow.settings import Settings

group = typer.Typer(
    help="Measure speed, beside the limit of the machine for the same work.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="bench")


@group.command()
def landing(
    events: Annotated[int, typer.Option(min=10_000, help="Events a run.")] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    flush_rows: Annotated[int, typer.Option(min=1000, help="Rows of a cut.")] = 25_000,
    as_json: AsJson = False,
) -> None:
    """Events a second that one worker lands from memory, against COPY and Parquet of encoded rows."""
    from fleetflow.bench.landing import run_bench

    with _postgres() as settings:
        _print(run_bench(settings, events, runs, flush_rows), as_json)


@group.command()
def transform(
    shipments: Annotated[int, typer.Option(min=1000, help="Shipments with history.")] = 4_000_000,
    events: Annotated[int, typer.Option(min=1000, help="Events of the minute.")] = 2_100_000,
    as_json: AsJson = False,
) -> None:
    """Seconds to transform one minute at peak."""
    from fleetflow.bench.transform import run_bench

    with _postgres() as settings:
        _print(run_bench(settings, shipments=shipments, events=events), as_json)


@group.command()
def freshness(
    rate: Annotated[float, typer.Option(min=1, max=50_000, help="Events a second.")] = 35_000,
    seconds: Annotated[float, typer.Option(min=10, help="Seconds of streaming.")] = 180,
    as_json: AsJson = False,
) -> None:
    """Seconds from sending a status to its being in the marts, the whole stack on this machine."""
    from fleetflow.bench.freshness import run_bench

    with _home() as home:
        _print(run_bench(home, rate, seconds), as_json)


@group.command()
def backfill(
    rows: Annotated[int, typer.Option(min=10_000, help="Positions of a day.")] = 10_000_000,
    units: Annotated[str, typer.Option(help="Days to bring back, one run each.")] = "1,2,4",
    in_flight: Annotated[int, typer.Option(min=1, help="Chunks at work at once.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Rows a second from the lake back into landing, verified, against bare COPY."""
    from fleetflow.bench.backfill import run_bench

    with _postgres() as settings:
        _print(run_bench(settings, rows, [int(days) for days in units.split(",")], in_flight), as_json)


@group.command()
def cdc(
    changes: Annotated[
        int, typer.Option(min=10_000, help="Changes of the first pull; the second has twice as many.")
    ] = 500_000,
    as_json: AsJson = False,
) -> None:
    """Changes a second from the order database's log into the mirrors, against a bare peek of them."""
    from fleetflow.bench.cdc import run_bench

    with _postgres() as settings:
        _print(run_bench(settings, changes), as_json)


@group.command()
def compaction(
    rows: Annotated[int, typer.Option(min=25_000, help="Rows in raw objects.")] = 8_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Rows a second from raw objects to Iceberg, against a bare Parquet write of the same rows."""
    from fleetflow.bench.compaction import run_bench

    with _postgres() as settings:
        _print(run_bench(settings, rows, runs), as_json)


@group.command()
def partner(
    rows: Annotated[int, typer.Option(min=1000, help="Lines of the file.")] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Rows a second of a partner's CSV from SFTP to landing, against a bare COPY of the parsed rows."""
    from fleetflow.bench.partner import run_bench, write_declaration
    from fleetflow.local.stack import running

    with _home() as home:
        write_declaration(home / "declared")
        env = {"FLEETFLOW_PARTNERS_DIR": str(home / "declared")}
        with running(home, ("postgres", "sftp"), env=env) as settings:
            _print(run_bench(settings, rows, runs), as_json)


@group.command("driver-hours")
def driver_hours(
    drivers: Annotated[int, typer.Option(min=2, help="Drivers of a run, 28 days each.")] = 4_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    processes: Annotated[int, typer.Option(min=1, help="Processes that share the drivers.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Drivers a second through the EU driver-hours rules, against reading and sorting their intervals."""
    from fleetflow.bench.driver_hours import run_bench

    _print(run_bench(drivers, runs, processes), as_json)


@group.command()
def can(
    frames: Annotated[int, typer.Option(min=10_000, help="Frames a run.")] = 2_000_000,
    batch: Annotated[int, typer.Option(min=1000, help="Frames of a batch.")] = 200_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """CAN frames a second decoded by one thread, against cantools one by one and a bare pass of numpy."""
    from fleetflow.bench.can import run_bench

    _print(run_bench(frames, batch, runs), as_json)


@group.command()
def tracks(
    points: Annotated[int, typer.Option(min=10_000, help="Position fixes.")] = 2_000_000,
    vehicles: Annotated[int, typer.Option(min=1, help="Vehicles they are of.")] = 2_000,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Fixes a second through cleaning, trips and fences, against a bare haversine over the same arrays."""
    from fleetflow.bench.tracks import run_bench

    _print(run_bench(points, vehicles, runs), as_json)


@group.command()
def fuel(
    vehicles: Annotated[int, typer.Option(min=1, help="Vehicles.")] = 200,
    days: Annotated[int, typer.Option(min=2, help="Days of each; measured at 1, 2 and 4 times as many.")] = 3,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Minutes a second through levels, refills, drains, leaks and trips, against a bare running median."""
    from fleetflow.bench.fuel import run_bench

    _print(run_bench(vehicles, days, runs), as_json)


@group.command()
def trips(
    fixes: Annotated[
        int, typer.Option(min=10_000, help="Position fixes of the measured hour, at 1x.")
    ] = 500_000,
    factors: Annotated[str, typer.Option(help="Multiples of it, one run each.")] = "1,2,4",
    as_json: AsJson = False,
) -> None:
    """Fixes a second from landing to trips, stops, visits and days in the warehouse, against COPY and bare numpy."""
    from fleetflow.bench.trips import run_bench

    with _postgres() as settings:
        _print(run_bench(settings, fixes, [int(factor) for factor in factors.split(",")]), as_json)


@group.command()
def maintenance(
    vehicles: Annotated[int, typer.Option(min=10, help="Vehicles of the fleet.")] = 2_000,
    sites: Annotated[int, typer.Option(min=2, help="Workshops.")] = 20,
    days: Annotated[int, typer.Option(min=7, help="Days to plan.")] = 60,
    runs: Annotated[int, typer.Option(min=1, help="Fleets drawn for each load.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Seconds to plan a fleet's services, and the plan's cost beside the bound that none can undercut."""
    from fleetflow.bench.maintenance import run_bench

    _print(run_bench(vehicles, sites, days, runs), as_json)


@group.command()
def vehicles(
    vehicles: Annotated[int, typer.Option(min=4, help="Vehicles of the fleet, at 1x.")] = 50,
    factors: Annotated[str, typer.Option(help="Multiples of it, one run each.")] = "1,2,4",
    as_json: AsJson = False,
) -> None:
    """Seconds of each step and model of the vehicle side for a day of a fleet, against COPY of its rows."""
    from fleetflow.bench.vehicles import run_bench

    def say(line: str) -> None:
        typer.echo(line, err=True)

    with _postgres() as settings:
        _print(run_bench(settings, vehicles, [int(factor) for factor in factors.split(",")], say), as_json)


@contextmanager
def _home() -> Iterator[Path]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="fleetflow-bench-") as directory:
        yield Path(directory)


@contextmanager
def _postgres() -> Iterator[Settings]:
    """Keep a Postgres of the benchmark's own for its time."""
    from fleetflow.local.stack import running

    with _home() as home, running(home, ("postgres",)) as settings:
        yield settings


def _print(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures))
        return
    for line in _lines(figures):
        typer.echo(line)


def _lines(figures: dict[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield f"{indent}{key}"
            yield from _lines(value, indent + "  ")
        elif not isinstance(value, list):
            yield (
                f"{indent}{key:<28}{value:,}"
                if isinstance(value, int | float)
                else f"{indent}{key:<28}{value}"
            )
