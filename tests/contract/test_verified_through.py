"""How far a feed is verified: over passes without a gap, from where it stands, whatever becomes of old rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from quality.reconcile import (
    Attempt,
    Cause,
    Difference,
    Verdict,
    Window,
    advance,
    due_windows,
    newest,
    record,
)

FEED = "gps_location"
START = datetime(2031, 5, 6, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def conn(warehouse: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(warehouse) as opened:
        opened.execute("truncate ops.reconciliation, ops.verified_through")
        opened.execute("delete from ops.pending_batch where batch_id = -1")
        opened.execute(
            "insert into ops.batch (batch_id, source, feed, events_read, accepted, rejected, first_arrived_at,"
            " last_arrived_at, landed_at, worker) values (-1, 'stream', %s, 1, 1, 0, %s, %s, %s, 'w')",
            (FEED, *[START + timedelta(minutes=5)] * 3),
        )
        yield opened
        opened.rollback()


def attempt(conn: psycopg.Connection, hour: int, verdict: Verdict) -> int:
    window = Window(FEED, "hour", START + hour * HOUR, START + (hour + 1) * HOUR)
    bad = () if verdict.holds else (Difference("landing", Cause.MISSING, "rows are gone"),)
    return record(conn, Attempt(window, verdict, START + (hour + 2) * HOUR, {"read": 1}, bad))


def through(conn: psycopg.Connection) -> datetime | None:
    return advance(conn, FEED, "hour")


def test_it_stops_at_what_does_not_hold_and_moves_on_when_that_is_mended(conn: psycopg.Connection) -> None:
    attempt(conn, 0, Verdict.PASSED)
    assert through(conn) == START + HOUR
    attempt(conn, 1, Verdict.DIFFERS)
    attempt(conn, 2, Verdict.PASSED)
    assert through(conn) == START + HOUR
    assert attempt(conn, 1, Verdict.NOT_COUNTED) == 2
    assert through(conn) == START + HOUR
    assert attempt(conn, 1, Verdict.REPAIRED) == 3
    assert through(conn) == START + 3 * HOUR


def test_a_window_that_was_never_counted_is_a_gap(conn: psycopg.Connection) -> None:
    attempt(conn, 0, Verdict.PASSED)
    attempt(conn, 2, Verdict.PASSED)
    assert through(conn) == START + HOUR


def test_it_begins_at_the_first_batch_and_not_at_the_first_pass(conn: psycopg.Connection) -> None:
    attempt(conn, 1, Verdict.PASSED)
    assert through(conn) is None


def test_it_is_stored_and_not_derived_from_what_is_left(conn: psycopg.Connection) -> None:
    attempt(conn, 0, Verdict.PASSED)
    through(conn)
    conn.execute("delete from ops.reconciliation")
    assert through(conn) == START + HOUR
    attempt(conn, 1, Verdict.PASSED)
    assert through(conn) == START + 2 * HOUR


def test_every_attempt_is_kept_and_the_newest_holds(conn: psycopg.Connection) -> None:
    window = Window(FEED, "hour", START, START + HOUR)
    assert newest(conn, window) is None
    for number, verdict in enumerate((Verdict.DIFFERS, Verdict.NOT_COUNTED, Verdict.REPAIRED), 1):
        assert attempt(conn, 0, verdict) == number
    found = newest(conn, window)
    assert found is not None
    assert (found.number, found.verdict) == (3, Verdict.REPAIRED)


def due(conn: psycopg.Connection, at: datetime) -> list[datetime]:
    return [window.start for window in due_windows(conn, [FEED], "hour", at)]


def test_what_is_closed_and_not_verified_is_due(conn: psycopg.Connection) -> None:
    assert due(conn, START + HOUR) == [], "an hour closes a while after its end"
    assert due(conn, START + HOUR + timedelta(minutes=5)) == [START]
    attempt(conn, 0, Verdict.PASSED)
    attempt(conn, 1, Verdict.DIFFERS)
    attempt(conn, 2, Verdict.PASSED)
    through(conn)
    late = START + 4 * HOUR + timedelta(minutes=20)
    assert due(conn, late) == [START + HOUR, START + 3 * HOUR]


def test_a_batch_that_came_into_a_verified_window_makes_it_due_again(conn: psycopg.Connection) -> None:
    attempt(conn, 0, Verdict.PASSED)
    through(conn)
    at = START + 2 * HOUR + timedelta(minutes=6)
    attempt(conn, 1, Verdict.PASSED)
    assert due(conn, at) == []
    conn.execute("update ops.batch set landed_at = %s where batch_id = -1", (START + 3 * HOUR,))
    assert due(conn, at) == [START]
