"""Backfills from landing: whatever was damaged by hand, the marts are those of a build from scratch."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from backfill_warehouse import DAY, MIDNIGHT, backfill, fill, land_with_bounds, standing
from transform_warehouse import marts, status, transform, warehouse

from domain.contracts import FEEDS
from fleetflow import backfill as work
from fleetflow import transform as runs
from fleetflow.backfill import Request, plan_backfill
from fleetflow.bench.backfill import local_lake
from fleetflow.lake_archive import LakeArchive
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from ingestion.backfill import land, ledger, mend
from ingestion.backfill.model import BackfillError, BusyError, Span, parse_instant
from ingestion.lake.read import arrow_schema as table_schema

SHIPMENTS = 250

# What a person, or a bug, can do to the tables of a day. Each is a defect that the marts would show.
DAMAGE = {
    "history of the day deleted": (
        "delete from intermediate.int_shipment_status_history where occurred_at >= %(from)s and occurred_at < %(to)s",
    ),
    "history of the day and lives deleted": (
        "delete from intermediate.int_shipment_status_history where occurred_at >= %(from)s and occurred_at < %(to)s",
        "delete from intermediate.int_shipment_life as l where exists (select from landing.shipment_event as e"
        " where e.shipment_id = l.shipment_id and e.occurred_at >= %(from)s and e.occurred_at < %(to)s)",
    ),
    "marts of the day wrong and gone": (
        "update marts.fct_shipment as f set status = 'returned', events = 99, delivered_at = null where exists"
        " (select from landing.shipment_event as e where e.shipment_id = f.shipment_id"
        " and e.occurred_at >= %(from)s and e.occurred_at < %(to)s)",
        "delete from marts.fct_delivery_exception where shipment_id in (select shipment_id from landing.shipment_event"
        " where occurred_at >= %(from)s and occurred_at < %(to)s)",
        "delete from marts.fct_shipment where shipment_id in (select shipment_id from landing.shipment_event"
        " where occurred_at >= %(from)s and occurred_at < %(to)s order by 1 limit 5)",
    ),
    "lives and positions wrong": (
        "update intermediate.int_shipment_life set events = events + 7,"
        " last_event_at = last_event_at - interval '9 days' where shipment_id in"
        " (select shipment_id from landing.shipment_event where occurred_at >= %(from)s"
        " and occurred_at < %(to)s)",
        "update intermediate.int_shipment_status_history set position = position + 3, is_legal = not is_legal"
        " where shipment_id in (select shipment_id from landing.shipment_event where occurred_at >= %(from)s"
        " and occurred_at < %(to)s)",
    ),
    "contents forged, events invented": (
        "update intermediate.int_shipment_status_history set status = 'exception',"
        " recorded_at = recorded_at - interval '1 hour' where event_id in (select event_id from landing.shipment_event"
        " where occurred_at >= %(from)s and occurred_at < %(to)s order by 1 limit 9)",
        "update intermediate.int_shipment_status_history set lat = 1, lon = 1 where event_id in (select event_id"
        " from landing.shipment_event where occurred_at >= %(from)s and occurred_at < %(to)s order by 1 desc limit 9)",
        "insert into intermediate.int_shipment_status_history select tenant_id, shipment_id, 'invented-' || event_id,"
        " position + 1, status, 'returned', true, occurred_at + interval '1 second', recorded_at, null, null, null,"
        " null, null, null, 'device' from intermediate.int_shipment_status_history"
        " where occurred_at >= %(from)s and occurred_at < %(to)s - interval '1 minute' order by event_id limit 4",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("backfill"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def scratch(stack: Settings) -> dict[str, Any]:
    """The marts of a warehouse that was built from all events once, and never touched."""
    with warehouse(stack) as settings:
        fill(settings, SHIPMENTS)
        return marts(settings)


@pytest.fixture(scope="module")
def settings(stack: Settings) -> Iterator[Settings]:
    with warehouse(stack) as fresh:
        fill(fresh, SHIPMENTS)
        yield fresh


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize("statements", DAMAGE.values(), ids=DAMAGE)
def test_after_it_the_marts_are_those_of_a_build_from_scratch(
    settings: Settings, owner: Connection, scratch: dict[str, Any], statements: tuple[str, ...]
) -> None:
    for statement in statements:
        assert owner.execute(statement.encode(), {"from": DAY.from_at, "to": DAY.to_at}).rowcount > 0
    damaged = marts(settings)
    assert damaged != scratch
    outcome = backfill(settings)
    assert (outcome.state, outcome.failures) == ("done", ())
    found = marts(settings)
    for name, table in scratch.items():
        assert found[name] == table, name


# Where the process dies: just before or just after this function has run. In the order of the work: plan, queue
# (before, within and after its transaction), transform, transformed, verify, mend, verified, close.
STEPS = [
    (ledger, "record_plan", "before"),
    (ledger, "record_plan", "after"),
    (land, "_queue", "before"),
    (land, "_queue", "after"),
    (land, "_advance", "after"),
    (work, "queue_landed", "after"),
    (runs, "claim", "after"),
    (runs, "build", "after"),
    (runs, "mark", "after"),
    (ledger, "mark_chunk", "before"),
    (ledger, "mark_chunk", "after"),
    (work, "verify_store", "after"),
    (mend, "requeue", "before"),
    (work, "mend_store", "after"),
    (ledger, "mark_verified", "before"),
    (ledger, "mark_verified", "after"),
    (work, "verify_days", "before"),
    (ledger, "close", "before"),
    (ledger, "close", "after"),
]
HALF = Span(DAY.from_at, DAY.from_at + timedelta(hours=12))
FORGED = (
    "update intermediate.int_shipment_status_history set lat = 1, lon = 2, recorded_at = recorded_at - interval '1 s'"
    " where occurred_at >= %(from)s and occurred_at < %(to)s",
    "delete from intermediate.int_shipment_life where shipment_id in (select shipment_id from landing.shipment_event"
    " where occurred_at >= %(from)s and occurred_at < %(to)s)",
)


def work_through(settings: Settings, module: Any = None, name: str = "", when: str = "") -> int:
    """Run the backfill in a process of its own, which is killed at the step; return how it ended."""

    def run() -> None:
        if module is not None:
            die_at(module, name, when)
        backfill(settings, span=HALF, rows_per_chunk=40, in_flight=1)

    process = get_context("fork").Process(target=run)
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the backfill hangs"
    return process.exitcode


def die_at(module: Any, name: str, when: str) -> None:
    real = getattr(module, name)

    def step(*args: Any, **options: Any) -> Any:
        if when == "after":
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, step)


def test_killed_at_every_step_it_goes_on_to_the_undisturbed_result(
    settings: Settings, owner: Connection, scratch: dict[str, Any]
) -> None:
    """Each process goes on where the one before died, and dies one step further; the last one ends the work."""
    results = []
    for steps in ([], STEPS):
        for statement in FORGED:
            assert owner.execute(statement.encode(), {"from": HALF.from_at, "to": HALF.to_at}).rowcount > 0
        for module, name, when in steps:
            assert work_through(settings, module, name, when) == -signal.SIGKILL, (
                f"{when} {name} was never reached"
            )
            # A run that died with its process is taken over after 60 s of silence; the test does not wait for it.
            owner.execute("update ops.transform_run set heartbeat_at = now() - interval '2 minutes'")
        if not steps:
            assert work_through(settings) == 0
        assert marts(settings) == scratch
        results.append(
            owner.execute(
                "select chunk, c.state, b.state, arm, rows_landed, repairs, content_hash from ops.backfill_chunk as c"
                " join ops.backfill as b using (backfill_id)"
                " where backfill_id = (select max(backfill_id) from ops.backfill) order by 1"
            ).fetchall()
        )
    assert len(results[0]) > 1
    assert results[1] == results[0]


def test_only_the_store_of_an_assignment_is_made_again(
    settings: Settings, owner: Connection, scratch: dict[str, Any]
) -> None:
    owner.execute("delete from intermediate.int_shipment_assignment where effective_at < %s", (DAY.to_at,))
    owner.execute("update intermediate.int_shipment_assignment set driver_id = 'nobody'")
    whole = Span(MIDNIGHT - timedelta(days=5), MIDNIGHT + timedelta(days=2))
    assert backfill(settings, "driver_assignment_event", whole).state == "done"
    assert marts(settings) == scratch


def test_an_invented_shipment_is_named_and_not_guessed_at(settings: Settings, owner: Connection) -> None:
    owner.execute(
        "insert into intermediate.int_shipment_status_history select tenant_id, 'ghost', 'ghost-1', 1, null, 'created',"
        " true, %s, %s, null, null, null, null, null, null, 'device' from intermediate.int_shipment_life limit 1",
        (DAY.from_at + timedelta(hours=3), DAY.from_at + timedelta(hours=3)),
    )
    outcome = backfill(settings)
    assert outcome.state == "failed"
    assert (
        "1 events in intermediate.int_shipment_status_history never landed, such as acme/ghost/ghost-1"
        in " ".join(outcome.failures)
    )
    owner.execute("delete from intermediate.int_shipment_status_history where shipment_id = 'ghost'")
    before = owner.execute("select count(*) from ops.backfill").fetchone()
    assert backfill(settings).state == "done", "the same command tries what failed again"
    assert owner.execute("select count(*) from ops.backfill").fetchone() == before


def test_chunks_of_any_size_and_number_in_flight_give_the_same(settings: Settings, owner: Connection) -> None:
    hashes = []
    for rows_per_chunk, in_flight in ((10_000, 1), (25, 3)):
        assert backfill(settings, rows_per_chunk=rows_per_chunk, in_flight=in_flight).state == "done"
        backfill_id, chunks, rows = owner.execute(
            "select backfill_id, count(*), sum(rows_landed) from ops.backfill_chunk group by 1 order by 1 desc limit 1"
        ).fetchall()[0]
        assert (chunks == 1) == (rows_per_chunk == 10_000)
        hashes.append((rows, total(owner, backfill_id)))
    assert hashes[0] == hashes[1]


def total(conn: Connection, backfill_id: int) -> int:
    """The hash of a backfill's content: the sum of its chunks' hashes, by the same modulus."""
    rows = conn.execute(
        "select content_hash from ops.backfill_chunk where backfill_id = %s and state = 'verified'",
        (backfill_id,),
    ).fetchall()
    signed = [int(text, 16) - (1 << 64) * (int(text, 16) >> 63) for (text,) in rows]
    return sum(signed) % 9223372036854775783


def test_a_live_batch_goes_with_the_next_run_while_a_backfill_is_queued(
    settings: Settings, owner: Connection
) -> None:
    """And the backfill's part of that run is bounded, whatever is queued."""
    batches = owner.execute(
        "insert into ops.pending_batch (pipeline, batch_id, priority) select pipeline, batch_id, 1"
        " from ops.transformed_batch where pipeline = 'shipments' returning batch_id"
    ).fetchall()
    owner.execute("delete from ops.transformed_batch where pipeline = 'shipments'")
    live = land_with_bounds(owner, "shipment_event", [status("live", 1, "created", 0)])
    run = runs.claim(owner, backfill_rows=100)
    assert run is not None
    held = owner.execute("select batch_id from ops.pending_batch where run_id = %s", (run.run_id,)).fetchall()
    assert (live,) in held
    assert len(held) < len(batches)
    runs.fail(owner, run, "only a look")
    transform(settings)
    row = owner.execute("select status from marts.fct_shipment where shipment_id = 'live'").fetchone()
    assert row == ("created",)
    assert owner.execute(
        "select count(*) from ops.pending_batch where pipeline = 'shipments'"
    ).fetchone() == (0,)


def test_a_dry_run_tells_all_and_changes_nothing(settings: Settings, owner: Connection) -> None:
    before = standing(owner)
    plan = plan_backfill(settings, Request("shipment_event", DAY, "test", rows_per_chunk=50))
    rows = owner.execute(
        "select count(*) from landing.shipment_event where occurred_at >= %s and occurred_at < %s",
        (DAY.from_at, DAY.to_at),
    ).fetchone()
    assert (plan.rows,) == rows
    assert plan.rows_from("landing") == plan.rows
    assert plan.chunks[0].span.from_at == DAY.from_at
    assert plan.chunks[-1].span.to_at == DAY.to_at
    assert all(a.span.to_at == b.span.from_at for a, b in zip(plan.chunks, plan.chunks[1:], strict=False))
    assert standing(owner) == before


def test_what_cannot_be_done_is_said(settings: Settings, owner: Connection) -> None:
    with pytest.raises(BackfillError, match="there is no feed 'nonsense': expected one of gps_location"):
        backfill(settings, "nonsense")
    with pytest.raises(BackfillError, match="range is empty"):
        Span(DAY.to_at, DAY.from_at)
    with pytest.raises(BackfillError, match="neither a day nor an instant"):
        parse_instant("yesterday")
    batch = owner.execute("select min(batch_id) from ops.batch where feed = 'shipment_event'").fetchone()
    assert batch is not None
    with owner.transaction(force_rollback=False):
        owner.execute(
            "create temporary table kept as select * from landing.shipment_event where batch_id = %s", batch
        )
        owner.execute("delete from landing.shipment_event where batch_id = %s", batch)
    first = owner.execute("select min(occurred_at) from kept").fetchone()
    assert first is not None
    with pytest.raises(
        BackfillError, match=r"of 1 batches \(\d+\) landing no longer has all rows, and compaction"
    ):
        plan_backfill(settings, Request("shipment_event", Span(first[0], DAY.to_at), "test"))
    owner.execute("insert into landing.shipment_event select * from kept")


def test_two_at_once_are_told_apart(settings: Settings, owner: Connection) -> None:
    span = Span(DAY.from_at, DAY.from_at + timedelta(hours=1))
    with connect(settings.dsn("loader"), autocommit=True) as loader:
        plan = plan_backfill(settings, Request("shipment_event", span, "test"))
        held = ledger.record_plan(loader, plan, "first", 1000)
        with (
            ledger.exclusive(loader, held),
            pytest.raises(BusyError, match="being worked on by another process"),
        ):
            backfill(settings, span=span)
    assert backfill(settings, span=span).state == "done"


def test_a_held_run_stops_the_backfill_with_words(settings: Settings, owner: Connection) -> None:
    span = Span(DAY.from_at, DAY.from_at + timedelta(hours=2))
    with pytest.raises(BackfillError, match=r"is held: not today; `fleetflow transform --release-held"):
        backfill(settings, span=span, gate=lambda run: "not today")
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        assert runs.release(conn) > 0
    assert backfill(settings, span=span).state == "done"


def test_a_feed_without_a_pipeline_is_verified_where_it_landed(settings: Settings, owner: Connection) -> None:
    fix = {
        "tenant_id": "acme", "recorded_at": DAY.from_at, "schema_version": 1, "vehicle_id": "v1", "lat": 50.0,
        "lon": 8.0, "speed_kmh": 50.0, "heading_deg": 90.0,
    }  # fmt: skip
    rows = [{**fix, "event_id": f"g{i}", "fixed_at": DAY.from_at + timedelta(minutes=i)} for i in range(90)]
    land_with_bounds(owner, "gps_location", rows)
    outcome = backfill(settings, "gps_location", rows_per_chunk=50)
    assert (outcome.state, outcome.progress.rows_verified) == ("done", 90)
    assert owner.execute(
        "select count(*) from ops.pending_batch where pipeline = 'shipments'"
    ).fetchone() == (0,)


def test_what_left_landing_comes_from_the_lake(
    stack: Settings, scratch: dict[str, Any], tmp_path: Path
) -> None:
    """Both arms in one range: the middle day from the lake, the day after from landing; a kill doubles nothing."""
    span = Span(DAY.from_at, DAY.to_at + timedelta(days=1))
    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        rows = fill(settings, SHIPMENTS)
        archive = LakeArchive(settings, FEEDS["shipment_event"], local_lake(settings, tmp_path))
        archive_events(conn, archive, rows["shipment_event"])
        for statement in next(iter(DAMAGE.values())):
            conn.execute(statement.encode(), {"from": span.from_at, "to": span.to_at})
        inside = "occurred_at >= %s and occurred_at < %s"
        conn.execute(f"delete from landing.shipment_event where {inside}".encode(), (DAY.from_at, DAY.to_at))
        plan = plan_backfill(settings, Request("shipment_event", span, "test"), archive)
        assert [(chunk.arm, chunk.span) for chunk in plan.chunks] == [
            ("lake", DAY),
            ("landing", Span(DAY.to_at, span.to_at)),
        ]
        assert plan.objects > 0

        def run() -> None:
            die_at(land, "write_entries", "after")
            backfill(settings, span=span, in_flight=1, archive=archive)

        process = get_context("fork").Process(target=run)
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL, "after the rows and the ledger, before the commit"
        outcome = backfill(settings, span=span, in_flight=1, archive=archive)
        assert (outcome.state, outcome.failures) == ("done", ())
        assert marts(settings) == scratch
        landed, batches, entered = conn.execute(
            "select count(*), count(distinct batch_id), (select sum(accepted) from ops.batch where source = 'backfill')"
            " from landing.shipment_event where batch_id in (select batch_id from ops.batch where source = 'backfill')"
        ).fetchall()[0]
        assert landed == entered == plan.rows_from("lake")
        chunks = conn.execute(
            "select count(*) from ops.backfill_chunk where arm = 'lake' and rows_landed > 0"
        ).fetchone()
        assert chunks == (batches,), "each chunk landed once, as one batch"
        assert conn.execute(
            "select count(*) from ops.pending_batch where pipeline = 'lake' and priority > 0"
        ).fetchone() == (0,)


def archive_events(conn: Connection, archive: LakeArchive, events: list[dict[str, Any]]) -> None:
    """Write events into the lake as compaction leaves them: once each; and enter their batches as taken."""
    assert archive.lake is not None
    table = archive.lake.table("shipment_event")
    schema = table_schema(table.schema())
    columns = {
        name: [event.get(name, 0 if name == "batch_id" else None) for event in events]
        for name in schema.names
    }
    table.append(pa.table(columns, schema=schema))
    conn.execute(
        "with taken as (delete from ops.pending_batch as p using ops.batch as b where p.batch_id = b.batch_id"
        " and p.pipeline = 'lake' and b.feed = 'shipment_event' returning p.batch_id),"
        " run as (insert into ops.transform_run (pipeline, claimed_by, state) values ('lake', 'test', 'done')"
        " returning run_id)"
        " insert into ops.transformed_batch (pipeline, batch_id, run_id)"
        " select 'lake', batch_id, run_id from taken, run"
    )
