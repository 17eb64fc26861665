"""`fleetflow driver-hours`: hold cases of activities against EU 561/2006 or 49 CFR 395."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

group = typer.Typer(
    name="driver-hours", help="Driving time, breaks and rests against the law.", no_args_is_help=True
)


class Rules(StrEnum):
    """Whose law."""

    EU = "eu"
    US = "us"


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group)


@group.callback()
def driver_hours() -> None:
    """Driving time, breaks and rests against the law."""


@group.command()
def evaluate(
    file: Annotated[
        Path,
        typer.Argument(
            help="A JSON list of cases, bare or as `cases` or `vectors`, or a case a line; `-` is standard input."
        ),
    ],
    rules: Annotated[Rules, typer.Option(help="EU 561/2006, or US FMCSA property-carrying.")] = Rules.EU,
) -> None:
    """Evaluate each case by the rule it names; print one JSON line a case.

    A case that is not of the shape gives a line on stderr and no answer; the others are evaluated all the same, and
    the exit status is 2, as it is for a file without cases. Otherwise it is 0, whatever was found.
    """
    from domain.driver_hours.cases import CaseError, evaluate_case

    wrong = 0
    seen: set[str] = set()
    for place, case in enumerate(_cases(file)):
        try:
            answer = evaluate_case(case, rules)
            if answer["id"] in seen:
                raise CaseError("a case before has the same id")
        except CaseError as fault:
            wrong += 1
            sys.stderr.write(f"fleetflow: {file}: case {_name(case, place)}: {fault}\n")
            continue
        seen.add(answer["id"])
        typer.echo(json.dumps(answer))
    if wrong:
        raise typer.Exit(2)


@group.command()
def remaining(
    driver_key: Annotated[str, typer.Argument(help="Keyed pseudonym of the driver, as in the marts.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """What a driver may still drive now, under EU rules, from the warehouse.

    Minutes, and times in UTC. The exit status is 2 if nothing recent is known of the driver.
    """
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.driver_hours.remaining import read_remaining

    with connect(load_settings().dsn("ops"), autocommit=True) as conn:
        row = read_remaining(conn, driver_key)
    if as_json:
        typer.echo(json.dumps(row, default=lambda moment: moment.isoformat()))
        return
    for name, value in row.items():
        typer.echo(f"{name:<20} {'-' if value is None else value}")


def _cases(file: Path) -> list[Any]:
    from fleetflow.faults import UserError

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise UserError(f"{file} cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{file} is no JSON: {fault}") from None
    return _parse(file, text)


def _parse(file: Path, text: str) -> list[Any]:
    """Read a list of cases, an object that holds one as `cases` or `vectors`, one case, or a case a line."""
    from fleetflow.faults import UserError

    try:
        cases = json.loads(text)
    except (RecursionError, ValueError) as fault:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            cases = [json.loads(line) for line in lines]
        except (RecursionError, ValueError):
            cases = None
        if not cases:
            raise UserError(f"{file} is no JSON: {fault}") from None
    if isinstance(cases, dict):
        cases = cases.get("cases", cases.get("vectors", [cases] if "rule" in cases else cases))
    if not isinstance(cases, list):
        raise UserError(f"{file} is no list of cases, but {type(cases).__name__}")
    return cases


def _name(case: Any, place: int) -> str:
    ident = case.get("id") if isinstance(case, dict) else None
    if not isinstance(ident, str) or not ident:
        return f"number {place + 1} (without an id)"
    return ident if ident.isprintable() else ascii(ident)
