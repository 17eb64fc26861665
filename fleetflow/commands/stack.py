"""`fleetflow up`, `down`, `status` and `dsn`: the embedded stack."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fleetflow.local.stack import PartStatus
    from fleetflow.settings import Settings

Home = Annotated[Path | None, typer.Option(help="State directory; default FLEETFLOW_HOME, else .fleetflow.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(dsn)


def up(
    home: Home = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Leave out a part: airflow, worker, aws, sftp. Repeatable.")
    ] = None,
    gps_shards: Annotated[int, typer.Option(min=1, help="Shards of the GPS stream, when it is created.")] = 4,
    status_shards: Annotated[int, typer.Option(min=1, help="Shards of the status stream, when created.")] = 2,
) -> None:
    """Start the stack on this machine, and print its addresses and logins. Starts only what is down."""
    from fleetflow.faults import UserError
    from fleetflow.local import stack

    if unknown := set(without or ()) - set(stack.PARTS):
        raise UserError(f"--without {', '.join(sorted(unknown))}: there are {', '.join(stack.PARTS)}")
    parts = [part for part in stack.PARTS if part not in (without or ())]
    where = _home(home)
    settings = stack.up(
        where, parts, stack.Shards(gps_shards, status_shards), say=lambda line: typer.echo(line, err=True)
    )
    _print_addresses(settings, stack.status(where))


def down(home: Home = None) -> None:
    """Stop what `up` started: the landing worker drains first, Postgres ends last. Nothing is deleted."""
    from fleetflow.local import stack

    stack.down(_home(home), say=lambda line: typer.echo(line, err=True))


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Show each part of the stack; exit status 1 when one that should run does not, or is not well."""
    from fleetflow.local import stack

    parts = stack.status(_home(home))
    if as_json:
        typer.echo(json.dumps([asdict(part) for part in parts], indent=1))
    else:
        _print_table(
            ("part", "state", "pid", "address", "since", "memory"), [_status_row(part) for part in parts]
        )
    if any(part.wanted and part.problem for part in parts):
        raise typer.Exit(1)


def dsn(
    database: Annotated[str, typer.Argument(help="warehouse or orders")],
    role: Annotated[
        str | None,
        typer.Option(help="warehouse: owner, loader, transformer, ops, analyst; orders: owner, cdc."),
    ] = None,
    home: Home = None,
) -> None:
    """Print the address of a database, password included, for psql and the like."""
    from fleetflow.faults import UserError
    from fleetflow.settings import load_settings

    settings = load_settings(_home(home))
    match database, role or {"warehouse": "ops", "orders": "owner"}.get(database):
        case "warehouse", str(chosen):
            typer.echo(settings.dsn(chosen))
        case "orders", "owner":
            typer.echo(settings.orders_dsn.reveal())
        case "orders", "cdc":
            typer.echo(settings.orders_cdc_dsn.reveal())
        case "orders", _:
            raise UserError(f"--role {role}: the order database has owner and cdc")
        case _:
            raise UserError(f"{database} is not a database of FleetFlow: there are warehouse and orders")


def _home(home: Path | None) -> Path:
    from fleetflow.settings import default_home

    return home.expanduser().resolve() if home else default_home()


def _print_addresses(settings: Settings, parts: Sequence[PartStatus]) -> None:
    _print_table(
        ("part", "address", "login"),
        [(p.part, p.address or "", _login(settings, p.part)) for p in parts if p.running],
    )
    typer.echo(f"\nSettings for other programs: {settings.home / 'stack.env'}")
    typer.echo('Query the marts:            psql "$(fleetflow dsn warehouse)"')


def _login(settings: Settings, part: str) -> str:
    values = settings.environment
    match part:
        case "postgres":
            return "fleetflow dsn warehouse|orders"
        case "aws":
            return f"access key and secret: {values['AWS_ACCESS_KEY_ID']}, region {settings.aws_region}"
        case "sftp":
            return f"a key per partner, in {values['FLEETFLOW_SFTP_KEY']}"
        case "airflow":
            return f"{values['FLEETFLOW_AIRFLOW_USER']} / {values['FLEETFLOW_AIRFLOW_PASSWORD']}"
    return ""


def _status_row(part: PartStatus) -> tuple[str, ...]:
    state = part.problem or ("running" if part.running else "stopped")
    since = (
        dt.datetime.fromtimestamp(part.since, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if part.since else ""
    )
    memory = f"{part.memory_mb:,.0f} MiB" if part.memory_mb is not None else ""
    address = (part.address or "") if part.running else ""
    return part.part, state, str(part.pid or ""), address, since, memory


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, *rows]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
