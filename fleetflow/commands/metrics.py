"""`fleetflow metrics`: bare, the platform's metrics for Prometheus; `list` and `query`, the metrics of the business."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

group = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group to the program."""
    app.add_typer(group, name="metrics")


@group.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Port to serve on (0: a free one).")] = 9464,
    address: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    once: Annotated[
        bool, typer.Option("--once", help="Print the metrics once instead of serving them.")
    ] = False,
    notify_every: Annotated[
        float | None, typer.Option(min=1, help="Also raise and resolve alerts, every so many seconds.")
    ] = None,
) -> None:
    """Serve Prometheus metrics of the whole platform, or ask the metrics of the business: `list`, `query`.

    With --notify-every, also watch the platform without Airflow.
    """
    if context.invoked_subcommand is not None:
        return
    from fleetflow.logs import log_to_stderr
    from fleetflow.monitoring.exporter import Exporter
    from fleetflow.settings import load_settings

    exporter = Exporter(load_settings())
    if once:
        sys.stdout.write(exporter.render())
        return
    log_to_stderr()
    served = exporter.serve(port, address)
    typer.echo(f"metrics on http://{address}:{served}/metrics", err=True)
    exporter.watch(notify_every)


@group.command("list")
def list_(as_json: AsJson = False) -> None:
    """Print every metric with its unit, its mart and what it can be asked by."""
    from fleetflow.metrics import load_metrics

    metrics = load_metrics()
    if as_json:
        typer.echo(json.dumps([asdict(metric) for metric in metrics.values()]))
        return
    for metric in metrics.values():
        over = f" over marts.{metric.over.model}" if metric.over else ""
        typer.echo(f"{metric.name}  ({metric.unit}; marts.{metric.model}{over})")
        typer.echo(f"  {metric.label}: {metric.description}")
        typer.echo(f"  by {', '.join(metric.dimensions)}; day, week, month of {metric.time}")


@group.command()
def query(
    name: Annotated[str, typer.Argument(help="The metric.")],
    tenant: Annotated[str, typer.Option(help="Whose figures.")],
    by: Annotated[
        list[str] | None, typer.Option(help="Dimension, or day, week or month; may be repeated.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a dimension; may be repeated, and all must hold.")
    ] = None,
    from_day: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="From this day on.")
    ] = None,
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="To this day, included.")
    ] = None,
    show_sql: Annotated[
        bool, typer.Option("--sql", help="Print the statement instead of running it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask a metric with an analyst's rights."""
    from fleetflow.metrics import Question, ask, compile_metric, find, load_metrics, parse_members
    from fleetflow.runtime import connect
    from fleetflow.settings import load_settings

    metric = find(load_metrics(), name)
    question = Question(
        tuple(by or ()),
        parse_members(where or []),
        from_day.date() if from_day else None,
        to_day.date() if to_day else None,
    )
    if show_sql:
        statement, parameters = compile_metric(metric, question)
        typer.echo(statement.as_string())
        for key, value in parameters.items():
            typer.echo(f"-- {key}: {value}")
        return
    with connect(load_settings().dsn("analyst"), autocommit=True) as conn:
        answer = ask(conn, tenant, metric, question)
    rows = answer.as_dicts()
    if as_json:
        typer.echo(json.dumps({"metric": metric.name, "unit": metric.unit, "rows": rows}))
        return
    typer.echo(f"{metric.label} ({metric.unit})")
    shown = [answer.columns, *(tuple(_cell(row[column]) for column in answer.columns) for row in rows)]
    widths = [max(len(row[i]) for row in shown) for i in range(len(answer.columns))]
    for row in shown:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "n/a"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
