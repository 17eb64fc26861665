"""The same events in any order, with any repetition, in any batches give the same marts, row by row."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from transform_warehouse import land, marts, mirror, population, transform, warehouse

from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings

SHIPMENTS = 300
EVENTS = ("shipment_event", "driver_assignment_event")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("order"), ("postgres",)) as settings:
        yield settings


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
    with warehouse(stack) as at_once, warehouse(stack) as piecemeal:
        build(at_once, rows, seed=None, runs=1)
        build(piecemeal, rows, seed=11, runs=4)
        expected, found = marts(at_once), marts(piecemeal)
        for name, table in expected.items():
            assert table, f"{name} is empty: the comparison would prove nothing"
            assert found[name] == table, name

        transform(piecemeal, full_refresh=True)
        refreshed = marts(piecemeal)
        for name, table in expected.items():
            assert refreshed[name] == table, f"{name} after a full refresh"


def test_the_history_outlives_landing(stack: Settings) -> None:
    rows = population(40)
    with warehouse(stack) as settings, connect(settings.dsn("owner"), autocommit=True) as conn:
        build(settings, rows, seed=None, runs=1)
        before = marts(settings)
        conn.execute("truncate landing.shipment_event, landing.driver_assignment_event")
        transform(settings, full_refresh=True)
        assert marts(settings) == before
