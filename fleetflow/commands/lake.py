"""`fleetflow lake`: compact what landed, maintain the tables, query them, say how they stand."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pyarrow as pa

    from fleetflow.lake import FeedStatus, Round
    from ingestion.lake.maintain import Maintained

group = typer.Typer(
    name="lake", help="The lake: Iceberg tables of what landed, by day.", no_args_is_help=True
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
_WIDEST = 48


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group)


@group.command()
def compact(
    row_limit: Annotated[int, typer.Option(min=1, help="Rows of one claim, at most.")] = 4_000_000,
    as_json: AsJson = False,
) -> None:
    """Take what waits into the tables, claim after claim; exit status 1 if a raw object could not be read."""
    from fleetflow.lake import compact as run
    from fleetflow.settings import load_settings

    left_out, rounds = 0, 0
    with _explained():
        for done in run(load_settings(), row_limit=row_limit):
            rounds += 1
            left_out = sum(len(result.left_out) for result in done.feeds)
            for line in round_facts(done) if as_json else round_lines(done):
                typer.echo(json.dumps(line) if as_json else line)
    if not rounds and not as_json:
        typer.echo("nothing waits; the lake is up to date")
    if left_out:
        raise typer.Exit(1)


@group.command()
def maintain(as_json: AsJson = False) -> None:
    """Merge the small files of closed days, expire old snapshots, remove files that no snapshot names."""
    from fleetflow.lake import maintain_lake
    from fleetflow.settings import load_settings

    with _explained():
        for done in maintain_lake(load_settings()):
            facts = asdict(done) | {"merged": [day.isoformat() for day in done.merged]}
            typer.echo(json.dumps(facts) if as_json else _maintained(done))


@group.command()
def status(as_json: AsJson = False) -> None:
    """Show each table's rows, files and days, its newest snapshot, and what waits to come in."""
    from fleetflow.lake import lake_status
    from fleetflow.settings import load_settings

    with _explained():
        found = lake_status(load_settings())
    for line in map(json.dumps, map(asdict, found)) if as_json else status_lines(found):
        typer.echo(line)


@group.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT; a table is named as its feed.")],
    at: Annotated[
        str | None,
        typer.Option(help="Read the tables as they were: a snapshot's id, or a time (ISO 8601, UTC)."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds the query may take.")] = 300.0,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
) -> None:
    """Run SQL over the tables with DuckDB; nothing can be written."""
    from fleetflow.faults import UserError
    from fleetflow.lake import open_lake
    from fleetflow.settings import load_settings
    from ingestion.lake.query import run_query

    if as_json and as_csv:
        raise UserError("--json and --csv exclude each other: choose one")
    lake = open_lake(load_settings(), "ops")
    with _explained(), run_query(lake, query, moment(at), timeout) as rows:
        for line in _as_json(rows) if as_json else _as_csv(rows) if as_csv else _as_table(rows):
            typer.echo(line)


def moment(at: str | None) -> int | datetime | None:
    """Read what `--at` says: a snapshot's id or an instant; without a zone it is UTC.

    Raises:
        UserError: it is neither.
    """
    from fleetflow.faults import UserError

    if at is None:
        return None
    if at.isdecimal() and len(at) > 8:
        return int(at)
    try:
        read = datetime.fromisoformat(at)
    except ValueError as fault:
        raise UserError(
            f"--at {at!r} is neither a snapshot's id nor a time such as 2026-03-10T06:00"
        ) from fault
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a fault that a user can mend into one line."""
    from fleetflow.faults import UserError
    from fleetflow.transform import PipelineBusyError
    from ingestion.lake.query import QueryError, QueryTimeoutError
    from ingestion.lake.schema import LakeSchemaError

    try:
        yield
    except PipelineBusyError as busy:
        raise UserError(f"{busy}: it takes in what waits; try again when it is done") from busy
    except (QueryError, QueryTimeoutError, LakeSchemaError) as fault:
        raise UserError(str(fault)) from fault


def round_facts(done: Round) -> Iterator[dict[str, Any]]:
    """Yield what became of each feed in a claim."""
    for result in done.feeds:
        intake = result.intake
        yield {
            "run_id": str(done.run_id),
            "feed": intake.feed,
            "batches": len(intake.batch_ids),
            "rows_read": intake.rows_read,
            "rows_added": intake.rows_added,
            "rows_repeated": intake.rows_read - intake.rows_added,
            "days": intake.days,
            "files": result.files,
            "size_bytes": result.size_bytes,
            "snapshot_id": result.snapshot_id,
            "seconds": round(intake.seconds, 3),
            "left_out": [{"batch_id": one.batch.batch_id, "reason": one.reason} for one in result.left_out],
        }


def round_lines(done: Round) -> Iterator[str]:
    """Yield one line a feed, and one for each batch that could not be read."""
    for feed in done.settled:
        yield f"{feed}: settled a commit whose run had died"
    for facts in round_facts(done):
        yield (
            f"{facts['feed']}: {facts['rows_read']:,} rows of {facts['batches']:,} batches,"
            f" {facts['rows_added']:,} added on {facts['days']} days in {facts['files']} files,"
            f" {facts['rows_repeated']:,} repeats, {facts['seconds']:.1f} s"
        )
        for left in facts["left_out"]:
            yield f"{facts['feed']}: batch {left['batch_id']} waits: {left['reason']}"


def _maintained(done: Maintained) -> str:
    merged = (
        f"{len(done.merged)} days merged from {done.files_before} to {done.files_after} files"
        if done.merged
        else "no day to merge"
    )
    return f"{done.feed}: {merged}, {done.snapshots_expired} snapshots expired, {done.orphans_removed} files removed"


def status_lines(found: list[FeedStatus]) -> Iterator[str]:
    """Yield the lines of a table, one a feed."""
    yield (
        f"{'feed':<26}{'rows':>14}{'days':>6}{'files':>7}{'MiB':>10}  {'newest snapshot':<20}"
        f"{'waiting':>9}{'rows':>12}{'oldest':>9}"
    )
    for feed in found:
        made = "-" if feed.snapshot_at is None else feed.snapshot_at[:19]
        age = "-" if feed.oldest_waiting_s is None else f"{feed.oldest_waiting_s:.0f} s"
        yield (
            f"{feed.feed:<26}{feed.rows:>14,}{feed.days:>6}{feed.files:>7}{feed.size_bytes / 2**20:>10,.1f}"
            f"  {made:<20}{feed.waiting_batches:>9,}{feed.waiting_rows:>12,}{age:>9}"
        )


def _as_json(rows: pa.RecordBatchReader) -> Iterator[str]:
    for batch in rows:
        for row in batch.to_pylist():
            yield json.dumps(row, default=_plain)


def _as_csv(rows: pa.RecordBatchReader) -> Iterator[str]:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows.schema.names)
    for batch in rows:
        writer.writerows([_cell(value, "") for value in row.values()] for row in batch.to_pylist())
    yield from ()


def _as_table(rows: pa.RecordBatchReader) -> Iterator[str]:
    """Yield aligned columns; a batch at a time, so that a long result is not held."""
    names, counted = rows.schema.names, 0
    for batch in rows:
        cells = [[_cell(value, "null")[:_WIDEST] for value in row.values()] for row in batch.to_pylist()]
        widths = (
            [max(len(names[i]), *(len(row[i]) for row in cells)) for i in range(len(names))] if cells else []
        )
        if cells and not counted:
            yield "  ".join(name.ljust(width) for name, width in zip(names, widths, strict=True)).rstrip()
        for row in cells:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        counted += len(cells)
    yield f"({counted:,} {'row' if counted == 1 else 'rows'})"


def _cell(value: Any, none: str) -> str:
    return none if value is None else str(_plain(value) if isinstance(value, datetime) else value)


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
