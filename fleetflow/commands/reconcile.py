"""`fleetflow reconcile`: does everything that was sent stand somewhere, once?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from quality.reconcile import FeedReconciliation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(
    sent: Annotated[
        Path | None,
        typer.Option(help="Directory of senders' truth files; default the one of this state directory."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold senders, ledger, landing, rejects and raw objects against each other; exit status 1 if they differ."""
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
