"""`fleetflow maintenance`: plan the workshops, and say where they are."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.vehicles.maintenance.plan import Night

group = typer.Typer(help="Services and repairs: the workshops' plan.", no_args_is_help=True)
workshops_group = typer.Typer(help="Where services are done.", no_args_is_help=True)
group.add_typer(workshops_group, name="workshops")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
_DATE = typer.Option(
    "--date", formats=["%Y-%m-%d"], help="First day that may be planned; today (UTC) if left out."
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="maintenance")


@group.command()
def plan(
    day: Annotated[datetime | None, _DATE] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    effort: Annotated[
        float | None,
        typer.Option(min=0, help="Deterministic seconds of the solver for a stage; 0: greedily."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan what is due and broken from a day on, compare with the night before; planning a night again replaces it."""
    from domain.maintenance.planner import EFFORT
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.maintenance.plan import plan_night

    tell = _to_stderr if sys.stderr.isatty() else lambda _: None
    nights = plan_night(
        load_settings(),
        day and day.date(),
        dry_run=dry_run,
        effort=EFFORT if effort is None else effort,
        tell=tell,
    )
    for night in nights:
        for line in _json_lines(night) if as_json else _text_lines(night):
            typer.echo(line)


def _to_stderr(words: str) -> None:
    typer.echo(words, err=True)


def _json_lines(night: Night) -> Iterator[str]:
    from fleetflow.vehicles.maintenance.plan import CHANGE_FIELDS, JOB_FIELDS, change_rows, job_rows

    whose = {"tenant_id": night.tenant_id, "plan_date": night.plan_date}
    for kind, names, rows in (
        ("job", JOB_FIELDS, job_rows(night)),
        ("change", CHANGE_FIELDS, change_rows(night)),
    ):
        for row in rows:
            yield _json({"row": kind, **whose, **dict(zip(names, row, strict=True))})
    figures = night.plan.figures
    yield _json(
        {
            "row": "night", **whose, "previous_date": night.previous_date, "placed": figures.placed,
            "unplaced": figures.unplaced + len(night.homeless), "running": len(night.running), "moves": figures.moves,
            "late_days": figures.late_days, "cost": figures.cost, "overdue_cost": figures.overdue_cost,
        }
    )  # fmt: skip


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, default=str)


def _text_lines(night: Night) -> Iterator[str]:
    from fleetflow.vehicles.maintenance.plan import CHANGE_FIELDS, JOB_FIELDS, change_rows, job_rows

    jobs = [dict(zip(JOB_FIELDS, row, strict=True)) for row in job_rows(night)]
    placed = sorted(
        (one for one in jobs if one["first_day"]), key=lambda one: (one["first_day"], one["job_id"])
    )
    yield f"{night.tenant_id}, from {night.plan_date}:"
    for one in placed:
        late = max(0, (one["last_day"] - one["due_on"]).days)
        due = f"due {one['due_on']}" + (f", {late} days late" if late else "")
        span = f"{one['first_day']} to {one['last_day']}" if one["days"] > 1 else f"{one['first_day']}"
        running = ", under way" if one["state"] == "running" else ""
        yield f"  {span:<26}{one['site_id']:<14}{one['vehicle_id']:<16}{one['words']} ({due}{running})"
    for one in jobs:
        if one["state"] == "unplaced":
            yield f"  no place: {one['vehicle_id']}, {one['words']}, due {one['due_on']}: {one['reason']}"
    changes = [dict(zip(CHANGE_FIELDS, row, strict=True)) for row in change_rows(night)]
    if night.previous_date is not None:
        yield f"  since {night.previous_date}: " + (
            f"{len(changes)} changes" if changes else "nothing has changed"
        )
        for one in changes:
            way = f"{_place(one, 'before')} -> {_place(one, 'after')}"
            yield f"    {one['kind']} {one['job_id']}: {way}: {one['reason']}"
    figures = night.plan.figures
    yield (
        f"  {figures.placed} placed, {figures.unplaced + len(night.homeless)} without a place,"
        f" {len(night.running)} under way, {figures.late_days} days late in all"
    )


def _place(change: dict[str, Any], when: str) -> str:
    first: date | None = change[f"first_day_{when}"]
    return f"{change[f'site_{when}']} {first}" if first else "nowhere"


@workshops_group.command("list")
def list_workshops(as_json: AsJson = False) -> None:
    """Show the workshops that tenants have named; who has named none uses its hubs and depots."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        rows = conn.execute(
            "select tenant_id, site_id, bays, closed_weekdays, closed_on from ops.workshop order by 1, 2"
        ).fetchall()
    names = ("tenant_id", "site_id", "bays", "closed_weekdays", "closed_on")
    for row in rows:
        closed = ", ".join(str(day) for day in row[4]) or "no other day"
        line = f"{row[0]:<12}{row[1]:<16}{row[2]} bays, closed on weekdays {row[3]} and {closed}"
        typer.echo(_json(dict(zip(names, row, strict=True))) if as_json else line)


@workshops_group.command("set")
def set_workshop(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    site: Annotated[str, typer.Argument(help="The site of the workshop.")],
    bays: Annotated[
        int, typer.Option(min=0, max=1000, help="Vehicles at a time; 0: nothing is planned there.")
    ],
    closed_weekday: Annotated[
        list[int] | None, typer.Option(min=0, max=6, help="A closed weekday, 0 is Monday; default 5 and 6.")
    ] = None,
    closed_on: Annotated[
        list[datetime] | None, typer.Option(formats=["%Y-%m-%d"], help="A closed day; may be given again.")
    ] = None,
) -> None:
    """Name a workshop, or change it. With the first one, a tenant's other sites are workshops no longer."""
    from fleetflow.faults import UserError
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops"), autocommit=True) as conn:
        known = conn.execute(
            "select exists (select from marts.dim_site where tenant_id = %s and site_id = %s)", (tenant, site)
        ).fetchone()
        if not (known and known[0]):
            raise UserError(f"{tenant} has no site {site}: see marts.dim_site for those it has")
        conn.execute(
            "insert into ops.workshop (tenant_id, site_id, bays, closed_weekdays, closed_on)"
            " values (%s, %s, %s, %s, %s)"
            " on conflict (tenant_id, site_id) do update set bays = excluded.bays,"
            " closed_weekdays = excluded.closed_weekdays, closed_on = excluded.closed_on",
            (
                tenant, site, bays, [5, 6] if closed_weekday is None else sorted(set(closed_weekday)),
                sorted({one.date() for one in closed_on or []}),
            ),
        )  # fmt: skip
    typer.echo(f"{tenant} {site}: {bays} bays")
