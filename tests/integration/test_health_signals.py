"""Every signal, on a real platform: broken it fires after its time, healed it is resolved after its time."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from signal_cases import CASES, Case

from fleetflow.local.process import wait_until
from fleetflow.local.stack import running
from fleetflow.monitoring import measure
from fleetflow.monitoring.alerts import look_and_tell
from fleetflow.monitoring.judge import find_faults
from fleetflow.monitoring.measure import take_look
from fleetflow.monitoring.model import Finding, Level, Look
from fleetflow.monitoring.signals import SIGNALS
from fleetflow.runtime import connect
from fleetflow.settings import Secret, Settings
from ingestion.streams.spool import LaneSpool

NOWHERE = "postgresql://u:p4ssw0rd@127.0.0.1:1/none"
LEDGER = (
    "ops.shard_lease", "ops.worker", "ops.batch", "ops.transform_run", "ops.cdc_source", "ops.cdc_pull",
    "ops.partner_file", "ops.partner_watch", "ops.check_result", "ops.reconciliation", "ops.verified_through",
    "ops.backfill", "ops.retention_action", "ops.alert", "ops.health_check",
)  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("signals"), ("postgres", "aws", "sftp")) as settings:
        # What is sent, and how, is tested elsewhere: here nobody is told.
        yield replace(settings, alert_topic_arn=None)


@pytest.fixture
def owner(stack: Settings) -> Iterator[psycopg.Connection[Any]]:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute(f"truncate {', '.join(LEDGER)} restart identity cascade".encode())
        yield conn


def finding(look: Look, signal: str, subject: str) -> Finding | None:
    assert look.measured[signal].fault is None, look.measured[signal].fault
    found = [f for f in find_faults(look) if (f.signal.name, f.subject) == (signal, subject)]
    return found[0] if found else None


def later(look: Look, seconds: float) -> Look:
    return replace(look, at=look.at + timedelta(seconds=seconds))


def alerts(conn: psycopg.Connection[Any], signal: str, subject: str) -> list[tuple[Any, ...]]:
    return conn.execute(
        "select severity, runbook, resolved_at is null, detail from ops.alert where name = %s and subject = %s"
        " order by alert_id",
        (signal, subject),
    ).fetchall()


def live(stack: Settings, conn: psycopg.Connection[Any], case: Case, broken: Look, healed: Look) -> None:
    """Hold the alert's life against the signal's own times."""
    conn.execute("truncate ops.alert cascade")
    signal, at = SIGNALS[case.signal], broken
    if signal.hold_s and finding(broken, case.signal, case.subject).began_at >= broken.at - timedelta(
        seconds=signal.hold_s
    ):  # type: ignore[union-attr]
        look_and_tell(stack, "test", at)
        assert alerts(conn, case.signal, case.subject) == [], "it fires only when it has stood for its time"
        at = later(broken, signal.hold_s + 1)
    for seconds in (0, 1):
        look_and_tell(stack, "test", later(at, seconds))
        ((severity, runbook, is_open, detail),) = alerts(conn, case.signal, case.subject)
        assert (severity, runbook, is_open) == (case.severity, signal.runbook, True)
        assert case.words in detail
    after = replace(healed, at=at.at + timedelta(seconds=2))
    look_and_tell(stack, "test", after)
    look_and_tell(stack, "test", later(after, signal.resolve_s - 1))
    assert alerts(conn, case.signal, case.subject)[0][2] is True, (
        "it is over only when it has been gone for its time"
    )
    look_and_tell(stack, "test", later(after, signal.resolve_s + 1))
    ((_, _, is_open, _),) = alerts(conn, case.signal, case.subject)
    assert is_open is False


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.signal)
def test_what_is_broken_fires_and_what_is_healed_is_resolved(
    case: Case, stack: Settings, owner: psycopg.Connection[Any]
) -> None:
    subject = case.subject
    owner.execute(case.breaks.encode())
    if case.signal == "partner_file_missing":
        row = owner.execute(
            "select to_char(expected_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI\"Z\"') from ops.partner_file"
        ).fetchone()
        assert row is not None
        subject = f"northfuel/{row[0]}"
    broken = take_look(stack)
    found = finding(broken, case.signal, subject)
    assert found is not None
    assert (found.severity, case.words in found.words) == (case.severity, True), found.words
    owner.execute(case.heals.encode())
    healed = take_look(stack)
    assert finding(healed, case.signal, subject) is None
    live(stack, owner, replace(case, subject=subject), broken, healed)


def settings_cases() -> dict[str, tuple[str, Callable[[Settings], Settings], str]]:
    """Signals of what lies outside: settings that lead nowhere, the subject, and the words."""
    return {
        "warehouse_unreachable": (
            "platform", lambda s: replace(s, warehouse={**s.warehouse, "ops": Secret(NOWHERE)}), "Connection refused",
        ),
        "orders_unreachable": (
            "platform", lambda s: replace(s, orders={**s.orders, "orders_cdc": Secret(NOWHERE)}), "Connection refused",
        ),
        "aws_unreachable": ("s3/not-there", lambda s: replace(s, raw_bucket="not-there"), "404"),
        "sftp_unreachable": ("127.0.0.1:1", lambda s: replace(s, sftp_url="sftp://127.0.0.1:1"), "Connection refused"),
    }  # fmt: skip


@pytest.mark.parametrize("signal", settings_cases())
def test_what_cannot_be_reached_is_found(
    stack: Settings, owner: psycopg.Connection[Any], signal: str
) -> None:
    subject, breaks, words = settings_cases()[signal]
    broken = take_look(breaks(stack))
    found = finding(broken, signal, subject)
    assert found is not None
    assert found.severity == "error"
    assert words in found.words
    assert "p4ssw0rd" not in found.words
    healed = take_look(stack)
    assert finding(healed, signal, subject) is None
    if signal != "warehouse_unreachable":
        live(stack, owner, Case(signal, subject, "", "", words), broken, healed)


def test_without_the_warehouse_the_rest_is_still_judged(stack: Settings) -> None:
    gone = replace(stack, warehouse={**stack.warehouse, "ops": Secret(NOWHERE)}, raw_bucket="not-there")
    names = [f.signal.name for f in find_faults(take_look(gone))]
    assert sorted(names) == ["aws_unreachable", "warehouse_unreachable"], "one cause is one finding"


@pytest.fixture
def slot(stack: Settings) -> Iterator[psycopg.Connection[Any]]:
    with (
        connect(stack.orders_cdc_dsn.reveal(), autocommit=True) as conn,
        connect(stack.orders_dsn.reveal(), autocommit=True),
    ):
        conn.execute("select pg_create_logical_replication_slot('fleetflow', 'pgoutput')")
        yield conn
        conn.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'fleetflow'"
        )


def test_a_slot_that_nobody_reads_is_found_behind_and_full(
    stack: Settings, owner: psycopg.Connection[Any], slot: psycopg.Connection[Any]
) -> None:
    before = take_look(stack)
    assert finding(before, "slot_lag", "fleetflow") is None
    owner.execute("alter system set wal_init_zero = off")
    owner.execute("select pg_reload_conf()")
    for _ in range(70):  # 16 MiB of log each, hardly any of them written
        owner.execute("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
    broken = take_look(stack)
    for signal in ("slot_lag", "slot_retained_wal"):
        found = finding(broken, signal, "fleetflow")
        assert found is not None
        assert "1.1 GiB" in found.words
    slot.execute("select pg_drop_replication_slot('fleetflow')")
    slot.execute("select pg_create_logical_replication_slot('fleetflow', 'pgoutput')")
    healed = take_look(stack)
    for signal in ("slot_lag", "slot_retained_wal"):
        live(stack, owner, Case(signal, "fleetflow", "", "", "1.1 GiB", "warn"), broken, healed)


def test_a_slot_that_is_gone_is_found_where_the_mirror_stood_on_it(
    stack: Settings, owner: psycopg.Connection[Any], slot: psycopg.Connection[Any]
) -> None:
    healed = take_look(stack)
    slot.execute("select pg_drop_replication_slot('fleetflow')")
    assert finding(take_look(stack), "slot_lost", "fleetflow") is None, "one that was never used is not lost"
    owner.execute(
        "insert into ops.cdc_source (slot, publication, applied_lsn) values ('fleetflow', 'p', '0/1')"
    )
    live(stack, owner, Case("slot_lost", "fleetflow", "", "", "is gone"), take_look(stack), healed)


def test_lines_that_no_stream_takes_are_found(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    place = stack.home / "spool" / "fleetflow-gps" / "p1"
    place.mkdir(parents=True)
    (place / "owner.lock").touch()
    spool = LaneSpool(place, 0)
    number = spool.append(1, b"{}")
    (segment,) = place.glob("*.spool")
    fresh = take_look(stack)
    assert finding(fresh, "spool_waiting", "fleetflow-gps/p1") is None, "a line on its way is no fault"
    os.utime(segment, (1e9, 1e9))
    broken = take_look(stack)
    spool.ack(number)
    os.utime(segment, (1e9, 1e9))
    healed = take_look(stack)
    spool.close()
    shutil.rmtree(stack.home / "spool")
    assert finding(healed, "spool_waiting", "fleetflow-gps/p1") is None
    live(stack, owner, Case("spool_waiting", "fleetflow-gps/p1", "", "", "1 lanes"), broken, healed)


def test_a_full_disk_is_found(
    stack: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    healed = take_look(stack)
    real = shutil.disk_usage(stack.home)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: real._replace(free=real.total // 50))
        broken = take_look(stack)
    case = Case("disk_used", str(stack.home), "", "", "98.0% full")
    assert finding(healed, "disk_used", str(stack.home)) is None
    live(stack, owner, case, broken, healed)


def test_connections_that_run_out_are_found(stack: Settings, owner: psycopg.Connection[Any]) -> None:
    with ExitStack() as opened:
        for _ in range(155):
            opened.enter_context(connect(stack.dsn("loader")))
        broken = take_look(stack)
    query = "select count(*) < 20 from pg_stat_activity where backend_type = 'client backend'"
    assert wait_until(lambda: bool((owner.execute(query).fetchone() or (False,))[0]), 20)
    live(
        stack, owner, Case("connections_used", "platform", "", "", "of 197", "warn"), broken, take_look(stack)
    )


def test_a_long_transaction_and_who_waits_for_it_are_found(
    stack: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours are not waited for: the limits are lowered, the measurement is the real one."""
    for name in ("long_transaction", "lock_waiting"):
        monkeypatch.setitem(SIGNALS, name, replace(SIGNALS[name], levels=(Level("warn", 0.2),)))
    with connect(stack.dsn("owner")) as holder, connect(stack.dsn("transformer")) as waiter:
        holder.execute("lock table landing.gps_location in access exclusive mode")
        thread = threading.Thread(target=waiter.execute, args=("select count(*) from landing.gps_location",))
        thread.start()
        query = (
            "select count(*) > 0 from pg_locks where not granted and clock_timestamp() - waitstart > '0.3 s'"
        )
        assert wait_until(lambda: bool((owner.execute(query).fetchone() or (False,))[0]), 20)
        broken = take_look(stack)
        holder.rollback()
        thread.join()
    healed = take_look(stack)
    live(
        stack,
        owner,
        Case("long_transaction", "fleet_admin", "", "", "idle in transaction", "warn"),
        broken,
        healed,
    )
    live(
        stack,
        owner,
        Case("lock_waiting", "fleet_transformer", "", "", "waits for pid", "warn"),
        broken,
        healed,
    )


def test_used_up_transaction_ids_are_measured(
    stack: Settings, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    healed = take_look(stack)
    monkeypatch.setitem(
        SIGNALS, "transaction_ids_used", replace(SIGNALS["transaction_ids_used"], levels=(Level("warn", 0),))
    )
    broken = take_look(stack)
    live(stack, owner, Case("transaction_ids_used", "warehouse", "", "", "0.0%", "warn"), broken, healed)


def test_a_probe_that_hangs_holds_nothing_up(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    hanging = {"orders": lambda _: ended.wait(30), "aws": lambda _: ended.wait(30)}
    monkeypatch.setattr(measure, "PROBES", {**measure.PROBES, **hanging})
    look = take_look(stack, deadline_s=0.5)
    ended.set()
    assert look.seconds < 10
    assert look.measured["slot_lag"].fault == "no answer within 2 s"
    assert finding(look, "aws_unreachable", "aws") is not None
    assert finding(look, "signal_unmeasured", "slot_lag") is not None
    assert look.measured["disk_used"].readings


def test_every_signal_is_tried(request: pytest.FixtureRequest) -> None:
    """A new signal has to be broken and healed somewhere in this file or in the test of its own probe."""
    source = Path(__file__).read_text() + Path(__file__).with_name("signal_cases.py").read_text()
    elsewhere = Path(__file__).parent.parent / "unit" / "monitoring" / "test_airflow_probe.py"
    source += elsewhere.read_text()
    assert [name for name in SIGNALS if f'"{name}"' not in source] == []
