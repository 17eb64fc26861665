"""`fleetflow report`: build the morning SLA report, put it on disk and into the report bucket."""

from __future__ import annotations

import json
import sys
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from serving.report import MorningReport, Published

DUE_AT = time(6, tzinfo=UTC)


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("report")(report)


def report(
    tenant: Annotated[str, typer.Option(help="Whose report.")] = "acme",
    day: Annotated[
        str | None, typer.Option("--date", help="Day reported on, YYYY-MM-DD in UTC; default yesterday.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the morning SLA report to <home>/reports and to the bucket; the same day overwrites."""
    from fleetflow.settings import load_settings
    from serving.report import judge

    built, published = _publish(load_settings(), tenant, moment(day, datetime.now(UTC)))
    verdict = judge(built)
    _say(
        {
            "tenant": built.tenant,
            "report_date": built.report_date.isoformat(),
            "as_of": built.as_of.isoformat(),
            "standing": verdict.standing.value,
            "verdict": verdict.line,
            "due": built.headline.due,
            "on_time": built.headline.on_time,
            "on_time_share": built.headline.on_time_share,
            "target_share": built.headline.target_share,
            "share_7d": built.headline.share_7d,
            "at_risk": built.risks.total,
            "path": str(published.path),
            "uri": published.uri,
            "files": [str(path) for path in published.files],
        },
        as_json=as_json,
    )


def _publish(settings: Settings, tenant: str, as_of: datetime) -> tuple[MorningReport, Published]:
    import psycopg.errors

    from fleetflow.faults import UserError
    from fleetflow.runtime import client, connect
    from serving.report import build_report, publish

    if not tenant.strip():
        raise UserError("--tenant is empty")
    try:
        with connect(settings.dsn("ops")) as conn:
            built = build_report(conn, tenant, as_of)
        target = settings.home / "reports"
        return built, publish(built, target, client(settings, "s3"), settings.report_bucket)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as missing:
        reason = str(missing).splitlines()[0]
        raise UserError(f"the marts are not built: {reason} (`fleetflow transform` builds them)") from None
    except OSError as fault:
        raise UserError(f"the report cannot be written: {fault}") from fault


def moment(day: str | None, now: datetime) -> datetime:
    """Return the moment a day's report speaks from: now for yesterday, 06:00 UTC of the morning after for older days.

    Raises:
        UserError: the day cannot be read, or is not over yet.
    """
    from fleetflow.faults import UserError

    if day is None:
        return now
    try:
        wanted = date.fromisoformat(day)
    except ValueError:
        raise UserError(f"--date {day!r} is not a day; write YYYY-MM-DD") from None
    yesterday = now.date() - timedelta(days=1)
    if wanted > yesterday:
        raise UserError(f"--date {day} is not over yet in UTC; the last full day is {yesterday.isoformat()}")
    return now if wanted == yesterday else datetime.combine(wanted + timedelta(days=1), DUE_AT)


def _say(result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    sys.stdout.write(f"{result['verdict']}\n{result['path']}\n{result['uri']}\n")
