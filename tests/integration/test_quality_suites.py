"""The suites on a real Postgres: what passes, what warns, what stops the line, and what is kept of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from typer.testing import CliRunner

from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from quality.model import CheckError, SuiteReport
from quality.results import read_latest, read_open_errors
from quality.runner import run_suite
from quality.suites import GATE, NIGHTLY

pytestmark = pytest.mark.filterwarnings("ignore")  # Great Expectations' and Marshmallow's own

EVENTS = 1_000
MOVING = "in_transit"

Owner = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("quality"), ("postgres",)) as settings:
        yield settings


@pytest.fixture
def owner(stack: Settings) -> Iterator[Owner]:
    """The warehouse with nothing claimed and nothing landed."""
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute(
            "truncate landing.shipment_event, landing.driver_assignment_event, ops.batch, ops.transform_run,"
            " ops.check_result, source.shipments cascade"
        )
        yield conn


def claimed_run(conn: Owner, state: str = "claimed") -> UUID:
    row = conn.execute(
        "insert into ops.transform_run (pipeline, claimed_by, state) values ('shipments', 'test', %s) returning run_id",
        (state,),
    ).fetchone()
    assert row is not None
    run: UUID = row[0]
    return run


def batch(conn: Owner, run: UUID, feed: str, rows: int, source: str = "stream") -> int:
    row = conn.execute(
        "insert into ops.batch (source, feed, events_read, accepted, rejected, first_arrived_at, last_arrived_at,"
        " worker)"
        " values (%s, %s, %s, %s, 0, now() - interval '1 hour', now(), 'test') returning batch_id",
        (source, feed, rows, rows),
    ).fetchone()
    assert row is not None
    conn.execute("update ops.pending_batch set run_id = %s where batch_id = %s", (run, row[0]))
    return int(row[0])


def land(
    conn: Owner,
    run: UUID,
    *,
    no_driver: float = 0,
    repeated: float = 0,
    late: float = 0,
    old: float = 0,
    status: str = MOVING,
    prefix: str = "e",
) -> int:
    """Land a claimed batch of events, of which the given shares (0 to 1) have each defect."""
    number = batch(conn, run, "shipment_event", EVENTS)
    conn.execute(
        "insert into landing.shipment_event"
        " select 'acme', %(prefix)s || case when n <= %(repeated)s * %(events)s then 0 else n end,"
        " now() - case when n <= %(late)s * %(events)s then interval '1 hour' else interval '0' end,"
        " 1, 's' || n, %(status)s,"
        " now() - case when n <= %(old)s * %(events)s then interval '30 hours' else interval '1 hour' end,"
        " case when n > %(no_driver)s * %(events)s then 'd1' end, 'v1', null, null, null, n, 'device', %(batch)s, n,"
        " now() - interval '1 second' from generate_series(1, %(events)s) as n",
        {
            "prefix": prefix, "repeated": repeated, "late": late, "old": old, "status": status,
            "no_driver": no_driver, "batch": number, "events": EVENTS,
        },
    )  # fmt: skip
    return number


def judged(stack: Settings, run: UUID) -> tuple[SuiteReport, dict[str, str]]:
    """Run the gate as the role that runs it in production; return the report and each failed check's severity."""
    report = run_suite(stack.dsn("transformer"), "gate", run_id=run)
    failed = (*report.errors, *report.warnings)
    return report, {f"{result.check.subject}.{result.check.name}": result.severity for result in failed}


def test_a_clean_claim_passes_and_every_verdict_is_kept(stack: Settings, owner: Owner) -> None:
    run = claimed_run(owner)
    land(owner, run)
    report, failed = judged(stack, run)
    assert (report.passed, failed) == (True, {})
    kept = owner.execute(
        "select count(*), count(distinct checked_at), bool_and(run_id = %s) from ops.check_result", (run,)
    )
    assert kept.fetchone() == (len(GATE), 1, True)


def test_the_usual_share_of_defects_passes(stack: Settings, owner: Owner) -> None:
    run = claimed_run(owner)
    land(owner, run, no_driver=0.01, repeated=0.02, late=0.02, old=0.02)
    report, failed = judged(stack, run)
    assert (report.passed, failed) == (True, {})
    seen = {
        r.check.name: r.observation for r in report.results if r.check.subject == "landing.shipment_event"
    }
    assert (seen["missing_driver_ids"].unexpected, seen["missing_driver_ids"].total) == (10, EVENTS)
    assert seen["duplicate_event_ids"].observed == pytest.approx(0.019)
    assert seen["late_arrivals"].unexpected == 20


@pytest.mark.parametrize(
    ("defects", "failed"),
    [
        ({"no_driver": 0.05}, {"landing.shipment_event.missing_driver_ids": "warn"}),
        ({"no_driver": 0.20}, {"landing.shipment_event.missing_driver_ids": "error"}),
        ({"repeated": 0.10}, {"landing.shipment_event.duplicate_event_ids": "warn"}),
        ({"repeated": 0.60}, {"landing.shipment_event.duplicate_event_ids": "error"}),
        ({"late": 1.0}, {"landing.shipment_event.late_arrivals": "warn"}),
        ({"old": 1.0}, {"landing.shipment_event.late_recordings": "warn"}),
    ],
)
def test_a_share_warns_first_and_stops_the_line_later(
    stack: Settings, owner: Owner, defects: dict[str, float], failed: dict[str, str]
) -> None:
    run = claimed_run(owner)
    land(owner, run, **defects)
    report, found = judged(stack, run)
    assert found == failed
    assert report.passed is ("error" not in failed.values())


def test_a_driver_is_wanted_from_pick_up_on_only(stack: Settings, owner: Owner) -> None:
    run = claimed_run(owner)
    land(owner, run, no_driver=1.0, status="assigned")
    report, failed = judged(stack, run)
    assert (report.passed, failed) == (True, {})


def test_a_shipment_that_two_events_create_is_found_and_a_repeat_is_none(
    stack: Settings, owner: Owner
) -> None:
    run = claimed_run(owner)
    land(owner, run, status="created")
    land(owner, run, status="created")
    assert "claim.created_shipments.duplicate_shipment_ids" not in judged(stack, run)[1]
    land(owner, run, status="created", prefix="other")
    assert judged(stack, run)[1]["claim.created_shipments.duplicate_shipment_ids"] == "error"


def test_rows_that_landing_lost_stop_the_line(stack: Settings, owner: Owner) -> None:
    run = claimed_run(owner)
    land(owner, run)
    owner.execute("delete from landing.shipment_event where line = 1")
    assert judged(stack, run)[1] == {"claim.complete": "error"}


def test_an_empty_claim_stops_the_line(stack: Settings, owner: Owner) -> None:
    assert judged(stack, claimed_run(owner))[1] == {"claim.volume": "error"}


def test_rows_of_other_runs_are_not_judged(stack: Settings, owner: Owner) -> None:
    other, run = claimed_run(owner, "held"), claimed_run(owner)
    land(owner, run)
    land(owner, other, no_driver=1.0, prefix="o")
    land(owner, run, prefix="p")
    assert judged(stack, run)[0].passed
    assert not judged(stack, other)[0].passed


def test_a_mirror_that_breaks_its_contract_stops_the_line(stack: Settings, owner: Owner) -> None:
    run = claimed_run(owner)
    number = batch(owner, run, "shipments", 1, "cdc")
    owner.execute(
        "insert into source.shipments (shipment_id, tenant_id, status, _lsn, _committed_at, batch_id)"
        " values ('s1', 'acme', 'lost_at_sea', '0/1', now(), %s)",
        (number,),
    )
    report, failed = judged(stack, run)
    assert failed == {"source.shipments.contract": "error"}
    assert [r.observation.unexpected for r in report.errors] == [1]


def test_what_cannot_be_measured_has_failed(stack: Settings, owner: Owner) -> None:
    """The marts are not built here, so their checks have nothing to look at."""
    report = run_suite(stack.dsn("transformer"), "nightly")
    unmeasured = {r.check.subject for r in report.results if r.detail.startswith("not measured")}
    assert unmeasured == {"marts.fct_shipment", "marts.fct_on_time_daily", "marts.fct_delivery_exception"}
    assert not report.passed
    assert owner.execute("select count(*) from ops.check_result").fetchone() == (len(NIGHTLY),)


def test_the_docs_need_no_network(stack: Settings, owner: Owner, tmp_path: Path) -> None:
    run = claimed_run(owner)
    land(owner, run, no_driver=0.05)
    report = run_suite(stack.dsn("transformer"), "nightly", docs_dir=tmp_path)
    assert report.docs == str(tmp_path / "nightly" / "index.html")
    pages = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "nightly").iterdir()}
    assert "missing_driver_ids" in pages["index.html"]
    assert {
        href for page in pages.values() for href in re.findall(r'href="([^"#]+\.html)"', page)
    } <= pages.keys()
    wanted = r"""(?:src|href)=["'](https?:[^"']+\.(?:css|js|png)[^"']*)|url\(["']?(https?:[^)]+)"""
    assert [found for page in pages.values() for found in re.findall(wanted, page)] == []
    assert "<script" not in "".join(pages.values())
    password = psycopg.conninfo.conninfo_to_dict(stack.dsn("transformer")).get("password")
    assert password
    assert str(password) not in "".join(pages.values())
    again = run_suite(stack.dsn("transformer"), "nightly", docs_dir=tmp_path)
    assert again.docs == report.docs
    assert sorted(path.name for path in tmp_path.iterdir()) == ["nightly"]


def test_volume_is_judged_only_after_three_days(stack: Settings, owner: Owner) -> None:
    def ratio() -> tuple[float | None, bool]:
        report = run_suite(stack.dsn("transformer"), "nightly")
        (low,) = [r for r in report.results if r.check.name == "volume_low"]
        return low.observation.observed, low.passed

    history = (
        "insert into ops.batch (source, feed, events_read, accepted, rejected, worker, landed_at)"
        " select 'stream', 'gps_location', %(rows)s, %(rows)s, 0, 'test',"
        " date_trunc('hour', now()) - interval '50 minutes' - d * interval '1 day'"
        " from unnest(%(days)s::int[]) as d"
    )
    owner.execute(history, {"rows": 1000, "days": [1, 2]})
    assert ratio() == (None, True)
    owner.execute(history, {"rows": 1000, "days": [3]})
    owner.execute(history, {"rows": 200, "days": [0]})
    assert ratio() == (pytest.approx(0.2), False)


def test_the_newest_verdict_counts(stack: Settings, owner: Owner) -> None:
    run = claimed_run(owner)
    land(owner, run, no_driver=0.5)
    judged(stack, run)
    assert [r.check_name for r in read_open_errors(owner)] == ["missing_driver_ids"]
    owner.execute("update landing.shipment_event set driver_id = 'd1'")
    judged(stack, run)
    assert read_open_errors(owner) == []
    assert len(read_latest(owner, "gate")) == len(GATE)


def test_the_gate_wants_a_run_that_exists(stack: Settings) -> None:
    with pytest.raises(CheckError, match="give its run id"):
        run_suite(stack.dsn("transformer"), "gate")
    with pytest.raises(CheckError, match=f"no transform run {UUID(int=1)}"):
        run_suite(stack.dsn("transformer"), "gate", run_id=UUID(int=1))


def test_the_command_says_what_failed(stack: Settings, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleetflow.cli import app

    monkeypatch.setenv("FLEETFLOW_HOME", str(stack.home))
    run = claimed_run(owner)
    land(owner, run, no_driver=0.5)
    gate = CliRunner().invoke(app, ["quality", "gate"])
    assert gate.exit_code == 1
    assert "error  landing.shipment_event.missing_driver_ids: 500 of 1000 (50.00%)" in gate.stdout
    shown = CliRunner().invoke(app, ["quality", "results", "--failed"])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[-1] == "1 checks, 1 failed"
