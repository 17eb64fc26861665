"""`fleetflow retention`: drop what is past keeping, and hold what must stay."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, date, datetime
from typing import Annotated, Any

import typer

group = typer.Typer(help="Drop what is past keeping; hold what must stay.", no_args_is_help=True)
holds = typer.Typer(help="Legal holds: what no retention drops.", no_args_is_help=True)
group.add_typer(holds, name="hold")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group, name="retention")


@group.command()
def run(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    as_of: Annotated[
        str | None,
        typer.Option(help="Day to act as of, YYYY-MM-DD; a later one than today only in a dry run."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Drop what is past keeping and guarded by nothing: raw objects, landing's and the lake's days, marts rows."""
    from fleetflow.retention import run_retention
    from fleetflow.settings import load_settings

    day = _day(as_of, dry_run)
    done = []
    for action in run_retention(load_settings(), as_of=day, dry_run=dry_run):
        done.append(action.as_dict())
        if not as_json:
            facts = "".join(
                f", {value:,} {unit}"
                for value, unit in ((action.row_count, "rows"), (action.size_bytes, "bytes"))
                if value is not None
            )
            typer.echo(f"{action.action:<13}{action.subject}: {action.reason}{facts}")
    if as_json:
        typer.echo(json.dumps({"as_of": day.isoformat(), "dry_run": dry_run, "actions": done}))
    elif not done:
        typer.echo("nothing is past keeping")


def _day(as_of: str | None, dry_run: bool) -> date:
    from fleetflow.faults import UserError

    today = datetime.now(UTC).date()
    if as_of is None:
        return today
    try:
        day = date.fromisoformat(as_of)
    except ValueError:
        raise UserError(f"--as-of {as_of!r} is not a day; write YYYY-MM-DD") from None
    if day > today and not dry_run:
        raise UserError(
            f"--as-of {as_of} is after today: it would drop what must still be kept; add --dry-run to look"
        )
    return day


@holds.command()
def add(
    reason: Annotated[str, typer.Option(help="Why, for example a case number.")],
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's data.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed.")] = None,
    from_at: Annotated[datetime | None, typer.Option("--from", help="From this time on (UTC).")] = None,
    to_at: Annotated[datetime | None, typer.Option("--to", help="Before this time (UTC).")] = None,
    as_json: AsJson = False,
) -> None:
    """Place a hold; it stands until it is released."""
    from fleetflow.retention import add_hold
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        hold = add_hold(
            conn,
            reason,
            getpass.getuser(),
            tenant=tenant,
            feed=feed,
            from_at=_utc(from_at),
            to_at=_utc(to_at),
        )
    typer.echo(json.dumps({"hold_id": hold}) if as_json else f"hold {hold} is placed")


@holds.command("list")
def list_(
    every: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False, as_json: AsJson = False
) -> None:
    """Show the holds that stand."""
    from fleetflow.retention import list_holds
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        found = list_holds(conn, released=every)
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    if not found:
        typer.echo("no hold")
    for hold in found:
        typer.echo(
            f"{hold['hold_id']:>5}  {_scope(hold)}: {hold['reason']} ({hold['placed_by']}, {hold['placed_at']:%F})"
        )


@holds.command()
def release(hold_id: int) -> None:
    """Release a hold; what it kept goes with the next run, if nothing else guards it."""
    from fleetflow.retention import release_hold
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        release_hold(conn, hold_id, getpass.getuser())
    typer.echo(f"hold {hold_id} is released")


def _scope(hold: dict[str, Any]) -> str:
    parts = [f"tenant {hold['tenant_id']}" if hold["tenant_id"] else "every tenant"]
    parts.append(hold["feed"] or "every feed")
    start, end = (f"{at:%F %T}" if at else "..." for at in (hold["from_at"], hold["to_at"]))
    parts.append("all time" if hold["from_at"] is None and hold["to_at"] is None else f"{start} to {end}")
    state = ", released" if hold["released_at"] else ""
    return ", ".join(parts) + state


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at
