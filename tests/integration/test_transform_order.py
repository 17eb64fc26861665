"""The same events in any order, with any repetition, in any batches give the same marts, row by row.

Some events come again with another content: of a partner what was sent last holds, of a device what was sent first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from transform_warehouse import land, marts, mirror, population, transform, warehouse

from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings

SHIPMENTS = 300
EVENTS = ("shipment_event", "driver_assignment_event")
CONTENT = ("event_id", "origin", "recorded_at", "occurred_at", "status")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("order"), ("postgres",)) as settings:
        yield settings


def corrected(events: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Send a third of the events again, otherwise, half of all by partners; return all that is sent, and what holds."""
    dice = random.Random(3)
    sent, holds = [], []
    for event in events:
        versions = [event | {"origin": dice.choice(("partner", "device"))}]
        for _ in range(dice.choice((0, 0, 0, 1, 2))):
            before = versions[-1]
            change = {
                "recorded_at": before["recorded_at"] + timedelta(hours=dice.randint(1, 90)),
                "occurred_at": before["occurred_at"] + timedelta(minutes=dice.choice((0, -700, 45, 900))),
                "status": dice.choice(("exception", "delivered", before["status"], before["status"])),
                "reason_code": dice.choice(("weather", None)),
            }
            versions.append(before | change)
        sent += versions
        holds.append(versions[-1 if versions[0]["origin"] == "partner" else 0])
    return sent, holds


def build(settings: Settings, rows: dict[str, list[dict[str, Any]]], seed: int | None, runs: int) -> None:
    """Land and transform everything: as it is, or by dice in another order, repeated, cut, orders in between."""
    dice = random.Random(seed)
    arrivals: list[tuple[str, list[dict[str, Any]]]] = []
    for feed in EVENTS:
        events = list(rows[feed])
        if seed is not None:
            events += dice.choices(events, k=len(events) // 5)
            dice.shuffle(events)
        cuts = sorted(dice.sample(range(1, len(events)), runs * 2 - 1)) if runs > 1 else []
        arrivals += [(feed, events[a:b]) for a, b in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    arrivals += [(entity, rows[entity]) for entity in ("shipments", "sites", "drivers", "vehicles")]
    dice.shuffle(arrivals)
    share = -(-len(arrivals) // runs)
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for number, (feed, batch) in enumerate(arrivals, start=1):
            (land if feed in EVENTS else mirror)(conn, feed, batch)
            if number % share == 0:
                transform(settings)
    transform(settings)


def test_marts_do_not_know_how_events_arrived(stack: Settings) -> None:
    rows = population(SHIPMENTS)
    rows["shipment_event"], holds = corrected(rows["shipment_event"])
    assert len(rows["shipment_event"]) - len(holds) > 100
    with warehouse(stack) as at_once, warehouse(stack) as piecemeal:
        build(at_once, rows, seed=None, runs=1)
        build(piecemeal, rows, seed=11, runs=4)
        expected, found = marts(at_once), marts(piecemeal)
        assert stored(at_once) == sorted(tuple(event[name] for name in CONTENT) for event in holds)
        for name, table in expected.items():
            assert table, f"{name} is empty: the comparison would prove nothing"
            assert found[name] == table, name

        transform(piecemeal, full_refresh=True)
        refreshed = marts(piecemeal)
        for name, table in expected.items():
            assert refreshed[name] == table, f"{name} after a full refresh"


def stored(settings: Settings) -> list[tuple[Any, ...]]:
    """The content of every event that the history holds."""
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        columns = ", ".join(CONTENT)
        return sorted(
            conn.execute(f"select {columns} from intermediate.int_shipment_status_history").fetchall()
        )


def test_the_history_outlives_landing(stack: Settings) -> None:
    rows = population(40)
    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        build(settings, rows, seed=None, runs=1)
        before = marts(settings)
        conn.execute("truncate landing.shipment_event, landing.driver_assignment_event")
        transform(settings, full_refresh=True)
        assert marts(settings) == before
