"""Reconciliation on a real warehouse: what is lost or doubled is a fault, a day that landing has dropped is not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from quality.reconcile import FeedReconciliation, Sent, reconcile

FEED = "driver_assignment_event"
OLD = datetime(2031, 5, 6, 12, tzinfo=UTC)
SENT = {FEED: Sent(sent=6, valid_distinct=6, most_distinct=6)}


@pytest.fixture
def conn(warehouse: str) -> Iterator[psycopg.Connection]:
    """Two batches of three rows, a day apart, in a transaction that is rolled back."""
    with psycopg.connect(warehouse) as opened:
        opened.execute("truncate ops.batch cascade")
        opened.execute(f"truncate landing.{FEED}".encode())
        for n in (0, 1):
            opened.execute("select ops.keep_landing(7, 3, %s)", (date(2031, 5, 6),))
            opened.execute(
                "insert into ops.batch (batch_id, source, feed, stream, shard, first_sequence, last_sequence,"
                " events_read, accepted, rejected, object_key, first_arrived_at, last_arrived_at, worker)"
                " values (%s, 'stream', %s, 's', 'a', %s, %s, 3, 3, 0, %s, %s, %s, 'w')",
                (n, FEED, str(n), str(n), f"object-{n}", *[OLD + timedelta(days=n)] * 2),
            )
            opened.execute(
                f"insert into landing.{FEED} select 'acme', 'e' || i, now(), 1, 'a1', 's1', 'd1', null, 'assigned',"
                " now(), 0, %s, i, %s from generate_series(%s::int, %s::int) as i".encode(),
                (n, OLD + timedelta(days=n), 3 * n, 3 * n + 2),
            )
        yield opened
        opened.rollback()


def check(conn: psycopg.Connection) -> FeedReconciliation:
    return reconcile(conn, [FEED], SENT, lambda _: 3)[0]


def test_what_is_whole_adds_up(conn: psycopg.Connection) -> None:
    found = check(conn)
    assert found.faults == ()
    assert (found.read, found.landed, found.dropped, found.raw_rows) == (6, 6, 0, 6)


def test_a_dropped_day_is_no_loss(conn: psycopg.Connection) -> None:
    conn.execute("delete from ops.pending_batch")
    conn.execute(
        "insert into ops.verified_through (feed, grain, verified_from, verified_through) values (%s, 'day', %s, %s)",
        (FEED, OLD - timedelta(hours=12), OLD + timedelta(hours=12)),
    )
    conn.execute("select ops.keep_landing(7, 3, %s)", (date(2031, 5, 14),))
    found = check(conn)
    assert found.faults == ()
    assert (found.landed, found.dropped) == (3, 3)


def test_a_row_that_went_missing_is_a_fault(conn: psycopg.Connection) -> None:
    conn.execute(f"delete from landing.{FEED} where event_id = 'e4'".encode())
    faults = " ".join(check(conn).faults)
    assert "rows in landing: 5" in faults
    assert "rows of batch 1 in landing: 2" in faults
    assert "distinct events landed: 5" in faults


def test_a_row_too_many_makes_good_for_no_row_missing(conn: psycopg.Connection) -> None:
    """One batch lost a row and the other has one twice: the totals agree, and yet."""
    conn.execute(f"update landing.{FEED} set batch_id = 0 where event_id = 'e4'".encode())
    assert len(check(conn).faults) == 2


def test_rows_of_no_batch_are_a_fault(conn: psycopg.Connection) -> None:
    conn.execute(f"update landing.{FEED} set batch_id = 99 where event_id = 'e4'".encode())
    assert any("rows of batch 99" in fault for fault in check(conn).faults)


def test_a_file_of_which_only_the_first_rejects_are_kept_adds_up(conn: psycopg.Connection) -> None:
    conn.execute(
        "insert into ops.batch (batch_id, source, feed, events_read, accepted, rejected, first_arrived_at,"
        " last_arrived_at, worker) values (7, 'partner', %s, 10002, 0, 10002, %s, %s, 'w')",
        (FEED, OLD, OLD),
    )
    conn.execute(
        "insert into ops.rejected (batch_id, feed, rule, detail, raw)"
        " select 7, %s, 'not_json', 'x', 'y' from generate_series(1, 10000)",
        (FEED,),
    )
    assert check(conn).faults == ()
    conn.execute("delete from ops.rejected where reject_id = (select min(reject_id) from ops.rejected)")
    assert "rejects kept: 9999" in " ".join(check(conn).faults)
