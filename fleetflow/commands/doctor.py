"""`fleetflow doctor`: what is wrong, since when, and what to read; bare `fleetflow metrics` says it to Prometheus."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.monitoring.model import Finding, Look

_LEVELS = {"error": "ERROR", "warn": "warn "}


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(doctor)


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Say also what is fine.")] = False,
    notify: Annotated[
        bool,
        typer.Option("--notify", help="Raise and resolve alerts by what is found, as the health check does."),
    ] = False,
    patience: Annotated[
        float, typer.Option(min=0.5, max=60, help="Seconds given to what does not answer at once.")
    ] = 2.5,
) -> None:
    """Say what is wrong with the running system, since when, and which runbook helps.

    Exit status 0: nothing; 1: there are findings; 2: it cannot look (no settings).
    """
    from fleetflow.faults import UserError
    from fleetflow.monitoring.alerts import look_and_tell, read_seen
    from fleetflow.monitoring.judge import find_faults
    from fleetflow.monitoring.measure import take_look
    from fleetflow.settings import load_settings

    settings = load_settings()
    if "ops" not in settings.warehouse:
        raise UserError(
            f"nothing to look at: FLEETFLOW_OPS_DSN is not set (looked in the environment and"
            f" {settings.home / 'stack.env'}); `fleetflow up` starts a stack here"
        )
    look = take_look(settings, deadline_s=patience)
    findings = find_faults(look, read_seen(settings, look))
    told = look_and_tell(settings, "doctor", look) if notify else None
    if as_json:
        typer.echo(json.dumps(_as_json(look, findings, told), indent=1, default=str))
    else:
        _print(look, findings, everything)
        if told:
            typer.echo(f"alerts: {told}")
    if any(finding.standing for finding in findings):
        raise typer.Exit(1)


def _print(look: Look, findings: list[Finding], everything: bool) -> None:
    from fleetflow.monitoring.judge import span, summary

    for finding in findings:
        level = _LEVELS[finding.severity] if finding.standing else "new  "
        age = span((look.at - finding.since).total_seconds())
        typer.echo(f"{level}  {finding.words}")
        typer.echo(
            f"       {finding.signal.name}, since {finding.since:%F %T} UTC ({age}): {finding.signal.runbook}"
        )
    unwatched = sorted({m.unwatched for m in look.measured.values() if m.unwatched})
    if everything:
        _print_fine(look, findings)
    for why in unwatched:
        names = ", ".join(m.signal.name for m in look.measured.values() if m.unwatched == why)
        typer.echo(f"not watched: {names} ({why})")
    counts = summary(findings)
    fresh = sum(not finding.standing for finding in findings)
    words = f"{counts['error']} errors, {counts['warn']} warnings" + (
        f", {fresh} too new to tell" if fresh else ""
    )
    verdict = "healthy" if not any(counts.values()) else "not healthy"
    typer.echo(f"{verdict}: {words}; {len(look.measured)} signals in {look.seconds:.1f} s")


def _print_fine(look: Look, findings: list[Finding]) -> None:
    from fleetflow.monitoring.judge import amount

    ill = {finding.signal.name for finding in findings}
    for name, measured in look.measured.items():
        if name in ill or measured.unwatched:
            continue
        if measured.fault:
            typer.echo(f"?      {name}: not measured, {measured.fault}")
        elif measured.readings:
            worst = max(measured.readings, key=lambda reading: reading.value)
            limit = amount(measured.signal.unit, measured.signal.levels[0].above)
            where = f" ({'/'.join(worst.labels)})" if worst.labels else ""
            typer.echo(f"ok     {name}: {amount(measured.signal.unit, worst.value)}{where}, limit {limit}")
        else:
            typer.echo(f"ok     {name}: nothing there")


def _as_json(look: Look, findings: list[Finding], told: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "at": look.at,
        "seconds": round(look.seconds, 3),
        "healthy": not any(finding.standing for finding in findings),
        "findings": [
            {
                "signal": f.signal.name,
                "subject": f.subject,
                "labels": dict(zip(f.signal.labels, f.labels, strict=True)),
                "severity": f.severity,
                "value": f.value,
                "unit": f.signal.unit,
                "since": f.since,
                "standing": f.standing,
                "words": f.words,
                "runbook": f.signal.runbook,
            }
            for f in findings
        ],
        "not_measured": {n: m.fault for n, m in look.measured.items() if m.fault},
        "not_watched": {n: m.unwatched for n, m in look.measured.items() if m.unwatched},
        "alerts": asdict(told) if told else None,
    }
