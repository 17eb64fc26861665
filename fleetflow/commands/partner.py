"""`fleetflow partner`: what partners sent, loading it, and deciding about what is held."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from ingestion.partners.declare.declaration import Declaration
    from ingestion.partners.ledger import PartnerFile
    from ingestion.partners.load import FileOutcome

group = typer.Typer(name="partner", help="Partners' files: load, look, decide.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FileId = Annotated[int, typer.Argument(metavar="FILE", help="The file's number, as `files` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group)


@group.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every declared partner: feed, format, schedule, and how its files stand."""
    from fleetflow.commands.partner_view import print_table, summary_rows

    with _warehouse("ops") as (settings, conn):
        rows = summary_rows(conn, _declared(settings))
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    print_table(rows, "no partner is declared: add a file to the directory of declarations")


@group.command()
def files(
    partner: Annotated[str | None, typer.Option(help="Only this partner.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only this state: seen, whole, loaded, held, refused, missing.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 30,
    as_json: AsJson = False,
) -> None:
    """List the files that came, or did not, newest first."""
    from fleetflow.commands.partner_view import file_facts, file_row, print_table
    from fleetflow.faults import UserError
    from ingestion.partners.ledger import find_files
    from ingestion.partners.states import State

    try:
        wanted = State(state) if state else None
    except ValueError:
        raise UserError(f"{state!r} is no state: {', '.join(State)}") from None
    with _warehouse("ops") as (_, conn):
        found = find_files(conn, partner, state=wanted, limit=limit)
    if as_json:
        typer.echo(json.dumps([file_facts(file) for file in found], default=str))
        return
    print_table([file_row(file) for file in found], "no files")


@group.command()
def show(file_id: FileId, as_json: AsJson = False) -> None:
    """Show one file: state and why, counts, rejects by rule, what is remarkable, where it is kept."""
    from fleetflow.commands.partner_view import describe, file_facts, reject_counts
    from fleetflow.faults import UserError
    from ingestion.partners.ledger import read_file

    with _warehouse("ops") as (_, conn):
        file = read_file(conn, file_id)
        if file is None:
            raise UserError(f"there is no partner file {file_id}; `fleetflow partner files` lists them")
        rejects = reject_counts(conn, file_id)
    if as_json:
        typer.echo(json.dumps({**file_facts(file), "rejects": rejects}, default=str))
        return
    for line in describe(file, rejects):
        typer.echo(line)


@group.command()
def load(
    name: Annotated[str | None, typer.Argument(help="The partner; all of them if left out.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Look again where a file must look the same twice.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Load what is whole on the partners' servers now. Exit status 1 if a file was held, refused or not finished."""
    from fleetflow.commands.partner_view import outcome_facts, outcome_lines
    from fleetflow.partner_load import load as load_once
    from fleetflow.partner_load import load_settled
    from fleetflow.settings import load_settings

    settings = load_settings()
    fine = True
    with _explained():
        for declaration in _chosen(settings, name):
            outcomes = load_settled(settings, declaration) if wait else load_once(settings, declaration)
            fine = fine and all(map(_went_well, outcomes))
            if as_json:
                for outcome in outcomes:
                    typer.echo(json.dumps(outcome_facts(outcome), default=str))
            else:
                for line in outcome_lines(declaration.name, outcomes):
                    typer.echo(line)
    if not fine:
        raise typer.Exit(1)


def _went_well(outcome: FileOutcome) -> bool:
    return outcome.fault is None and outcome.state not in {"held", "refused"}


@group.command()
def approve(
    file_id: FileId,
    by: Annotated[
        str | None, typer.Option(help="Who decides; the account of the system if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a held file and the schema it came in go on; the next load takes it from the archive."""
    from fleetflow.partner_load import approve as decide

    with _warehouse("ops") as (_, conn):
        file = decide(conn, file_id, by or getpass.getuser(), datetime.now(UTC))
    _print_next(file, as_json, f"approved by {file.approved_by}")


@group.command()
def retry(file_id: FileId, as_json: AsJson = False) -> None:
    """Try a refused file again, from the archive, after its declaration or a key was mended."""
    from fleetflow.partner_load import retry as decide

    with _warehouse("ops") as (_, conn):
        file = decide(conn, file_id)
    _print_next(file, as_json, "to be tried again")


def _print_next(file: PartnerFile, as_json: bool, words: str) -> None:
    from fleetflow.commands.partner_view import file_facts

    if as_json:
        typer.echo(json.dumps(file_facts(file), default=str))
        return
    typer.echo(
        f"file {file.file_id} ({file.name}) is {words}: `fleetflow partner load {file.partner}` takes it"
    )


@group.command()
def schema(name: str, as_json: AsJson = False) -> None:
    """Show every schema that a partner's files came in, and what each differed by."""
    from fleetflow.commands.partner_view import schema_facts, schema_lines

    with _warehouse("ops") as (settings, conn):
        _chosen(settings, name)
        found = schema_facts(conn, name)
    if as_json:
        typer.echo(json.dumps(found, default=str))
        return
    for line in schema_lines(name, found):
        typer.echo(line)


@group.command()
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file on this machine.")],
    partner: Annotated[str, typer.Option(help="The partner by whose declaration it is read.")],
    approved: Annotated[bool, typer.Option(help="As if the file had been approved.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what a load would make of a file; nothing is landed, and no server is needed."""
    from fleetflow.commands.partner_check import check_file, check_words
    from fleetflow.settings import load_settings

    settings = load_settings()
    with _explained():
        [declaration] = _chosen(settings, partner)
        found = check_file(settings, declaration, file, approved=approved)
    if as_json:
        typer.echo(json.dumps(found, default=str))
    else:
        for line in check_words(found):
            typer.echo(line)
    if found["state"] != "loaded":
        raise typer.Exit(1)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a fault that a user can mend into one line."""
    from fleetflow.faults import UserError
    from ingestion.partners.fetch.place import RemoteFault
    from ingestion.partners.load import PartnerBusyError

    try:
        yield
    except (RemoteFault, PartnerBusyError) as fault:
        raise UserError(str(fault)) from fault


@contextmanager
def _warehouse(role: str) -> Iterator[tuple[Settings, Any]]:
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    settings = load_settings()
    with connect(settings.dsn(role), autocommit=True) as conn:
        yield settings, conn


def _declared(settings: Settings) -> list[Declaration]:
    from fleetflow.faults import UserError
    from ingestion.partners.declare.declaration import DeclarationError, read_declarations

    try:
        return list(read_declarations(settings.partners_dir).values())
    except DeclarationError as fault:
        raise UserError(str(fault)) from fault


def _chosen(settings: Settings, name: str | None) -> Sequence[Declaration]:
    from fleetflow.faults import UserError
    from fleetflow.partners import read_partner
    from ingestion.partners.declare.declaration import DeclarationError

    if name is None:
        return _declared(settings)
    try:
        return [read_partner(settings, name)]
    except DeclarationError as fault:
        raise UserError(str(fault)) from fault
