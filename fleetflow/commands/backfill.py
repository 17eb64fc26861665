"""`fleetflow backfill`: land, build and verify a range of history again; list, show and cancel what was asked for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.backfill import Outcome, Progress, Request
    from fleetflow.settings import Settings
    from ingestion.backfill.plan import Plan

group = typer.Typer(help="Land, build and verify a range of history again.", invoke_without_command=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_EVERY_S = 2.0


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="backfill")


@group.callback()
def backfill(
    context: typer.Context,
    feed: Annotated[str | None, typer.Option(help="The feed, for example shipment_event.")] = None,
    from_at: Annotated[
        str | None, typer.Option("--from", help="First day or instant of event time (UTC).")
    ] = None,
    to_at: Annotated[str | None, typer.Option("--to", help="Day or instant after the last (UTC).")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who asks; default: the user of this machine.")] = None,
    max_rows_per_chunk: Annotated[
        int, typer.Option(min=1, help="Rows that land and verify as one.")
    ] = 4_000_000,
    in_flight: Annotated[int, typer.Option(min=1, max=16, help="Chunks at work at once.")] = 2,
    transform: Annotated[
        bool,
        typer.Option("--transform/--wait", help="Do transform runs here, or wait for the scheduler's."),
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Land, build and verify a range again; the same command goes on where a former one ended.

    Exit status 1 if differences remain; they are named.
    """
    if context.invoked_subcommand is not None:
        return
    from fleetflow.backfill import Request
    from fleetflow.faults import UserError
    from fleetflow.settings import load_settings
    from ingestion.backfill.model import Span, parse_instant

    missing = [
        name for name, given in (("--feed", feed), ("--from", from_at), ("--to", to_at)) if given is None
    ]
    if missing or feed is None or from_at is None or to_at is None:
        raise UserError(f"{', '.join(missing)} must be given, or one of the commands list, show, cancel")
    with _explained():
        span = Span(parse_instant(from_at), parse_instant(to_at))
        request = Request(feed, span, by or _user(), max_rows_per_chunk, in_flight)
        settings = load_settings()
        if dry_run:
            _print_plan(settings, request, as_json)
            return
        outcome = _run(settings, request, transform, as_json)
    if outcome.state != "done":
        raise typer.Exit(1)


def _user() -> str:
    import getpass

    return getpass.getuser()


@contextmanager
def _explained() -> Iterator[None]:
    """Turn a fault that a user can mend into one line."""
    from fleetflow.faults import UserError
    from fleetflow.transform import TransformError
    from ingestion.backfill.model import BackfillError

    try:
        yield
    except BackfillError as fault:
        raise UserError(str(fault)) from fault
    except TransformError as fault:
        raise UserError(f"a model failed, what is queued stays pending: {fault}") from fault


def _run(settings: Settings, request: Request, transform: bool, as_json: bool) -> Outcome:
    from fleetflow.backfill import run_backfill
    from fleetflow.commands.transform import _quality_gate

    teller = _Teller()
    outcome = run_backfill(settings, request, gate=_quality_gate(settings), drive=transform, tell=teller.tell)
    facts = {"backfill_id": outcome.backfill_id, "state": outcome.state, "failures": list(outcome.failures)}
    if as_json:
        typer.echo(json.dumps(facts | _figures(outcome.progress)))
        return outcome
    typer.echo(f"backfill {outcome.backfill_id} is {outcome.state}: {_words(outcome.progress)}")
    for failure in outcome.failures:
        typer.echo(f"  {failure}", err=True)
    return outcome


class _Teller:
    """Prints progress to people: at most every two seconds, and at the end."""

    def __init__(self) -> None:
        self._told = 0.0

    def tell(self, progress: Progress) -> None:
        """Take a standing; print it if it is due."""
        now = time.monotonic()
        if now - self._told >= _EVERY_S or progress.chunks_verified == progress.chunks:
            self._told = now
            sys.stderr.write(_words(progress) + "\n")


def _figures(progress: Progress) -> dict[str, Any]:
    return asdict(progress) | {"rows_per_s": round(progress.rows_per_s), "eta_s": progress.eta_s}


def _words(progress: Progress) -> str:
    eta = (
        "" if progress.eta_s is None else f", {progress.rows_per_s:,.0f} rows/s, {progress.eta_s:.0f} s to go"
    )
    return (
        f"{progress.rows_verified:,} of {progress.rows:,} rows verified ({progress.rows_landed:,} landed),"
        f" {progress.chunks_verified} of {progress.chunks} chunks{eta}"
    )


def _print_plan(settings: Settings, request: Request, as_json: bool) -> None:
    from fleetflow.backfill import pipelines_of, plan_backfill
    from fleetflow.runtime import connect
    from ingestion.backfill.cost import estimate

    plan = plan_backfill(settings, request)
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        cost = estimate(plan, transformed=bool(pipelines_of(conn, plan.feed)))
    if as_json:
        typer.echo(
            json.dumps(
                _plan_facts(plan)
                | {"estimate": asdict(cost) | {"seconds": cost.seconds, "basis": cost.basis}},
                default=str,
            )
        )
        return
    typer.echo(
        f"{plan.feed} {plan.span.from_at:%F %T} .. {plan.span.to_at:%F %T} UTC: {plan.rows:,} rows"
        f" ({plan.rows_from('landing'):,} from landing, {plan.rows_from('lake'):,} from the lake)"
    )
    typer.echo(
        f"  {plan.batches:,} landed batches, {plan.objects:,} lake files, {plan.size_bytes:,} bytes to read"
    )
    if not plan.rows:
        typer.echo(
            "  nothing of this range has landed, nor is it in the lake: there is nothing to bring back"
        )
        return
    for chunk in plan.chunks:
        typer.echo(
            f"  chunk {chunk.number:>3}  {chunk.span.from_at:%F %T} .. {chunk.span.to_at:%F %T}"
            f"  {chunk.arm:<8}{chunk.rows:>13,} rows"
        )
    typer.echo(
        f"  about {cost.seconds:,.0f} s (copy {cost.copy_s:,.0f}, transform {cost.transform_s:,.0f}),"
        f" {cost.gets:,} S3 GETs, {cost.usd:.4f} USD; nothing was changed\n  rests on: {cost.basis}"
    )


def _plan_facts(plan: Plan) -> dict[str, Any]:
    return {
        "feed": plan.feed, "from": plan.span.from_at, "to": plan.span.to_at, "rows": plan.rows,
        "batches": plan.batches, "objects": plan.objects, "bytes": plan.size_bytes,
        "chunks": [
            {"chunk": c.number, "from": c.span.from_at, "to": c.span.to_at, "arm": c.arm, "rows": c.rows}
            for c in plan.chunks
        ],
    }  # fmt: skip


@group.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20, as_json: AsJson = False
) -> None:
    """Show the newest backfills."""
    rows = _query(
        "select b.backfill_id, b.feed, b.from_at, b.to_at, b.state, b.requested_by, b.requested_at, b.ended_at,"
        " b.reason, count(c.chunk) as chunks, count(c.chunk) filter (where c.state = 'verified') as chunks_verified,"
        " coalesce(sum(c.rows_expected), 0)::bigint as rows"
        " from ops.backfill as b left join ops.backfill_chunk as c using (backfill_id)"
        " group by b.backfill_id order by b.backfill_id desc limit %s",
        limit,
    )
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    for row in rows:
        typer.echo(
            f"{row['backfill_id']:>5}  {row['feed']:<24}{row['from_at']:%F %R} .. {row['to_at']:%F %R}"
            f"  {row['state']:<10}{row['chunks_verified']}/{row['chunks']} chunks {row['rows']:>13,} rows"
            f"  by {row['requested_by']}" + (f"  {row['reason']}" if row["reason"] else "")
        )
    if not rows:
        typer.echo("no backfills")


@group.command()
def show(backfill_id: int, as_json: AsJson = False) -> None:
    """Show the chunks of a backfill, and what is wrong with any."""
    from fleetflow.faults import UserError

    rows = _query(
        "select chunk, from_at, to_at, arm, state, rows_expected, rows_landed, repairs, content_hash, heartbeat_at,"
        " error from ops.backfill_chunk where backfill_id = %s order by chunk",
        backfill_id,
    )
    known = _query(
        "select feed, from_at, to_at, state, requested_by, requested_at, reason from ops.backfill"
        " where backfill_id = %s",
        backfill_id,
    )
    if not known:
        raise UserError(f"there is no backfill {backfill_id}; `fleetflow backfill list` shows those that are")
    if as_json:
        typer.echo(json.dumps(rows, default=str))
        return
    whole = known[0]
    typer.echo(
        f"backfill {backfill_id}: {whole['feed']} {whole['from_at']:%F %T} .. {whole['to_at']:%F %T} UTC,"
        f" {whole['state']}; asked for by {whole['requested_by']}, {whole['requested_at']:%F %R}"
        + (f"; {whole['reason']}" if whole["reason"] else "")
    )
    for row in rows:
        typer.echo(
            f"{row['chunk']:>4}  {row['from_at']:%F %T} .. {row['to_at']:%F %T}  {row['arm']:<8}{row['state']:<12}"
            f"{row['rows_landed'] or 0:>13,} of {row['rows_expected']:,} rows"
            + (f"  {row['error']}" if row["error"] else "")
        )


@group.command()
def cancel(
    backfill_id: int, reason: Annotated[str, typer.Option(help="Why; kept with the backfill.")] = "cancelled"
) -> None:
    """End a backfill that is open or failed; what it has queued is transformed yet, and harms nothing."""
    from fleetflow.faults import UserError
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion.backfill import ledger

    with connect(load_settings().dsn("loader"), autocommit=True) as conn:
        if not ledger.close(conn, backfill_id, "cancelled", reason):
            found = conn.execute(
                "select state from ops.backfill where backfill_id = %s", (backfill_id,)
            ).fetchone()
            raise UserError(
                f"backfill {backfill_id} is {found[0]}: only one that is open or failed can be cancelled"
                if found
                else f"there is no backfill {backfill_id}; `fleetflow backfill list` shows those that are"
            )
    typer.echo(f"backfill {backfill_id} is cancelled")


def _query(statement: str, value: int) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    with connect(load_settings().dsn("ops")) as conn, conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement.encode(), (value,)).fetchall()
