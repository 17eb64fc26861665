"""The same 50,000 events sent sorted, shuffled, and with 20 % duplicates in other cuts give the same marts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from fleetflow.local.stack import running
from fleetflow.settings import Settings
from fleetflow.simulator.plan import Faults, SimulationPlan
from fleetflow.simulator.run import run_simulation
from fleetflow.simulator.sinks import FileSink, Streams
from tests.e2e.commands import fleetflow, marts, rows

EVENTS = 50_000
FEEDS = ("shipment_event", "driver_assignment_event")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """A fleet's past: out-of-order, late and illegal events included, sorted by when they were sent."""
    plan = SimulationPlan(
        start=datetime(2026, 3, 1, tzinfo=UTC), seed=50, rate=1000, events=0, history_days=8, history_shipments=900,
        shipments=3000, faults=Faults(out_of_order=0.03, late=0.01, illegal=0.02, missing_driver=0.005),
    )  # fmt: skip
    place = tmp_path_factory.mktemp("lines")
    with FileSink(place, "gps_location") as gps, FileSink(place, "shipment_event") as status:
        run_simulation(plan, None, Streams(gps, status), None)
    found = {feed: (place / f"{feed}.ndjson").read_text().splitlines() for feed in FEEDS}
    share = EVENTS / sum(map(len, found.values()))
    assert share <= 1
    kept = round(len(found[FEEDS[0]]) * share)
    chosen = {FEEDS[0]: found[FEEDS[0]][:kept], FEEDS[1]: found[FEEDS[1]][: EVENTS - kept]}
    return {
        feed: sorted(some, key=lambda line: json.loads(line)["recorded_at"]) for feed, some in chosen.items()
    }


def build(
    home: Path, lines: dict[str, list[str]], parts: int, flush_rows: int
) -> Iterator[tuple[Settings, dict[str, list[str]]]]:
    """Send in parts, each landed and transformed by itself."""
    with running(home, ("postgres", "aws"), env={"FLEETFLOW_KINESIS_LIMITS": "0"}) as settings:
        with psycopg.connect(
            settings.dsn("owner"), autocommit=True
        ) as conn:  # pseudonyms differ by key, as they must
            conn.execute("truncate vault.pseudonym_key")
            conn.execute("call ops.set_pseudonym_key('one key for all three, so that drivers compare')")
        for part in range(parts):
            for feed, some in lines.items():
                file = home / f"{feed}-{part}.ndjson"
                file.write_text("\n".join(some[part::parts] if parts > 1 else some))
                fleetflow(settings, "send", feed, str(file))
            fleetflow(settings, "land", "--until-idle", "2", env={"FLEETFLOW_FLUSH_ROWS": str(flush_rows)})
            fleetflow(settings, "transform", "--no-gate")
        fleetflow(settings, "reconcile")
        yield settings, marts(settings)


def test_arrival_order_repeats_and_cuts_leave_no_trace(tmp_path: Path, lines: dict[str, list[str]]) -> None:
    assert sum(map(len, lines.values())) == EVENTS
    dice = random.Random(20)
    shuffled = {feed: dice.sample(some, len(some)) for feed, some in lines.items()}
    repeated = {feed: dice.sample(again, len(again)) for feed, again in
                ((feed, some + dice.choices(some, k=len(some) // 5)) for feed, some in lines.items())}  # fmt: skip
    results = []
    for name, given, parts, flush_rows in (
        ("sorted", lines, 1, 50_000), ("shuffled", shuffled, 2, 3_000), ("repeated", repeated, 3, 1_100)
    ):  # fmt: skip
        home = tmp_path / name
        home.mkdir()
        for settings, found in build(home, given, parts, flush_rows):
            results.append(found)
            expected = sum(map(len, given.values()))
            landed = [rows(settings, f"select count(*) from landing.{feed}")[0][0] for feed in FEEDS]
            assert sum(landed) == expected
    assert len(results[0]["fct_shipment"]) > 5_000
    assert len(results[0]["fct_delivery_exception"]) > 100
    for name, table in results[0].items():
        for other in results[1:]:
            assert other[name] == table, name
