"""`fleetflow reconcile`: does everything that was sent stand somewhere, once? As a whole, and window by window."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from quality.reconcile import Attempt, FeedReconciliation

group = typer.Typer(help="Hold every arm against every other; repair what may be repaired.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SentDir = Annotated[
    Path | None,
    typer.Option(help="Directory of senders' truth files; default the one of this state directory."),
]
From = Annotated[
    datetime | None,
    typer.Option("--from", help="Windows from this time on (UTC); default: those that are due."),
]
To = Annotated[datetime | None, typer.Option("--to", help="Windows that end until this time (UTC).")]
Mending = Annotated[bool, typer.Option("--repair/--no-repair", help="Repair what the other arm still has.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="reconcile")


@group.callback(invoke_without_command=True)
def reconcile(context: typer.Context, sent: SentDir = None, as_json: AsJson = False) -> None:
    """Hold senders, ledger, landing, rejects and raw objects against each other; exit status 1 if they differ."""
    if context.invoked_subcommand is not None:
        return
    from fleetflow.settings import load_settings

    results = reconcile_landing(load_settings(), sent)
    adds_up = all(result.adds_up for result in results)
    if as_json:
        feeds = [{**asdict(result), "adds_up": result.adds_up} for result in results]
        typer.echo(json.dumps({"adds_up": adds_up, "feeds": feeds}))
    else:
        for line in describe(results):
            typer.echo(line)
    if not adds_up:
        raise typer.Exit(1)


@group.command()
def hours(
    from_at: From = None,
    to_at: To = None,
    repair: Mending = True,
    sent: SentDir = None,
    as_json: AsJson = False,
) -> None:
    """Reconcile closed hours, each feed; exit status 1 if any does not hold."""
    _windows("hour", from_at, to_at, repair, sent, as_json)


@group.command()
def days(
    from_at: From = None,
    to_at: To = None,
    repair: Mending = True,
    sent: SentDir = None,
    as_json: AsJson = False,
) -> None:
    """Reconcile closed days, each feed; exit status 1 if any does not hold."""
    _windows("day", from_at, to_at, repair, sent, as_json)


@group.command()
def orders(
    pull: Annotated[
        bool, typer.Option("--pull/--no-pull", help="Bring the mirror up to date before.")
    ] = True,
    repair: Mending = True,
    as_json: AsJson = False,
) -> None:
    """Hold the order database against its mirror and the marts; exit status 1 if they differ."""
    from fleetflow.order_reconciliation import reconcile_orders
    from fleetflow.settings import load_settings

    _answer([reconcile_orders(load_settings(), pull=pull, repair=repair)], as_json)


@group.command()
def status(as_json: AsJson = False) -> None:
    """Show how far each feed is verified, and the windows that do not hold."""
    from fleetflow.reconciliation import open_windows, verified
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn:
        through, open_ones = verified(conn), open_windows(conn)
    if as_json:
        typer.echo(json.dumps({"verified": through, "open": open_ones}, default=str))
        return
    if not through:
        typer.echo("nothing is verified yet")
    for row in through:
        typer.echo(f"{row['feed']:<26}{row['grain']:<6}verified through {row['through']:%Y-%m-%d %H:%M} UTC")
    for window in open_ones:
        typer.echo(
            f"{window['feed']:<26}{window['grain']:<6}{window['from']:%Y-%m-%d %H:%M}  {window['verdict']}"
        )
        for difference in window["differences"][:10]:
            typer.echo(f"    {difference['cause']}: {difference['words']}")


def _windows(
    grain: str,
    from_at: datetime | None,
    to_at: datetime | None,
    repair: bool,
    sent: Path | None,
    as_json: bool,
) -> None:
    from fleetflow.faults import UserError
    from fleetflow.reconciliation import Plan, reconcile_windows
    from fleetflow.settings import load_settings

    if from_at is not None and to_at is not None and from_at >= to_at:
        raise UserError(f"--from {from_at} is not before --to {to_at}")
    plan = Plan(grain, _utc(from_at), _utc(to_at), repair, sent=sent)

    def tell(line: str) -> None:
        if not as_json:
            typer.echo(line, err=True)

    _answer(reconcile_windows(load_settings(), plan, tell=tell), as_json)


def _answer(attempts: list[Attempt], as_json: bool) -> None:
    from fleetflow.reconciliation import all_hold, summary

    if as_json:
        plain = {"holds": all_hold(attempts), **summary(attempts), "windows": [a.as_dict() for a in attempts]}
        typer.echo(json.dumps(plain))
    else:
        for line in describe_attempts(attempts):
            typer.echo(line)
    if not all_hold(attempts):
        raise typer.Exit(1)


def _utc(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def reconcile_landing(settings: Settings, sent: Path | None = None) -> list[FeedReconciliation]:
    """Reconcile everything that this place has landed."""
    import pyarrow.parquet as pq
    from psycopg import IsolationLevel

    from domain.contracts import FEEDS
    from fleetflow.runtime import connect, raw_filesystem
    from quality.reconcile import read_sent
    from quality.reconcile import reconcile as reconcile_feeds

    files = raw_filesystem(settings)

    def count_rows(key: str) -> int:
        return int(pq.read_metadata(f"{settings.raw_bucket}/{key}", filesystem=files).num_rows)

    with connect(settings.dsn("ops")) as conn:
        conn.isolation_level = IsolationLevel.REPEATABLE_READ  # a worker may land meanwhile
        return reconcile_feeds(conn, list(FEEDS), read_sent(sent or settings.sent_dir), count_rows)


def describe(results: list[FeedReconciliation]) -> list[str]:
    """Return the counts of each feed as lines of a table, faults below them."""
    columns = ("sent", "read", "landed", "rejected", "duplicate", "raw rows")
    head = f"{'feed':<26}" + "".join(f"{name:>10}" for name in columns) + "  verdict"
    lines = [head]
    for r in results:
        sent = "-" if r.sent is None else f"{r.sent:,}"
        raw = "-" if r.raw_rows is None else f"{r.raw_rows:,}"
        verdict = "adds up" if r.adds_up else "DIFFERS"
        lines.append(
            f"{r.feed:<26}{sent:>10}{r.read:>10,}{r.landed:>10,}{r.rejected_kept:>10,}{r.duplicates:>10,}{raw:>10}"
            f"  {verdict}"
        )
        lines += [f"    {fault}" for fault in r.faults]
    return lines


def describe_attempts(attempts: list[Attempt]) -> list[str]:
    """Return each window's counts and verdict as lines, with its differences, causes and repairs below."""
    if not attempts:
        return ["no closed window is due"]
    lines: list[str] = []
    for attempt in attempts:
        counts = ", ".join(
            f"{name.replace('_', ' ')} {_count(n)}" for name, n in attempt.counts.items() if n != 0
        )
        lines.append(f"{attempt.window}: {attempt.verdict.value.replace('_', ' ')}")
        lines.append(f"    {counts or 'nothing arrived'}")
        lines += [f"    {d.cause.value}: {d.words}" for d in attempt.differences]
        lines += [f"    {n.cause.value}: {n.count:,} {n.words}" for n in attempt.notes]
        lines += [f"    repair: {words}" for words in attempt.repairs]
    return lines


def _count(number: Any) -> str:
    return "not counted" if number is None else f"{number:,}"
