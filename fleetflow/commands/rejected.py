"""`fleetflow rejected`: what was refused, and replaying it after a fix."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

group = typer.Typer(help="Refused events: list, show, replay.", no_args_is_help=True)

Feed = Annotated[str | None, typer.Option(help="Only this feed.")]
RuleName = Annotated[str | None, typer.Option(help="Only this rule, for example out_of_range.")]
Since = Annotated[datetime | None, typer.Option(help="Refused at or after this time (UTC).")]
Until = Annotated[datetime | None, typer.Option(help="Refused before this time (UTC).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="rejected")


@group.command("list")
def list_(
    feed: Feed = None,
    rule: RuleName = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str, typer.Option(help="open, replayed or all.")] = "open",
    limit: Annotated[int, typer.Option(min=0, help="How many single rejects to show below the counts.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Count the rejects by feed and rule, and show the newest."""
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion.landing.rejected import RejectFilter, count_rejects, list_rejects

    which = RejectFilter(feed, rule, _utc(since), _utc(until), None if state == "all" else state)
    with connect(load_settings().dsn("ops")) as conn:
        counts = count_rejects(conn, which)
        newest = list_rejects(conn, which, limit)
    if as_json:
        keys = ("feed", "rule", "state", "count", "first", "last")
        rejects = [{**vars(r), "raw": r.raw.decode(errors="replace")} for r in newest]
        typer.echo(
            json.dumps(
                {"counts": [dict(zip(keys, c, strict=True)) for c in counts], "rejects": rejects}, default=str
            )
        )
        return
    if not counts:
        typer.echo("no rejects")
    for feed_name, rule_name, state_name, count, first, last in counts:
        typer.echo(
            f"{count:>9,}  {feed_name:<24} {rule_name:<24} {state_name:<9} {first:%F %T} .. {last:%F %T}"
        )
    for r in newest:
        typer.echo(f"  #{r.reject_id} {r.feed} {r.rule}: {r.detail[:90]}")


@group.command()
def show(reject_id: int, as_json: AsJson = False) -> None:
    """Show one reject: rule, place in the stream, raw bytes."""
    from fleetflow.faults import UserError
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings
    from ingestion.landing.rejected import RejectFilter, list_rejects

    with connect(load_settings().dsn("ops")) as conn:
        found = list_rejects(conn, RejectFilter(state=None, reject_id=reject_id), 1)
    if not found:
        raise UserError(f"there is no reject {reject_id}")
    facts = {**vars(found[0]), "raw": found[0].raw.decode(errors="backslashreplace")}
    if as_json:
        typer.echo(json.dumps(facts, default=str))
        return
    for key, value in facts.items():
        typer.echo(f"{key:>16}  {value}")


@group.command()
def replay(
    feed: Feed = None,
    rule: RuleName = None,
    since: Since = None,
    until: Until = None,
    reject_id: Annotated[int | None, typer.Option("--id", help="Only this reject.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try open rejects against today's contracts; what passes lands, once."""
    from fleetflow.landing import feeds_of
    from fleetflow.runtime import client, connect
    from fleetflow.settings import load_settings
    from ingestion.landing import rejected
    from ingestion.landing.ledger import Ledger
    from ingestion.landing.raw_object import put_object

    settings = load_settings()
    s3 = client(settings, "s3")
    which = rejected.RejectFilter(feed, rule, _utc(since), _utc(until), "open", reject_id)
    ledger = Ledger(settings.dsn("loader"))
    try:
        with connect(settings.dsn("loader")) as conn:
            done = rejected.replay(
                ledger,
                conn,
                which,
                feeds_of(settings),
                lambda key, body: put_object(s3, settings.raw_bucket, key, body),
                "replay",
            )
    finally:
        ledger.close()
    if as_json:
        typer.echo(json.dumps({"tried": done.tried, "landed": done.landed, "refused": dict(done.refused)}))
        return
    typer.echo(f"tried {done.tried:,}, landed {done.landed:,}, still refused {sum(done.refused.values()):,}")
    for rule_name, count in sorted(done.refused.items()):
        typer.echo(f"{count:>9,}  {rule_name}")


def _utc(at: datetime | None) -> datetime | None:
    from datetime import UTC

    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at
