"""`fleetflow transform`: bring the marts up to date with what has landed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fleetflow.settings import Settings
    from fleetflow.transform import Gate, Outcome, Run

_BUSY_S = 120.0


class Pipeline(StrEnum):
    """The pipelines of the ledger that make tables of the warehouse."""

    SHIPMENTS = "shipments"
    VEHICLES = "vehicles"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("transform")(transform)


def transform(
    pipeline: Annotated[
        Pipeline, typer.Option(help="Which tables: those of shipments, or those of vehicles and drivers.")
    ] = Pipeline.SHIPMENTS,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Make every mart anew, and judge every event again.")
    ] = False,
    until_empty: Annotated[
        bool, typer.Option("--until-empty/--once", help="Go on until nothing is pending, or do one run.")
    ] = True,
    gated: Annotated[
        bool, typer.Option("--gate/--no-gate", help="Check the claimed batches before they are used.")
    ] = True,
    release_held: Annotated[
        bool, typer.Option("--release-held", help="Take the batches again that the gate has held.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
) -> None:
    """Transform what has landed: claim, gate, fold, build, mark. Exit status 1 if a run was held."""
    from fleetflow.settings import load_settings

    settings = load_settings()
    if release_held:
        _release(settings, pipeline)
    gate = _quality_gate(settings, pipeline) if gated else None
    outcomes = []
    for outcome in _runs(settings, pipeline, gate, full_refresh, until_empty):
        outcomes.append(outcome)
        _tell(f"run {outcome.run.run_id}: {outcome.state}, {sum(outcome.seconds.values()):.1f} s")
    if as_json:
        typer.echo(json.dumps([_facts(outcome) for outcome in outcomes]))
    else:
        typer.echo(_summary(outcomes))
    if any(outcome.state == "held" for outcome in outcomes):
        raise typer.Exit(1)


def _runs(
    settings: Settings, pipeline: Pipeline, gate: Gate | None, full_refresh: bool, until_empty: bool
) -> Iterator[Outcome]:
    from fleetflow.faults import UserError
    from fleetflow.transform import PipelineBusyError, TransformError, run_pipeline
    from fleetflow.vehicles.run import run_vehicles

    def run() -> Outcome | None:
        if pipeline is Pipeline.VEHICLES:
            return run_vehicles(settings, gate, full_refresh=full_refresh, watch=_progress, tell=_tell)
        return run_pipeline(settings, gate, full_refresh=full_refresh, watch=_progress)

    while True:
        _wait_for_turn(settings, pipeline)
        try:
            outcome = run()
        except PipelineBusyError:
            continue  # the scheduler was faster
        except TransformError as fault:
            raise UserError(f"a model failed, its batches stay pending: {fault}") from fault
        if outcome is None:
            return
        yield outcome
        full_refresh = False
        if not until_empty:
            return


def _wait_for_turn(settings: Settings, pipeline: Pipeline) -> None:
    """Wait while another run, of the scheduler for instance, holds the pipeline."""
    from fleetflow.faults import UserError
    from fleetflow.runtime import connect
    from fleetflow.transform import STALE_S

    give_up = time.monotonic() + _BUSY_S
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        while holder := conn.execute(
            "select claimed_by from ops.transform_run where pipeline = %s and state = 'claimed'"
            " and heartbeat_at >= clock_timestamp() - make_interval(secs => %s)",
            (pipeline.value, STALE_S),
        ).fetchone():
            if time.monotonic() > give_up:
                raise UserError(f"pipeline {pipeline.value} is held by {holder[0]}, try again later")
            _tell(f"waiting for {holder[0]}, which holds the pipeline")
            time.sleep(1)


def _release(settings: Settings, pipeline: Pipeline) -> None:
    from fleetflow.runtime import connect
    from fleetflow.transform import release

    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        _tell(f"released {release(conn, pipeline.value)} held batches")


def _quality_gate(settings: Settings, pipeline: Pipeline = Pipeline.SHIPMENTS) -> Gate:
    from fleetflow.vehicles.run import GATE

    suite = GATE if pipeline is Pipeline.VEHICLES else "gate"

    def judge(run: Run) -> str | None:
        if run.batches == 0:
            return None
        from quality.runner import run_suite

        report = run_suite(settings.dsn("transformer"), suite, run_id=run.run_id)
        return None if report.passed else report.summary()

    return judge


def _progress(model: str, seconds: float) -> None:
    _tell(f"  {model} {seconds:.1f} s")


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        typer.echo(line, err=True)


def _facts(outcome: Outcome) -> dict[str, Any]:
    return {
        "run_id": str(outcome.run.run_id),
        "state": outcome.state,
        "batches": outcome.run.batches,
        "events": outcome.run.events,
        "seconds": {step: round(value, 3) for step, value in outcome.seconds.items()},
        "freshness_s": {
            "p50": outcome.freshness.p50_s,
            "p95": outcome.freshness.p95_s,
            "p99": outcome.freshness.p99_s,
        },
        "reason": outcome.reason,
    }


def _summary(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return "nothing is pending; the marts are up to date"
    batches = sum(outcome.run.batches for outcome in outcomes)
    events = sum(outcome.run.events for outcome in outcomes)
    seconds = sum(sum(outcome.seconds.values()) for outcome in outcomes)
    held = [f"run {o.run.run_id} is held: {o.reason}" for o in outcomes if o.state == "held"]
    runs = "1 run" if len(outcomes) == 1 else f"{len(outcomes)} runs"
    done = f"transformed {events:,} rows of {batches:,} batches in {runs}, {seconds:.1f} s"
    return "; ".join([done, *held])
