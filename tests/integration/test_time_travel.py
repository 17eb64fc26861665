"""What the SLA marts said at the close of a day is what a copy taken at that close says, whatever came after."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql
from transform_warehouse import NOW, land, mirror, population, site, transform, warehouse

from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings

DAYS = ("2026-03-10", "2026-03-11", "2026-03-12")
CLOSES = dict(zip(DAYS, ("2026-03-11", "2026-03-12", "2026-03-13"), strict=True))
MARTS = {
    "fct_shipment_sla": "tenant_id, shipment_id",
    "fct_on_time_daily": "tenant_id, promised_date, region, carrier_id, service_level, mode",
}
Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("travel"), ("postgres",)) as settings:
        yield settings


def read(settings: Settings, suffix: str, **session: str) -> Rows:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        for name, value in session.items():
            conn.execute("select set_config(%s, %s, false)", (f"fleetflow.{name}", value))
        return {
            mart: conn.execute(f"select * from marts.{mart}{suffix} order by {key}".encode()).fetchall()
            for mart, key in MARTS.items()
        }


def turn_to(conn: Connection, day: str, hour: int) -> None:
    """Set the clock of every session that opens from now on."""
    name = conn.info.dbname
    conn.execute(
        sql.SQL("alter database {} set fleetflow.as_of = {}").format(
            sql.Identifier(name), sql.Literal(f"{day} {hour:02}:00+00")
        )
    )


def changed(rows: dict[str, list[dict[str, Any]]], dice: random.Random) -> dict[str, list[dict[str, Any]]]:
    """What the second day brings: late events, corrections, new promises, cancellations, deletions, a new region."""
    corrected = [
        event | {"origin": "partner", "recorded_at": NOW, "status": "exception", "reason_code": "weather"}
        for event in dice.sample(rows["shipment_event"], 40)
    ]
    orders = []
    for was in dice.sample(rows["shipments"], 40):
        change: dict[str, Any] = dice.choice(
            (
                {"promised_at": was["promised_at"].replace(hour=1)},
                {"cancelled_at": NOW},
                {"_deleted": True},
                {"carrier_id": "k9"},
            )
        )
        orders.append(was | change)
    return {"shipment_event": corrected, "shipments": orders, "sites": [site(1, region="west")]}


def test_each_close_says_what_a_copy_of_its_time_says(stack: Settings) -> None:
    dice = random.Random(3)
    rows = population(120)
    events = rows["shipment_event"]
    dice.shuffle(events)
    half = len(events) // 2
    arrivals: list[dict[str, list[dict[str, Any]]]] = [
        {**{e: rows[e] for e in ("sites", "drivers", "vehicles")}, "shipments": rows["shipments"][:80],
         "shipment_event": events[:half]},
        {"shipment_event": events[half:], "shipments": rows["shipments"][80:]},
        changed(rows, dice),
    ]  # fmt: skip
    copies: dict[str, Rows] = {}
    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        for day, arrival in zip(DAYS, arrivals, strict=True):
            for hour, share in (
                (9, 0),
                (18, 1),
            ):  # two runs a day: the first one's knowledge is not what the day closes on
                turn_to(conn, day, hour)
                for feed, batch in arrival.items():
                    part = batch[share::2]
                    if part:
                        (land if feed == "shipment_event" else mirror)(conn, feed, part)
                transform(settings)
            copies[day] = read(settings, "", as_of=f"{CLOSES[day]} 00:00+00")
        assert copies[DAYS[0]] != copies[DAYS[1]]
        assert copies[DAYS[1]] != copies[DAYS[2]]
        transform(settings, full_refresh=True)
        turn_to(conn, "2026-04-01", 9)
        for day in DAYS:
            closed = read(settings, "_closed", closed_on=day)
            for mart, copy in copies[day].items():
                assert len(copy) > 20
                assert closed[mart] == copy, f"{mart} at the close of {day}"
        before = read(settings, "_closed", closed_on="2026-03-09")
        assert before == {mart: [] for mart in MARTS}


def test_without_a_day_the_last_close_is_meant(stack: Settings) -> None:
    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        turn_to(conn, "2026-03-10", 12)
        mirror(conn, "shipments", population(20)["shipments"])
        transform(settings)
        assert read(settings, "_closed") == {mart: [] for mart in MARTS}
        turn_to(conn, "2026-03-11", 0)
        assert read(settings, "_closed") == read(settings, "", as_of="2026-03-11 00:00+00")
