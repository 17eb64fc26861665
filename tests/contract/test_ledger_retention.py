"""What the warehouse itself refuses to drop, and what goes with what: the ledger's days, alerts, landing's days."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from quality.reconcile import Attempt, Sent, Verdict, Window, advance, due_windows, reconcile, record

FEED = "driver_assignment_event"
DAY = date(2031, 5, 6)
NOON = datetime(2031, 5, 6, 12, tzinfo=UTC)
MIDNIGHT = datetime(2031, 5, 6, tzinfo=UTC)
BATCH = (
    "insert into ops.batch (batch_id, source, feed, stream, shard, first_sequence, last_sequence, events_read,"
    " accepted, rejected, object_key, object_expired_at, first_arrived_at, last_arrived_at, min_event_time,"
    " max_event_time,"
    " landed_at, worker) values (%(id)s, %(source)s, %(feed)s, 's', 'a', %(id)s, %(id)s, 5, 3, 2, %(key)s, %(expired)s,"
    " %(at)s, %(at)s, %(at)s, %(at)s, %(at)s, 'w')"
)


@pytest.fixture
def conn(warehouse: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that is rolled back, for the other tests share the warehouse."""
    with psycopg.connect(warehouse) as opened:
        opened.execute(
            "truncate ops.batch, ops.reconciliation, ops.verified_through, ops.retention_action cascade"
        )
        yield opened
        opened.rollback()


def add(conn: psycopg.Connection[Any], number: int, at: datetime = NOON, **other: Any) -> None:
    """Enter a batch that is transformed and has two rejects; its raw object is gone."""
    facts = {"source": "stream", "feed": FEED, "key": f"o{number}", "expired": NOON, **other}
    conn.execute(BATCH.encode(), {"id": number, "at": at, **facts})
    conn.execute("delete from ops.pending_batch where batch_id = %s", (number,))
    conn.execute(
        "with run as (insert into ops.transform_run (pipeline, claimed_by, state) values ('shipments', 't', 'done')"
        " returning run_id) insert into ops.transformed_batch select 'shipments', %s, run_id from run",
        (number,),
    )
    conn.execute(
        "insert into ops.rejected (batch_id, feed, rule, detail, raw) select %s, %s, 'not_json', 'x', 'y'"
        " from generate_series(1, 2)",
        (number, facts["feed"]),
    )


def verify(conn: psycopg.Connection[Any], day: date = DAY, at: datetime | None = None) -> None:
    """Let the day of the feed pass, as it was counted at midnight after it."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    window = Window(FEED, "day", start, start + timedelta(days=1))
    record(conn, Attempt(window, Verdict.PASSED, at or window.end, {"read": 5}))
    advance(conn, FEED, "day")


def drop(conn: psycopg.Connection[Any], area: str = "batches", feed: str = FEED) -> str | None:
    """Drop the day; return why it was refused."""
    conn.execute("select ops.drop_ledger_day(%s, %s, %s)", (feed, area, DAY))
    row = conn.execute(
        "select action, reason from ops.retention_action order by retention_action_id desc limit 1"
    ).fetchone()
    assert row is not None
    return row[1] if row[0] == "refused" else None


def rows(conn: psycopg.Connection[Any], table: str) -> int:
    found: int = conn.execute(f"select count(*) from ops.{table}".encode()).fetchall()[0][0]
    return found


def test_a_day_goes_with_all_that_hangs_on_it_and_stays_in_the_totals(conn: psycopg.Connection[Any]) -> None:
    file = conn.execute(
        "insert into ops.partner_file (partner, tenant_id, feed, name, state, lines, accepted, rejected, unchanged)"
        " values ('p', 'acme', %s, 'f', 'loaded', 5, 3, 2, 0) returning file_id",
        (FEED,),
    ).fetchall()[0][0]
    add(conn, 1)
    add(conn, 2, source="partner")
    add(conn, 3, NOON + timedelta(days=1))
    conn.execute("update ops.batch set partner_file_id = %s where batch_id = 2", (file,))
    conn.execute("insert into ops.partner_extra values (2, 0, %s, 'e', '{}')", (FEED,))
    verify(conn)
    assert drop(conn) is None
    assert conn.execute("select batch_id from ops.batch").fetchall() == [(3,)]
    assert [rows(conn, name) for name in ("rejected", "transformed_batch", "partner_extra")] == [2, 1, 0]
    totals = conn.execute(
        "select source, batches, events_read, accepted, rejected from ops.batch_total where feed = %s order by 1",
        (FEED,),
    ).fetchall()
    assert totals == [("partner", 1, 5, 3, 2), ("stream", 1, 5, 3, 2)]
    assert conn.execute(
        "select batches_expired_at is not null from ops.partner_file where file_id = %s", (file,)
    ).fetchall() == [(True,)]
    told = conn.execute(
        "select area, subject, row_count from ops.retention_action where action = 'dropped'"
    ).fetchall()
    assert told == [("batches", f"batches.{FEED}_20310506", 2)]


def test_the_whole_still_adds_up_over_what_the_ledger_has_dropped(conn: psycopg.Connection[Any]) -> None:
    conn.execute(f"truncate landing.{FEED}".encode())
    add(conn, 1)
    verify(conn)
    assert drop(conn) is None
    (found, *_) = reconcile(conn, [FEED], {FEED: Sent(5, 3, 5)}, lambda _: 0)
    assert (found.faults, found.read, found.accepted, found.dropped) == ((), 5, 3, 3)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            "insert into ops.pending_batch values ('shipments', 1)",
            "not transformed: 1 batches wait for shipments",
        ),
        ("update ops.verified_through set verified_through = verified_from", "not reconciled"),
        ("update ops.reconciliation set verdict = 'differs'", r"does not hold \(differs\)"),
        (
            "update ops.batch set landed_at = landed_at + interval '2 days'",
            "batch 1 of .* landed after its window",
        ),
        (
            f"insert into ops.legal_hold (feed, reason, placed_by) values ('{FEED}', 'case 7', 't')",
            "legal hold .*: case 7",
        ),
        ("update ops.batch set object_expired_at = null", "batch 1 still has its raw object"),
        (f"select ops.create_landing_day('{FEED}', '2031-05-06')", "landing still has the day"),
        (
            "with b as (insert into ops.backfill (feed, from_at, to_at, requested_by) values"
            f" ('{FEED}', '2031-05-06', '2031-05-07', 't') returning backfill_id)"
            " insert into ops.backfill_batch select backfill_id, 1, 1 from b",
            "wanted by an open backfill",
        ),
    ],
    ids=["pending", "unverified", "differs", "uncounted", "held", "object", "landing", "backfill"],
)
def test_a_day_that_something_needs_stays(conn: psycopg.Connection[Any], spoil: str, reason: str) -> None:
    add(conn, 1)
    verify(conn)
    conn.execute(spoil.encode())
    refusal = drop(conn)
    assert refusal is not None
    assert re.search(reason, refusal), refusal
    assert (rows(conn, "batch"), rows(conn, "rejected"), rows(conn, "batch_total")) == (1, 2, 0)


def test_rejects_go_before_their_batches_and_are_no_loss(conn: psycopg.Connection[Any]) -> None:
    add(conn, 1, expired=None)
    verify(conn)
    assert drop(conn, "rejects") is None
    assert (rows(conn, "batch"), rows(conn, "rejected")) == (1, 0)
    days = "select day from ops.ledger_days(%s, %s, %s) as d (day)"
    later = NOON + timedelta(days=500)
    assert conn.execute(days.encode(), (FEED, "rejects", later)).fetchall() == []
    assert conn.execute(days.encode(), (FEED, "batches", later)).fetchall() == [(DAY,)]
    assert conn.execute(days.encode(), (FEED, "batches", MIDNIGHT)).fetchall() == []
    conn.execute("update ops.batch set object_expired_at = now()")
    (found, *_) = reconcile(conn, [FEED], {}, lambda _: 0)
    assert not [fault for fault in found.faults if "rejects" in fault]


def test_a_batch_that_replayed_what_is_kept_stays(conn: psycopg.Connection[Any]) -> None:
    add(conn, 1)
    add(conn, 2, NOON - timedelta(days=1))
    conn.execute("update ops.rejected set replay_batch_id = 1 where batch_id = 2")
    verify(conn, DAY - timedelta(days=1))
    verify(conn)
    assert drop(conn) == "batch 1 replayed rejects that are still kept"


def test_pulls_wait_for_the_order_database_and_lines_of_no_feed_for_all_others(
    conn: psycopg.Connection[Any],
) -> None:
    add(conn, 1, feed="shipments", source="cdc", key=None)
    add(conn, 2, feed="unknown", key=None)
    assert drop(conn, feed="unknown") == "not reconciled: nothing is verified"
    add(conn, 3)
    verify(conn)
    assert drop(conn, feed="unknown") is None
    assert drop(conn, feed="shipments") == "not reconciled: the order database is not verified until then"
    conn.execute(
        "insert into ops.verified_through values ('order_database', 'day', %s, %s)",
        (MIDNIGHT, MIDNIGHT + timedelta(days=1)),
    )
    assert drop(conn, feed="shipments") is None


def test_a_partner_file_that_lands_days_late_is_counted_before_anything_goes(
    conn: psycopg.Connection[Any],
) -> None:
    """It lands under its arrival: behind `verified_through`, in a window that was counted long ago."""
    add(conn, 1)
    verify(conn)
    verify(conn, DAY + timedelta(days=1))
    held_until = NOON + timedelta(days=20)
    add(conn, 2, source="partner")
    conn.execute("update ops.batch set landed_at = %s where batch_id = 2", (held_until,))
    assert conn.execute(
        "select ops.uncounted(%s, %s, %s)", (FEED, MIDNIGHT, MIDNIGHT + timedelta(days=1))
    ).fetchall() == [(f"not reconciled: batch 2 of {FEED} landed after its window was counted",)]
    due = [w.start for w in due_windows(conn, [FEED], "day", held_until + timedelta(hours=1))]
    assert MIDNIGHT in due
    verify(conn, at=held_until + timedelta(hours=1))
    due = [w.start for w in due_windows(conn, [FEED], "day", held_until + timedelta(hours=2))]
    assert MIDNIGHT not in due
    assert drop(conn) is None


def test_history_that_has_just_arrived_is_verified_before_its_days_go(conn: psycopg.Connection[Any]) -> None:
    """Events of long ago lie on days of the lake that are past keeping: their arrival guards them, not the day."""
    add(conn, 1)
    conn.execute("update ops.batch set min_event_time = '2015-03-01', max_event_time = '2015-03-31'")
    spring = (FEED, datetime(2015, 3, 9, tzinfo=UTC), datetime(2015, 3, 10, tzinfo=UTC))
    guard = "select ops.unverified(%s, %s), ops.unverified_events(%s, %s, %s)"
    assert conn.execute(guard.encode(), (FEED, spring[2], *spring)).fetchall() == [
        (None, f"not reconciled: batch 1 of {FEED} is not verified and has events of these days")
    ]
    verify(conn)
    assert conn.execute(guard.encode(), (FEED, spring[2], *spring)).fetchall() == [(None, None)]


def test_a_window_that_never_held_stays_due_however_old(conn: psycopg.Connection[Any]) -> None:
    add(conn, 1)
    verify(conn)
    verify(conn, DAY + timedelta(days=1))
    conn.execute("update ops.reconciliation set verdict = 'differs' where window_start = %s", (MIDNIGHT,))
    due = due_windows(conn, [FEED], "day", NOON + timedelta(days=30))
    assert due[0] == Window(FEED, "day", MIDNIGHT, MIDNIGHT + timedelta(days=1))


def test_what_the_ledger_dropped_cannot_be_asked_for(conn: psycopg.Connection[Any]) -> None:
    add(conn, 1)
    add(conn, 2, NOON + timedelta(days=1))
    verify(conn)
    assert drop(conn) is None
    asked = due_windows(conn, [FEED], "day", NOON + timedelta(days=5), MIDNIGHT, MIDNIGHT + timedelta(days=2))
    assert [window.start for window in asked] == [MIDNIGHT + timedelta(days=1)]


def test_cuts_go_after_their_batches_but_for_the_newest_of_a_shard(conn: psycopg.Connection[Any]) -> None:
    conn.execute("insert into ops.shard_lease (stream, shard) values ('s', 'a'), ('s', 'b')")
    conn.execute("truncate ops.shard_cut")
    conn.execute(
        "insert into ops.shard_cut (stream, shard, epoch, last_sequence, events, first_arrived_at, cut_at)"
        " select 's', shard, 1, n, '{}', case when n in (0, 2) then %(at)s::timestamptz end + n * interval '1 hour',"
        " %(at)s::timestamptz + n * interval '1 hour' from generate_series(0, 3) as n,"
        " unnest('{a,b}'::text[]) as shard",
        {"at": NOON},
    )
    left = "select shard, last_sequence from ops.shard_cut order by 1, 2"
    add(conn, 1, NOON + timedelta(hours=1))
    expire = "select ops.expire_cuts(%s, 100)"
    assert conn.execute(expire.encode(), (NOON + timedelta(days=9),)).fetchall() == [(2,)]
    conn.execute("delete from ops.rejected")
    conn.execute("delete from ops.transformed_batch")
    conn.execute("delete from ops.batch")
    assert conn.execute(expire.encode(), (NOON + timedelta(hours=2),)).fetchall() == [(2,)]
    assert conn.execute(expire.encode(), (NOON + timedelta(days=9),)).fetchall() == [(2,)]
    assert conn.execute(left.encode()).fetchall() == [("a", "3"), ("b", "3")]


def test_an_alert_goes_with_its_notices_and_never_while_it_is_open(conn: psycopg.Connection[Any]) -> None:
    conn.execute("truncate ops.alert cascade")
    conn.execute(
        "insert into ops.alert (name, severity, subject, detail, raised_at, last_seen_at, resolved_at)"
        " select n, 'error', n, 'x', %(old)s, seen, ended from"
        " (values ('over', %(old)s::timestamptz, %(old)s::timestamptz),"
        " ('open', %(new)s, null), ('just_over', %(new)s, %(new)s), ('event', null, null)) as a (n, seen, ended)",
        {"old": NOON, "new": NOON + timedelta(days=401)},
    )
    conn.execute(
        "insert into ops.alert_notice (alert_id, channel, notice) select alert_id, 'sns', 'raised' from ops.alert"
    )
    conn.execute(
        "insert into ops.alert_state select name, subject, severity, 1, 'x', raised_at, raised_at, null, alert_id"
        " from ops.alert where name = 'open'"
    )
    gone = conn.execute("select ops.expire_rows('alert', %s, 100)", (NOON + timedelta(days=400),)).fetchall()
    assert gone == [(2,)]
    assert conn.execute("select name from ops.alert order by 1").fetchall() == [("just_over",), ("open",)]
    assert rows(conn, "alert_notice") == 2


def test_who_reads_landing_for_long_is_not_waited_for(warehouse: str) -> None:
    """Dropping a partition stands before everybody who lands: it gives up after seconds, and says so."""
    with psycopg.connect(warehouse, autocommit=True) as owner, psycopg.connect(warehouse) as reader:
        owner.execute("truncate ops.batch, ops.verified_through, ops.retention_action cascade")
        owner.execute("select ops.create_landing_day(%s, %s)", (FEED, DAY))
        reader.execute(f"select count(*) from landing.{FEED}".encode()).fetchall()
        assert owner.execute("select ops.drop_landing_day(%s, %s)", (FEED, DAY)).fetchall() == [(False,)]
        told = owner.execute("select action, reason from ops.retention_action").fetchall()
        assert told == [("refused", "busy: a statement has read the table for more than 3 s")]
        reader.rollback()
        assert owner.execute("select ops.drop_landing_day(%s, %s)", (FEED, DAY)).fetchall() == [(True,)]
        owner.execute("truncate ops.retention_action")
