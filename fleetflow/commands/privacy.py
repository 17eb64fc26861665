"""`fleetflow privacy`: erase a driver on request; give every driver a new pseudonym."""

from __future__ import annotations

import json
from typing import Annotated

import typer

group = typer.Typer(help="Drivers' privacy: erase one, rotate the pseudonyms' key.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Wait = Annotated[float, typer.Option(min=0, help="How long to wait for runs at work, seconds.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="privacy")


@group.command("erase-driver")
def erase(
    tenant: Annotated[str, typer.Argument(help="The tenant, for example acme.")],
    driver: Annotated[str, typer.Argument(help="The driver's id, as the order database has it.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say where the driver stands; change nothing.")
    ] = False,
    wait: Wait = 120.0,
    as_json: AsJson = False,
) -> None:
    """Replace a driver by a random token in every table; counts and sums stay. Cannot be taken back."""
    from fleetflow.privacy import erase_driver
    from fleetflow.settings import load_settings

    done = erase_driver(load_settings(), tenant, driver, dry_run=dry_run, busy_s=wait)
    total = sum(done.rows.values())
    if as_json:
        typer.echo(json.dumps({**vars(done), "rows": dict(done.rows), "total": total}))
        return
    for table, count in done.rows.items():
        typer.echo(f"{count:>12,}  {table}")
    if dry_run:
        typer.echo(f"{total:,} rows name the driver; nothing was changed")
    else:
        typer.echo(
            f"{total:,} rows now name {done.token}; erasure {done.erasure_id} is recorded without the name"
        )


@group.command("erasures")
def erasures(as_json: AsJson = False) -> None:
    """List the erasures: what replaced whom, when, in which tables. Never who it was."""
    from fleetflow.privacy import list_erasures
    from fleetflow.settings import load_settings

    found = list_erasures(load_settings())
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    if not found:
        typer.echo("nobody was erased")
    for entry in found:
        ended = f"{entry['completed_at']:%F %T}" if entry["completed_at"] else "not completed: run it again"
        typer.echo(f"{entry['erasure_id']:>6}  {entry['tenant_id']}  {entry['token']}  {ended}")


@group.command("rotate-key")
def rotate(wait: Wait = 120.0, as_json: AsJson = False) -> None:
    """Take FLEETFLOW_PSEUDONYM_KEY as the new key: every driver gets a new pseudonym, in all tables at once."""
    from fleetflow.privacy import rotate_key
    from fleetflow.settings import load_settings

    rows = rotate_key(load_settings(), busy_s=wait)
    if as_json:
        typer.echo(json.dumps({"rows": dict(rows)}))
        return
    for table, count in rows.items():
        typer.echo(f"{count:>12,}  {table}")
    typer.echo("every driver has a new pseudonym; the old key is destroyed")
