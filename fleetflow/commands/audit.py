"""`fleetflow audit`: whether the shipments' history is as it was recorded, and one shipment's life with its sources."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.audit import Scope

group = typer.Typer(help="The audit of shipments: verify its chains, show a life.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_SHOWN = 20
_STEP = 50_000


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group, name="audit")


@group.command()
def verify(
    shipment: Annotated[str | None, typer.Option(help="Only this shipment.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Only chains with an entry of this day (UTC) or later."),
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Hold entries against the lines of the raw objects, too.")
    ] = False,
    sample: Annotated[
        int, typer.Option(min=1, help="With --raw: how many entries, unless a shipment is named.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Recompute the chains of hashes. Exit status 1 and the first broken row of each chain if one is not whole."""
    from fleetflow.audit import Scope
    from fleetflow.audit import verify as verify_chains
    from fleetflow.audit_raw import compare_raw
    from fleetflow.runtime import connect, raw_filesystem
    from fleetflow.settings import load_settings

    settings = load_settings()
    scope = Scope(tenant, shipment, since.date() if since else None)
    facts: dict[str, Any] = {}
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        found = verify_chains(conn, scope, _progress())
        facts |= {"chains": found.chains, "entries": found.entries}
        findings = found.findings
        if raw:
            compared = compare_raw(conn, raw_filesystem(settings), settings.raw_bucket, scope, sample)
            facts |= {"raw_lines": compared.lines, "raw_expired": compared.expired}
            findings = [*findings, *compared.findings]
    _refuse_nothing(scope, found.chains)
    _tell(facts, [asdict(finding) for finding in findings], [str(f) for f in findings], as_json)
    if findings:
        raise typer.Exit(1)


def _refuse_nothing(scope: Scope, chains: int) -> None:
    """A name that is not there would verify nothing, and look like success."""
    from fleetflow.faults import UserError

    if chains == 0 and (scope.shipment or scope.tenant):
        named = " ".join(f"{k} {v}" for k, v in (("tenant", scope.tenant), ("shipment", scope.shipment)) if v)
        raise UserError(
            f"the audit has nothing of {named}; check the name, or transform what has landed first"
        )


def _progress() -> Callable[[int], None]:
    told = 0

    def tell(entries: int) -> None:
        nonlocal told
        if sys.stderr.isatty() and entries - told >= _STEP:
            told = entries
            sys.stderr.write(f"\r{entries:,} entries verified")
            sys.stderr.flush()

    return tell


def _tell(facts: dict[str, Any], findings: list[dict[str, Any]], lines: list[str], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**facts, "broken": len(findings), "findings": findings}))
        return
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    looked = f"{facts['entries']:,} entries of {facts['chains']:,} chains"
    if "raw_lines" in facts:
        looked += f", {facts['raw_lines']:,} raw lines ({facts['raw_expired']:,} expired)"
    for line in lines[:_SHOWN]:
        typer.echo(line)
    if len(lines) > _SHOWN:
        typer.echo(f"... and {len(lines) - _SHOWN:,} more; --json prints all")
    typer.echo(f"{looked}: {f'{len(lines):,} BROKEN' if lines else 'whole'}")


@group.command()
def show(
    shipment: Annotated[str, typer.Argument(help="The shipment.")],
    tenant: Annotated[str | None, typer.Option(help="Whose, where two tenants use the same name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print everything that was ever believed of a shipment, in the order of recording, and where it came from."""
    from fleetflow.audit import read_life, tenants_of
    from fleetflow.faults import UserError
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops"), autocommit=True) as conn:
        owners = [tenant] if tenant else tenants_of(conn, shipment)
        if len(owners) > 1:
            raise UserError(
                f"shipment {shipment} is one of several tenants: add --tenant, {' or '.join(owners)}"
            )
        life = read_life(conn, owners[0], shipment) if owners else []
    if not life:
        raise UserError(
            f"the audit has no shipment {shipment}; check the name, or transform what has landed first"
        )
    if as_json:
        typer.echo(json.dumps(life, default=_text))
        return
    rows = [("recorded (UTC)", "entry", "was", "what", "occurred (UTC)", "source"), *map(_line, life)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _line(entry: dict[str, Any]) -> tuple[str, ...]:
    what = entry["status"] if entry["is_legal"] in (None, True) else f"{entry['status']} (not legal)"
    if entry["reason_code"]:
        what += f", {entry['reason_code']}"
    was = f"takes over from {entry['supersedes']}" if entry["supersedes"] else ""
    if entry["chain"] == "order" and entry["promised_at"]:
        what += f", promised {entry['promised_at']:%F %T}"
    return (
        f"{entry['believed_from']:%F %T}", f"{entry['chain']} {entry['entry']}", was, what,
        f"{entry['occurred_at']:%F %T}", _source(entry),
    )  # fmt: skip


def _source(entry: dict[str, Any]) -> str:
    if entry["lsn"]:
        return f"order database at {entry['lsn']}, batch {entry['batch_id']}"
    if entry["batch_id"] is None:
        return "stored before the audit began"
    place = f"{entry['object_key'] or 'batch'} line {entry['line']}, batch {entry['batch_id']}"
    return f"{entry['partner']}/{entry['file_name']}, {place}" if entry["file_name"] else place


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
