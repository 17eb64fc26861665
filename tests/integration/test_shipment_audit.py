"""The audit keeps what was believed, follows any arrival to the same current rows, and shows"
" whoever touches a row."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from transform_warehouse import NOW, land, mirror, order, population, status, transform, warehouse
from typer.testing import CliRunner

from fleetflow.audit import Scope, read_life, verify, verify_within
from fleetflow.audit_raw import COMPARED, compare_raw
from fleetflow.cli import app
from fleetflow.local.stack import running
from fleetflow.orchestration import ChecksFailedError
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from fleetflow.tasks.audit import verify_chains

LOG = "audit.shipment_status"
# What a current row says of the life; the other columns say how it came to be known.
LIFE = (
    "tenant_id, shipment_id, event_id, position, previous_status, status, is_legal, occurred_at,"
    " recorded_at, sequence,"
    " reason_code, vehicle_id, lat, lon, origin"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("audit"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def recorded(stack: Settings) -> Iterator[Settings]:
    """Two shipments whose events came late, again and corrected, in three runs; and an order that"
    " was changed."""
    with warehouse(stack) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            mirror(conn, "shipments", [order("s1", random.Random(1), cancelled_at=None)])
            land(conn, "shipment_event", [status(f"s{n}", 2, "assigned", -300) for n in (1, 2)])
            transform(settings)
            late = [status(f"s{n}", 1, "created", -400, origin="partner") for n in (1, 2)]
            land(conn, "shipment_event", [*late, status("s1", 3, "picked_up", -200)])
            transform(settings)
            changed = order("s1", random.Random(2), cancelled_at=None)
            mirror(conn, "shipments", [changed])
            land(
                conn,
                "shipment_event",
                [
                    late[0] | {"recorded_at": NOW, "reason_code": "corrected"},
                    status("s1", 2, "assigned", -300),
                ],
            )
            transform(settings)
        yield settings


@pytest.fixture
def owner(recorded: Settings) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection that may do anything, and leaves nothing behind."""
    with connect(recorded.dsn("owner")) as conn:
        yield conn
        conn.rollback()


def findings(conn: psycopg.Connection[tuple[Any, ...]]) -> list[tuple[str, str, int | None, str]]:
    """Verify within the transaction of the one who tampers: what it did is seen, and rolled back after."""
    return [(f.chain, f.shipment_id, f.entry, f.finding) for f in verify_within(conn, Scope()).findings]


def test_what_was_believed_stays(recorded: Settings) -> None:
    with connect(recorded.dsn("ops"), autocommit=True) as conn:
        rows = conn.execute(
            "select entry, event_id, version, supersedes, is_current, position, is_legal,"
            " reason_code, batch_id, line"
            " from marts.fct_shipment_status_history where shipment_id = 's1' order by entry"
        ).fetchall()
        batches = [
            batch
            for (batch,) in conn.execute(
                "select batch_id from ops.batch where feed = 'shipment_event' order by 1"
            ).fetchall()
        ]
    first, second, third = batches
    assert rows == [
        (1, "s1-2", 1, None, False, 1, False, None, first, 0),
        (2, "s1-1", 1, None, False, 1, True, None, second, 0),
        (3, "s1-2", 2, 1, True, 2, True, None, first, 0),
        (4, "s1-3", 1, None, True, 3, True, None, second, 2),
        (5, "s1-1", 2, 2, True, 1, True, "corrected", third, 0),
    ]


def test_an_order_that_changed_keeps_its_promise_of_before(recorded: Settings) -> None:
    with connect(recorded.dsn("ops"), autocommit=True) as conn:
        rows = conn.execute(
            "select entry, change, is_current, lsn is not null, promised_at from"
            " marts.fct_shipment_order_history order by 1"
        ).fetchall()
    assert [row[:4] for row in rows] == [(1, "ordered", False, True), (2, "changed", True, True)]
    assert rows[0][4] != rows[1][4]


def test_what_was_recorded_is_whole(recorded: Settings) -> None:
    with connect(recorded.dsn("ops"), autocommit=True) as conn:
        found = verify(conn, Scope())
        assert (found.findings, found.chains, found.entries) == ([], 3, 5 + 3 + 2)
        assert verify(conn, Scope(shipment="s2")).entries == 3
        assert verify(conn, Scope(since=NOW.date())).entries == 10
        assert verify(conn, Scope(tenant="nobody")).chains == 0


# An edit by somebody who knows how entries are hashed.
FORGED = (
    "update {{log}} as a set status = 'delivered', hash = sha256((select b.hash from {{log}} as b"
    " where b.shipment_id = 's1'"
    " and b.entry = {entry} - 1) || record_send(row(tenant_id, shipment_id, entry, event_id,"
    " version, supersedes, position,"
    " previous_status, 'delivered'::text, is_legal, occurred_at, recorded_at, sequence,"
    " reason_code, vehicle_id, lat,"
    " lon, origin, batch_id, line, object_key, believed_from, run_id))) where shipment_id = 's1'"
    " and entry = {entry}"
)
FORGE = (
    " insert into {{log}} (tenant_id, shipment_id, entry, event_id, version, position, status,"
    " is_legal, occurred_at,"
    " recorded_at, origin, believed_from, hash) select tenant_id, shipment_id, {entry}, 'forged',"
    " 1, 4, 'in_transit',"
    " true, now(), now(), 'device', now(), hash from {{log}} where shipment_id = 's1' and entry = {entry} - 1"
)
TAMPER = {
    "edited": (
        "update {log} set status = 'delivered' where shipment_id = 's1' and entry = 3",
        ("s1", 3, "changed"),
    ),
    "edited source": (
        "update {log} set line = 7 where shipment_id = 's1' and entry = 4",
        ("s1", 4, "changed"),
    ),
    "edited and hashed again": (FORGED.format(entry=3), ("s1", 4, "changed")),
    "last one edited and hashed again": (FORGED.format(entry=5), ("s1", 5, "head")),
    "deleted": ("delete from {log} where shipment_id = 's1' and entry = 2", ("s1", 2, "missing")),
    "first one deleted": ("delete from {log} where shipment_id = 's1' and entry = 1", ("s1", 1, "missing")),
    "appended": (FORGE.format(entry=6), ("s1", 6, "added")),
    "pushed in": (
        "update {log} set entry = entry + 100 where shipment_id = 's1' and entry > 2;"
        " update {log} set entry = entry - 99 where shipment_id = 's1' and entry > 100;"
        + FORGE.format(entry=3),
        ("s1", 3, "changed"),
    ),
    "reordered": (
        "update {log} set entry = 99 where shipment_id = 's1' and entry = 3;"
        " update {log} set entry = 3 where shipment_id = 's1' and entry = 4;"
        " update {log} set entry = 4 where shipment_id = 's1' and entry = 99",
        ("s1", 3, "changed"),
    ),
    "cut": ("delete from {log} where shipment_id = 's1' and entry > 3", ("s1", 4, "cut")),
    "cut whole": ("delete from {log} where shipment_id = 's2'", ("s2", 1, "cut")),
    "until": (
        "update {log} set believed_until = null where shipment_id = 's1' and entry = 1",
        ("s1", 1, "until"),
    ),
    "head": (
        "update intermediate.int_shipment_life set audit_entries = 4, audit_hash ="
        " (select hash from {log} where shipment_id = 's1' and entry = 4) where shipment_id = 's1'",
        ("s1", 5, "added"),
    ),
}


@pytest.mark.parametrize("how", TAMPER)
def test_a_tampered_row_is_named(owner: psycopg.Connection[tuple[Any, ...]], how: str) -> None:
    assert findings(owner) == []
    statement, expected = TAMPER[how]
    owner.execute(statement.format(log=LOG).encode())
    assert findings(owner) == [("status", *expected)]


def test_rows_of_two_shipments_that_are_swapped_are_named(owner: psycopg.Connection[tuple[Any, ...]]) -> None:
    owner.execute(f"update {LOG} set entry = 99 where shipment_id = 's1' and entry = 1")
    owner.execute(f"update {LOG} set shipment_id = 's1' where shipment_id = 's2' and entry = 1")
    owner.execute(f"update {LOG} set shipment_id = 's2', entry = 1 where shipment_id = 's1' and entry = 99")
    assert findings(owner) == [("status", "s1", 1, "changed"), ("status", "s2", 1, "changed")]


def test_a_tampered_order_is_named(owner: psycopg.Connection[tuple[Any, ...]]) -> None:
    owner.execute(
        "update audit.shipment_order set promised_at = promised_at + interval '1 hour' where entry = 1"
    )
    assert findings(owner) == [("order", "s1", 1, "changed")]


def test_a_chain_and_head_that_were_cut_together_do_not_agree_with_the_store(
    owner: psycopg.Connection[tuple[Any, ...]],
) -> None:
    owner.execute(f"delete from {LOG} where shipment_id = 's1' and entry = 5")
    owner.execute(f"update {LOG} set believed_until = null where shipment_id = 's1' and entry = 2")
    owner.execute(
        "update intermediate.int_shipment_life set audit_entries = 4, audit_hash ="
        f" (select hash from {LOG} where shipment_id = 's1' and entry = 4) where shipment_id = 's1'"
    )
    assert findings(owner) == [("status", "s1", 2, "store")]


@pytest.mark.parametrize("role", ["transformer", "analyst", "ops", "loader"])
def test_nobody_who_works_there_may_change_the_audit(recorded: Settings, role: str) -> None:
    for statement in (
        f"update {LOG} set status = 'delivered'",
        f"delete from {LOG}",
        f"truncate {LOG}",
        "update audit.shipment_order set promised_at = now()",
        f"alter table {LOG} disable row level security",
        f"drop table {LOG}",
    ):
        with connect(recorded.dsn(role)) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(statement.encode())


def arrive(settings: Settings, rows: dict[str, list[dict[str, Any]]], seed: int | None, runs: int) -> None:
    """Land everything: at once, or shuffled, repeated and cut into runs."""
    events = list(rows["shipment_event"])
    dice = random.Random(seed)
    if seed is not None:
        events += dice.choices(events, k=len(events) // 4)
        dice.shuffle(events)
    size = -(-len(events) // runs)
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for at in range(0, len(events), size):
            land(conn, "shipment_event", events[at : at + size])
            transform(settings)


def current(settings: Settings) -> list[tuple[Any, ...]]:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        query = f"select {LIFE} from marts.fct_shipment_status_history where is_current order by 1, 2, 3"
        return conn.execute(query.encode()).fetchall()


def test_any_arrival_comes_to_the_same_current_rows(stack: Settings) -> None:
    rows = population(60)
    corrections = [
        event | {"origin": "partner", "recorded_at": NOW, "status": "exception", "reason_code": "damaged"}
        for event in rows["shipment_event"][::9]
    ]
    rows["shipment_event"] += corrections
    with warehouse(stack) as at_once, warehouse(stack) as piecemeal:
        arrive(at_once, rows, None, 1)
        arrive(piecemeal, rows, 5, 4)
        expected = current(at_once)
        assert len(expected) > 100
        assert current(piecemeal) == expected
        with connect(piecemeal.dsn("ops"), autocommit=True) as conn:
            before = verify(conn, Scope())
            assert before.findings == []
            assert before.entries > len(expected)
            arrive(piecemeal, rows, 6, 1)
            transform(piecemeal, full_refresh=True)
            after = verify(conn, Scope())
        assert (after.findings, after.entries) == ([], before.entries)


def test_a_second_build_of_a_claim_records_nothing(stack: Settings) -> None:
    from fleetflow.transform import build, claim, mark

    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        land(conn, "shipment_event", [status("s1", n, s, n) for n, s in enumerate(("created", "assigned"))])
        with connect(settings.dsn("transformer"), autocommit=True) as worker:
            run = claim(worker)
            assert run is not None
            for _ in range(2):
                build(settings, run)
            mark(worker, run)
        found = verify(conn, Scope())
        assert (found.entries, found.findings) == (2, [])


def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    for role, dsn in settings.warehouse.items():
        monkeypatch.setenv(f"FLEETFLOW_{role.upper()}_DSN", dsn.reveal())
    monkeypatch.setenv("FLEETFLOW_HOME", str(settings.home))
    return CliRunner().invoke(app, ["audit", *arguments])


def test_the_command_names_the_row_and_fails(recorded: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cli(recorded, monkeypatch, "verify", "--json")
    assert (whole.exit_code, json.loads(whole.stdout)["entries"]) == (0, 10)
    with connect(recorded.dsn("owner"), autocommit=True) as conn:
        conn.execute(f"update {LOG} set status = 'returned' where shipment_id = 's2' and entry = 2")
        try:
            broken = cli(recorded, monkeypatch, "verify", "--json", "--tenant", "acme")
            words = cli(recorded, monkeypatch, "verify").stdout
        finally:
            conn.execute(f"update {LOG} set status = 'created' where shipment_id = 's2' and entry = 2")
    assert broken.exit_code == 1
    [finding] = json.loads(broken.stdout)["findings"]
    assert (finding["shipment_id"], finding["entry"], finding["finding"]) == ("s2", 2, "changed")
    assert "acme/s2 entry 2: changed" in words


def test_the_command_shows_a_life_with_its_sources(
    recorded: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    life = json.loads(cli(recorded, monkeypatch, "show", "s1", "--json").stdout)
    with connect(recorded.dsn("ops"), autocommit=True) as conn:
        assert [entry["hash"] for entry in life] == [entry["hash"] for entry in read_life(conn, "acme", "s1")]
    assert [entry["entry"] for entry in life if entry["chain"] == "status"] == [1, 2, 3, 4, 5]
    assert {entry["lsn"] is None for entry in life if entry["chain"] == "order"} == {False}
    page = cli(recorded, monkeypatch, "show", "s1").stdout
    assert "takes over from 2" in page
    assert "assigned (not legal)" in page


def test_entries_are_held_against_the_lines_they_cite(
    recorded: Settings, tmp_path: Path, owner: psycopg.Connection[tuple[Any, ...]]
) -> None:
    """The raw objects written as a test may: the rows of landing, line for line, where the batch says they lie."""
    batches = [
        batch for (batch,) in owner.execute("select distinct batch_id from landing.shipment_event").fetchall()
    ]
    names = [name for name in COMPARED if name != "tenant_id"]
    for batch in batches:
        key = f"raw/shipment_event/{batch}.parquet"
        owner.execute("update ops.batch set object_key = %s where batch_id = %s", (key, batch))
        lines = owner.execute(
            f"select tenant_id, {', '.join(names)} from landing.shipment_event where batch_id = %s"
            " order by line".encode(),
            (batch,),
        ).fetchall()
        path = tmp_path / "bucket" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = zip(*lines, strict=True)
        pq.write_table(pa.table(dict(zip(("tenant_id", *names), map(list, columns), strict=True))), path)
    owner.execute(
        f"update {LOG} as a set object_key = b.object_key from ops.batch as b where a.batch_id = b.batch_id"
    )
    filesystem = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())

    same = compare_raw(owner, filesystem, "bucket", Scope(), sample=100)
    assert (same.lines, same.findings) == (8, [])
    assert compare_raw(owner, filesystem, "bucket", Scope(), sample=2).lines == 2
    assert compare_raw(owner, filesystem, "bucket", Scope(shipment="s1"), sample=2).lines == 5

    owner.execute(f"update {LOG} set status = 'delivered' where shipment_id = 's1' and entry = 4")
    [finding] = compare_raw(owner, filesystem, "bucket", Scope(), sample=100).findings
    assert (finding.shipment_id, finding.entry, finding.finding) == ("s1", 4, "raw")
    assert "status 'picked_up', here 'delivered'" in finding.detail

    gone = tmp_path / "bucket" / f"raw/shipment_event/{batches[0]}.parquet"
    gone.unlink()
    assert len(compare_raw(owner, filesystem, "bucket", Scope(), sample=100).findings) > 1
    owner.execute("update ops.batch set object_expired_at = now() where batch_id = %s", (batches[0],))
    expired = compare_raw(owner, filesystem, "bucket", Scope(), sample=100)
    assert expired.expired > 0
    assert expired.lines + expired.expired == 8


def fill_with_the_past(conn: psycopg.Connection[tuple[Any, ...]], entries: int) -> int:
    """Add old entries of other shipments, within the caller's transaction; return the pages of the log."""
    conn.execute(
        f"insert into {LOG} (tenant_id, shipment_id, entry, event_id, version, position, status, is_legal,"
        " occurred_at, recorded_at, origin, object_key, line, believed_from, hash)"
        " select 'past', 'p' || n, 1, 'e' || n, 1, 1, 'created', true, at, at, 'device', 'raw/past', n, at, '\\x00'"
        " from (select n, %s::timestamptz - interval '90 days' as at from generate_series(1, %s) as n) as g".encode(),
        (NOW, entries),
    )
    conn.execute("select brin_summarize_new_values('audit.shipment_status_believed')")
    conn.execute(f"analyze {LOG}".encode())
    ((pages,),) = conn.execute(
        "select pg_relation_size(%s) / current_setting('block_size')::bigint", (LOG,)
    ).fetchall()
    return int(pages)


def pages_read(conn: psycopg.Connection[tuple[Any, ...]]) -> int:
    """Return how many pages of the log this transaction has asked for."""
    ((pages,),) = conn.execute("select pg_stat_get_xact_blocks_fetched(%s::regclass)", (LOG,)).fetchall()
    return int(pages)


def test_a_sample_of_everything_reads_about_as_many_pages_as_entries(
    owner: psycopg.Connection[tuple[Any, ...]], tmp_path: Path
) -> None:
    pages = fill_with_the_past(owner, 60_000)
    nowhere = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    before = pages_read(owner)
    assert compare_raw(owner, nowhere, "bucket", Scope(), sample=10).expired == 10
    # Pages are drawn one by one, so their number varies; 10 are wanted, of more than 1,000.
    assert pages_read(owner) - before < pages / 10


def test_a_sample_goes_on_until_it_has_what_there_is(
    owner: psycopg.Connection[tuple[Any, ...]], tmp_path: Path
) -> None:
    """One tenant's few entries among many: no page that is drawn need hold one."""
    owner.execute(f"update {LOG} set object_key = 'raw/gone'".encode())
    fill_with_the_past(owner, 60_000)
    nowhere = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    assert len(compare_raw(owner, nowhere, "bucket", Scope(tenant="acme"), sample=10).findings) == 8
    assert len(compare_raw(owner, nowhere, "bucket", Scope(tenant="acme"), sample=3).findings) == 3
    assert len(compare_raw(owner, nowhere, "bucket", Scope(since=NOW.date()), sample=10).findings) == 8


def test_what_is_asked_of_a_day_reads_no_other_chain(owner: psycopg.Connection[tuple[Any, ...]]) -> None:
    pages = fill_with_the_past(owner, 60_000)
    before = pages_read(owner)
    found = verify_within(owner, Scope(since=NOW.date()))
    assert (found.findings, found.chains, found.entries) == ([], 3, 10)
    assert pages_read(owner) - before < pages / 2


@pytest.mark.parametrize(("day", "since"), [("2026-03-10", "2026-03-08"), ("2026-03-15", None)])
def test_a_night_verifies_what_was_added_and_a_sunday_all(
    recorded: Settings, monkeypatch: pytest.MonkeyPatch, day: str, since: str | None
) -> None:
    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: recorded)
    assert verify_chains(day) == {"since": since, "chains": 3, "entries": 10}
    assert verify_chains("2026-03-13")["chains"] == 0


def test_a_broken_chain_fails_the_night(recorded: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: recorded)
    forged = f"update {LOG} set status = %s where shipment_id = 's1' and entry = 4".encode()
    with connect(recorded.dsn("owner"), autocommit=True) as conn:
        conn.execute(forged, ("delivered",))
        try:
            with pytest.raises(ChecksFailedError, match="1 of 3 chains: status acme/s1 entry 4: changed"):
                verify_chains("2026-03-10")
        finally:
            conn.execute(forged, ("picked_up",))


def test_neither_a_lost_head_nor_a_forged_row_stops_the_runs(stack: Settings) -> None:
    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        mirror(conn, "shipments", [order("s1", random.Random(1), cancelled_at=None)])
        land(conn, "shipment_event", [status(f"s{n}", 1, "created", -9) for n in (1, 2)])
        transform(settings)
        conn.execute("delete from intermediate.int_shipment_life where shipment_id = 's1'")
        conn.execute("delete from intermediate.int_shipment_order_head")
        conn.execute(FORGE.format(entry=2).format(log=LOG).replace("'s1'", "'s2'").encode())
        land(conn, "shipment_event", [status(f"s{n}", 2, "assigned", -8 + n) for n in (1, 2)])
        land(conn, "shipment_event", [status("s1", 1, "created", -9)])
        mirror(conn, "shipments", [order("s1", random.Random(2), cancelled_at=None)])
        transform(settings)
        found = verify(conn, Scope())
    assert [(f.shipment_id, f.entry, f.finding) for f in found.findings] == [("s2", 2, "changed")]
    assert found.entries == 2 + 2 + 2
