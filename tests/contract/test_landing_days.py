"""The upkeep of landing's daily partitions: days ahead are there, and a day that was missed is made good."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

FEED = "driver_assignment_event"
DAY = date(2031, 5, 6)
NOON = datetime(2031, 5, 6, 12, tzinfo=UTC)
INSERT = (
    f"insert into landing.{FEED} values ('acme', %s, now(), 1, 'a1', 's1', 'd1', null, 'assigned', now(), 0,"
    " 1, 0, %s)"
)


def keep(conn: psycopg.Connection, day: date) -> set[tuple[date, str]]:
    rows = conn.execute("select day, action from ops.keep_landing(7, 3, %s) where feed = %s", (day, FEED))
    return {(day, action) for day, action in rows.fetchall()}


def lies_in(conn: psycopg.Connection) -> dict[str, str]:
    """Each event and the partition that holds it."""
    rows = conn.execute(f"select event_id, tableoid::regclass::text from landing.{FEED}".encode())
    return {event_id: table.split(".")[-1].strip('"') for event_id, table in rows.fetchall()}


@pytest.fixture
def conn(warehouse: str) -> Iterator[psycopg.Connection]:
    """A transaction that is rolled back, for the other tests share the warehouse."""
    with psycopg.connect(warehouse) as opened:
        yield opened
        opened.rollback()


def test_days_ahead_are_made_once(conn: psycopg.Connection) -> None:
    wanted = {(DAY + timedelta(days=n), "created") for n in (-1, 0, 1, 2, 3)}
    assert wanted <= keep(conn, DAY)
    assert keep(conn, DAY) == set()


def test_what_landed_on_a_missed_day_moves_into_its_partition(conn: psycopg.Connection) -> None:
    """Upkeep that did not run for days must not fail for ever after on the rows that went to the default."""
    for n in range(-3, 2):
        conn.execute(INSERT.encode(), (f"e{n}", NOON + timedelta(days=n)))
    assert set(lies_in(conn).values()) == {f"{FEED}_default"}
    keep(conn, DAY)
    assert lies_in(conn) == {
        "e-3": f"{FEED}_default",  # too long ago to be given a day
        "e-2": f"{FEED}_default",
        "e-1": f"{FEED}_20310505",
        "e0": f"{FEED}_20310506",
        "e1": f"{FEED}_20310507",
    }
    conn.execute(INSERT.encode(), ("new", NOON))
    assert lies_in(conn)["new"] == f"{FEED}_20310506"
    secured = conn.execute(
        "select relrowsecurity from pg_class where relname = %s", (f"{FEED}_20310506",)
    ).fetchone()
    indexes = conn.execute(
        "select count(*) from pg_indexes where tablename = %s", (f"{FEED}_20310506",)
    ).fetchone()
    assert (secured, indexes) == ((True,), (1,))


def test_an_old_day_is_dropped(conn: psycopg.Connection) -> None:
    keep(conn, DAY)
    assert (DAY - timedelta(days=1), "dropped") in keep(conn, DAY + timedelta(days=7))
