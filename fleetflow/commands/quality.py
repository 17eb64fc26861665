"""`fleetflow quality`: run the suites, and read what they found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from fleetflow.faults import UserError

if TYPE_CHECKING:
    from quality.model import SuiteReport
    from quality.results import StoredResult

group = typer.Typer(name="quality", help="Check the claimed data and the marts.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
FAILED = 1


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group)


@group.command()
def gate(
    run_id: Annotated[str | None, typer.Option(help="A transform run; default: the one now claimed.")] = None,
    vehicles: Annotated[
        bool, typer.Option("--vehicles", help="A run of the vehicle side, by its own gate.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check what a transform run has claimed; exit status 1 if it may not go on. Changes no run."""
    from fleetflow.orchestration import PIPELINE
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from fleetflow.vehicles.run import GATE
    from fleetflow.vehicles.run import PIPELINE as VEHICLES
    from quality.runner import run_suite
    from quality.scope import read_claimed_run

    dsn = load_settings().dsn("transformer")
    with _explained():
        with connect(dsn) as conn:
            run = run_id or read_claimed_run(conn, VEHICLES if vehicles else PIPELINE)
        _finish(run_suite(dsn, GATE if vehicles else "gate", run_id=run), as_json)


@group.command()
def nightly(as_json: AsJson = False) -> None:
    """Check the marts, the mirrors and the last day of landing; exit status 1 on an error."""
    from fleetflow.settings import load_settings
    from quality.runner import run_suite

    settings = load_settings()
    with _explained():
        _finish(
            run_suite(settings.dsn("transformer"), "nightly", docs_dir=settings.home / "data_docs"), as_json
        )


@group.command()
def vehicles(as_json: AsJson = False) -> None:
    """Check the marts of the vehicle side, what its feeds sent and how fresh it is; exit status 1 on an error."""
    from fleetflow.settings import load_settings
    from quality.runner import run_suite

    settings = load_settings()
    with _explained():
        _finish(
            run_suite(settings.dsn("transformer"), "vehicles", docs_dir=settings.home / "data_docs"), as_json
        )


@group.command()
def results(
    suite: Annotated[str | None, typer.Option(help="Only this suite.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only what failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the newest verdict on each check, the failed ones first."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from quality.results import read_latest

    with connect(load_settings().dsn("ops")) as conn:
        rows = [row for row in read_latest(conn, suite) if not (failed and row.passed)]
    if as_json:
        typer.echo(json.dumps([row.as_json() for row in rows]))
        return
    for row in rows:
        typer.echo(_line(row))
    typer.echo(f"{len(rows)} checks, {sum(not row.passed for row in rows)} failed")


@contextmanager
def _explained() -> Iterator[None]:
    from quality.model import CheckError

    try:
        yield
    except (CheckError, ValueError) as fault:
        raise UserError(str(fault)) from fault


def _finish(report: SuiteReport, as_json: bool) -> None:
    typer.echo(json.dumps(report.as_json()) if as_json else _words(report))
    if not report.passed:
        raise typer.Exit(FAILED)


def _words(report: SuiteReport) -> str:
    failed = [
        f"{r.severity:5}  {r.check.subject}.{r.check.name}: {r.detail}"
        for r in (*report.errors, *report.warnings)
    ]
    verdict = "passed" if report.passed else "FAILED"
    total = f"{report.suite} {verdict}: {len(report.results)} checks in {report.seconds:.1f} s,"
    counts = f"{len(report.errors)} errors, {len(report.warnings)} warnings"
    return "\n".join([*failed, f"{total} {counts}", *([f"data docs: {report.docs}"] if report.docs else [])])


def _line(row: StoredResult) -> str:
    verdict = "ok" if row.passed else row.severity
    return f"{verdict:5}  {row.suite:7}  {row.subject}.{row.check_name}: {row.detail}"
