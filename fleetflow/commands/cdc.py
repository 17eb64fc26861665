"""`fleetflow cdc`: snapshot, pull and status of the order database's mirror."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ingestion.cdc import Lag, PullReport

group = typer.Typer(name="cdc", help="Mirror the order database into the warehouse.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group)


@group.command()
def snapshot(
    re_create: Annotated[
        bool, typer.Option("--re-create", help="Make a new slot and compare every row with the mirror again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy every published table, and make the slot that carries on from the copy."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion import cdc

    settings = load_settings()
    with _explained(), connect(settings.dsn("loader")) as warehouse:
        report = cdc.snapshot(settings.orders_cdc_dsn.reveal(), warehouse, re_create=re_create)
    _print(asdict(report) if as_json else _words(report), as_json)


@group.command()
def pull(as_json: AsJson = False) -> None:
    """Apply what changed since the last pull; the first time, take the snapshot before."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion import cdc

    settings = load_settings()
    with _explained(), connect(settings.dsn("loader")) as warehouse:
        reports = cdc.sync(settings.orders_cdc_dsn.reveal(), warehouse)
    for report in reports:
        _print(asdict(report) if as_json else _words(report), as_json)


@group.command()
def status(as_json: AsJson = False) -> None:
    """Show where the slot stands, how far the mirror is behind, and what the order database keeps for it."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion import cdc

    settings = load_settings()
    with (
        _explained(),
        connect(settings.dsn("loader")) as warehouse,
        connect(settings.orders_cdc_dsn.reveal()) as source,
    ):
        lag = cdc.lag(source, warehouse)
    _print(asdict(lag) if as_json else _standing(lag), as_json)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a fault that a user can mend into one line."""
    from fleetflow.faults import UserError
    from ingestion.cdc import CdcError

    try:
        yield
    except CdcError as fault:
        raise UserError(str(fault)) from fault


def _print(value: Any, as_json: bool) -> None:
    typer.echo(json.dumps(value, default=str) if as_json else value)


def _words(report: PullReport) -> str:
    changes = ", ".join(f"{entity} {count:,}" for entity, count in sorted(report.changes.items())) or "none"
    lines = [
        f"{report.kind} of {report.slot}, epoch {report.epoch}: {report.total:,} changes in {report.seconds:.2f} s"
        f" ({changes}); now at {report.to_lsn}",
        *(f"schema: {change}" for change in report.schema_changes),
    ]
    return "\n".join(lines)


def _standing(lag: Lag) -> str:
    if lag.applied_lsn is None:
        return f"slot {lag.slot}: no finished snapshot yet; `fleetflow cdc pull` takes it"
    if lag.lag_bytes is None:
        return f"slot {lag.slot}: missing; `fleetflow cdc snapshot --re-create` makes a new one"
    pulled = (
        "never"
        if lag.pulled_at is None
        else f"{(datetime.now(UTC) - lag.pulled_at).total_seconds():.0f} s ago"
    )
    return (
        f"slot {lag.slot}, epoch {lag.epoch}: applied to {lag.applied_lsn}, last pull {pulled},"
        f" {lag.lag_bytes:,} bytes behind,"
        f" {lag.retained_bytes or 0:,} bytes of log kept ({lag.wal_status})"
    )
