"""Runs the main job on the embedded stack: fleet, streams, partner files, Airflow, warehouse, lake, checks, report.

Own state directory below the home, emptied at the start; `make up`'s stack is not touched. It ends with a verdict:
every count adds up and every DAG run succeeded, or what did not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fleetflow.demo import batch
from fleetflow.demo.measure import measure
from fleetflow.demo.recall import Score
from fleetflow.faults import UserError
from fleetflow.freshness import Percentiles, landing_freshness, marts_freshness
from fleetflow.local import stack
from fleetflow.local.airflow_api import AirflowApi, DagRun
from fleetflow.local.state import FILE, load
from fleetflow.runtime import Connection, client, connect
from fleetflow.settings import Settings

if TYPE_CHECKING:
    from fleetflow.simulator.fleet import Fleet
    from fleetflow.simulator.partners import FleetFacts, PartnerTruth
    from fleetflow.simulator.plan import SimulationPlan
    from fleetflow.simulator.run import Progress
    from quality.reconcile import FeedReconciliation

CDC, MICROBATCH = "load__orders__cdc", "transform__shipments__microbatch"
VEHICLES, SERVICES = "transform__vehicles__hourly", "plan__maintenance__nightly"
MARK = "demo-home"
# A run that takes longer hangs, on a busy machine as well.
DAG_RUN_S = 300
# A shard takes 1 MB/s: the vehicles' past is some 45 MB of frames.
SHARDS = stack.Shards(telemetry=4)
LAKE = "maintain__lake__hourly"
UPKEEP = ("maintain__retention__daily",)
CLOSING_DAGS = ("check__feeds__nightly", "check__marts__nightly", "report__sla__morning")


@dataclass(frozen=True)
class DemoPlan:
    """How much of everything: live events a second, seconds of it, past shipments a day."""

    rate: float = 1500.0
    seconds: float = 60.0
    history_days: int = 8
    history_shipments: int = 600
    open_shipments: int = 2500
    telemetry_vehicles: int = 24
    telemetry_days: int = 3
    seed: int = 7
    tenant: str = "acme"


@dataclass(frozen=True)
class SlaLine:
    """One line of the morning's table."""

    dimension: str
    member: str
    due: int
    on_time: int
    late: int
    still_open: int
    on_time_share: float | None
    target_share: float | None


@dataclass(frozen=True)
class Outcome:
    """What came of the run; `faults` is empty when everything is right."""

    seconds: float
    feeds: Sequence[FeedReconciliation]
    files: Sequence[batch.FileLine]
    lake: Sequence[batch.LakeLine]
    windows: Sequence[batch.WindowLine]
    marts: Percentiles
    landing: Percentiles
    sla: Sequence[SlaLine]
    runs: Sequence[DagRun]
    marts_rows: int
    checks_failed: int
    checks: int
    report: Path | None
    report_uri: str | None
    docs: Path
    recall: Sequence[tuple[str, Score]]
    faults: Sequence[str]


Tell = Callable[[str, str], None]


class Demo:
    """One run of the main job. `tell(step, detail)` is called as it goes."""

    def __init__(self, home: Path, plan: DemoPlan, tell: Tell) -> None:
        self.home = home
        self.plan = plan
        self._tell = tell
        self._started = time.monotonic()

    def run(self) -> Outcome:
        """Run it, and stop what was started whatever happens.

        Raises:
            StackError: a part did not start, or a DAG run did not end in time.
        """
        empty_home(self.home)
        try:
            self._tell("stack", "starting Postgres, the AWS stand-in, Airflow and a landing worker")
            settings = stack.up(self.home, stack.PARTS, SHARDS, say=lambda line: self._tell("stack", line))
            api = AirflowApi(self.home, load(self.home).ports["airflow"])
            plan, fleet = self._fleet()
            facts, truth = self._drop_files(fleet)
            loads = [api.trigger(batch.partner_dag(partner), {"wait": False}) for partner in batch.PARTNERS]
            sent = self._stream(settings, plan, fleet)
            self._await_landing(settings, sent)
            truth = self._correct_files(api, loads, facts, truth)
            self._close(settings, api)
            return self._outcome(settings, api, truth)
        finally:
            self._tell("stop", "stopping the stack")
            stack.down(self.home)

    def _fleet(self) -> tuple[SimulationPlan, Fleet]:
        from fleetflow.simulator.fleet import build_fleet
        from fleetflow.simulator.plan import USUAL_FAULTS, SimulationPlan

        plan = SimulationPlan(
            start=datetime.now(UTC), seed=self.plan.seed, tenant=self.plan.tenant, rate=self.plan.rate,
            seconds=self.plan.seconds, history_days=self.plan.history_days,
            history_shipments=self.plan.history_shipments, shipments=self.plan.open_shipments,
            telemetry_vehicles=self.plan.telemetry_vehicles, telemetry_days=self.plan.telemetry_days,
            faults=USUAL_FAULTS,
        )  # fmt: skip
        return plan, build_fleet(plan)

    def _drop_files(self, fleet: Fleet) -> tuple[FleetFacts, PartnerTruth]:
        from fleetflow.simulator.partners import drop_files, facts_of

        facts = facts_of(fleet)
        truth = drop_files(self.home, facts, self.plan.seed, waves=(1,))
        self._tell("partners", f"{len(truth.files)} files put on the SFTP server")
        return facts, truth

    def _correct_files(
        self, api: AirflowApi, loads: Sequence[DagRun], facts: FleetFacts, truth: PartnerTruth
    ) -> PartnerTruth:
        """Wait for the first loads; then a partner corrects a file, and is loaded again."""
        from fleetflow.simulator.partners import drop_files

        for run in loads:
            self._tell("partners", f"{run.dag_id}: loading")
            api.wait(run, DAG_RUN_S)
        truth = drop_files(self.home, facts, self.plan.seed, waves=(2,), said=truth)
        self._run_dag(api, batch.partner_dag(batch.CORRECTING), {"wait": False}, step="partners")
        return truth

    def _stream(self, settings: Settings, plan: SimulationPlan, fleet: Fleet) -> int:
        from fleetflow.simulator.orders import fill
        from fleetflow.simulator.run import run_simulation
        from fleetflow.simulator.sinks import Streams
        from ingestion.streams.producer import Producer

        kinesis = client(settings, "kinesis", max_attempts=1)
        with (
            connect(settings.orders_dsn.reveal(), autocommit=True) as orders,
            Producer(kinesis, settings.gps_stream, self.home / "spool") as gps,
            Producer(kinesis, settings.status_stream, self.home / "spool") as status,
            Producer(kinesis, settings.telemetry_stream, self.home / "spool") as telemetry,
        ):
            self._tell("stream", "filling the order database")
            fill(orders, fleet)
            streams = Streams(gps, status, telemetry)
            truth = run_simulation(plan, orders, streams, self.home, self._show_stream, fleet=fleet)
        return truth.sent

    def _show_stream(self, progress: Progress) -> None:
        rate = f", {progress.rate:,.0f}/s" if progress.rate else ""
        self._tell("stream", f"{progress.phase}: {progress.sent:,} of {progress.total:,}{rate}")

    def _await_landing(self, settings: Settings, sent: int, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            while (
                read := _number(
                    conn, "select coalesce(sum(events_read), 0) from ops.batch where source = 'stream'"
                )
            ) < sent:
                self._tell("land", f"{read:,} of {sent:,} events landed")
                if time.monotonic() > deadline:
                    return  # the reconciliation says what is missing
                time.sleep(0.3)
        self._tell("land", f"{read:,} of {sent:,} events landed")

    def _close(self, settings: Settings, api: AirflowApi) -> None:
        """Pull the last order changes, transform what is left, compact, reconcile, check, report, keep the house."""
        self._run_dag(api, CDC)
        deadline = time.monotonic() + 90
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            pending = "select count(*) from ops.pending_batch where pipeline = 'shipments'"
            while (left := _number(conn, pending)) and time.monotonic() < deadline:
                self._tell("transform", f"{left} batches wait for the micro-batch")
                self._run_dag(api, MICROBATCH)
        self._transform_vehicles(settings, api)
        self._run_dag(api, LAKE)
        self._tell("reconcile", "counting every arm, hour by hour")
        batch.reconcile_this_hour(settings)
        upkeep = [api.trigger(dag_id) for dag_id in UPKEEP]
        for dag_id in CLOSING_DAGS:
            self._run_dag(api, dag_id)
        for run in upkeep:
            api.wait(run, DAG_RUN_S)

    def _transform_vehicles(self, settings: Settings, api: AirflowApi) -> None:
        """Follow the vehicles and drivers as well: what came by stream and by file."""
        pending = "select count(*) from ops.pending_batch where pipeline = 'vehicles'"
        with connect(settings.dsn("ops"), autocommit=True) as conn:
            if left := _number(conn, pending):
                self._tell("vehicles", f"{left} batches wait")
                self._run_dag(api, VEHICLES, step="vehicles")
                self._run_dag(api, SERVICES, step="vehicles")

    def _run_dag(
        self,
        api: AirflowApi,
        dag_id: str,
        conf: dict[str, object] | None = None,
        step: str = "airflow",
    ) -> None:
        self._tell(step, f"{dag_id}: running")
        run = api.wait(api.trigger(dag_id, conf), DAG_RUN_S)
        self._tell(step, f"{dag_id}: {run.state}")

    def _outcome(self, settings: Settings, api: AirflowApi, truth: PartnerTruth) -> Outcome:
        from fleetflow.commands.reconcile import reconcile_landing

        self._tell("reconcile", "counting every arm")
        feeds = reconcile_landing(settings)
        runs = [run for run in api.runs() if run.ended or run.state == "running"]
        with connect(settings.dsn("ops")) as conn:
            pending = _number(conn, "select count(*) from ops.pending_batch")
            checks, failed, blocking = (
                _number(conn, f"select count(*) from ops.check_result{where}")
                for where in ("", " where not passed", " where not passed and severity = 'error'")
            )
            outcome = Outcome(
                seconds=time.monotonic() - self._started,
                feeds=feeds,
                files=batch.read_files(conn),
                lake=batch.read_lake(conn),
                windows=batch.read_windows(conn),
                marts=marts_freshness(conn),
                landing=landing_freshness(conn),
                sla=read_sla(conn, self.plan.tenant),
                runs=runs,
                marts_rows=_number(conn, "select count(*) from marts.fct_shipment"),
                checks=checks,
                checks_failed=failed,
                report=newest_report(self.home),
                report_uri=_report_uri(settings),
                docs=self.home / "data_docs" / "nightly" / "index.html",
                recall=measure(settings, settings.sent_dir) if self.plan.telemetry_vehicles else [],
                faults=[],
            )
            faults = _faults(outcome, pending, blocking)
            faults += batch.faults_of_files(outcome.files, truth)
            faults += batch.faults_of_lake(outcome.lake, conn)
        return Outcome(**{**vars(outcome), "faults": faults})


def empty_home(home: Path) -> None:
    """Stop and remove what an earlier demo left; anything that is not a demo's home is left alone.

    Raises:
        UserError: the directory exists and is not one of ours.
    """
    if home.exists() and any(home.iterdir()):
        if not (home / MARK).exists():
            raise UserError(f"{home} is not empty and not a demo's directory; choose another with --home")
        if (home / FILE).exists():
            stack.down(home)
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARK).write_text("The demo empties this directory at each start.\n")


def read_sla(conn: Connection, tenant: str) -> list[SlaLine]:
    """Return the morning's table of a tenant."""
    rows = conn.execute(
        "select dimension, member, due, on_time, late, open, on_time_share, target_share from reports.rpt_morning_sla"
        " where tenant_id = %s order by array_position(array['all', 'service_level', 'region', 'carrier'], dimension),"
        " member",
        (tenant,),
    ).fetchall()
    return [
        SlaLine(d, m, due, on_time, late, still_open, *(None if x is None else float(x) for x in shares))
        for d, m, due, on_time, late, still_open, *shares in rows
    ]


def newest_report(home: Path) -> Path | None:
    """Return the newest page below the home's reports."""
    pages = sorted((home / "reports").rglob("*.html"), key=lambda page: page.stat().st_mtime)
    return pages[-1] if pages else None


def _report_uri(settings: Settings) -> str | None:
    listed = client(settings, "s3").list_objects_v2(Bucket=settings.report_bucket).get("Contents", [])
    pages = [entry["Key"] for entry in listed if entry["Key"].endswith(".html")]
    return f"s3://{settings.report_bucket}/{pages[-1]}" if pages else None


def _faults(outcome: Outcome, pending: int, blocking: int) -> list[str]:
    faults = [f"{feed.feed}: {fault}" for feed in outcome.feeds for fault in feed.faults]
    faults += [f"DAG run {run.dag_id} {run.run_id} failed" for run in outcome.runs if run.state == "failed"]
    succeeded = {run.dag_id for run in outcome.runs if run.state == "success"}
    faults += [
        f"DAG {dag_id} never succeeded"
        for dag_id in (
            CDC,
            MICROBATCH,
            VEHICLES,
            SERVICES,
            LAKE,
            *map(batch.partner_dag, batch.PARTNERS),
            *UPKEEP,
            *CLOSING_DAGS,
        )
        if dag_id not in succeeded
    ]
    faults += [
        f"{line.feed} {line.grain} {line.start:%H:%M}: {line.verdict}: {line.words}"
        for line in outcome.windows
        if not line.holds
    ]
    if not outcome.windows:
        faults.append("no window was reconciled")
    if pending:
        faults.append(f"{pending} landed batches are not transformed")
    if blocking:
        faults.append(f"{blocking} checks of severity error failed")
    if outcome.report is None or outcome.report_uri is None:
        faults.append("the morning report was not written")
    if not outcome.sla:
        faults.append("the SLA table is empty")
    if not outcome.docs.exists():
        faults.append("the data docs were not written")
    return faults


def _number(conn: Connection, query: str) -> int:
    row = conn.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
