"""The step `tracks` on a real Postgres: the same rows however fixes arrived, and every refused fix counted."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from track_fleet import START, Row, drivers, positions, shipments, sites
from transform_warehouse import land, mirror, transform, warehouse

from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles

TENANTS = ("acme", "other")
TABLES = {
    "int_trip": "tenant_id, vehicle_id, started_at",
    "int_stop": "tenant_id, vehicle_id, started_at",
    "int_site_visit": "tenant_id, vehicle_id, site_id, entered_at",
    "int_vehicle_day": "tenant_id, vehicle_id, local_date, driver_id, time_zone",
    "int_fix_verdict": "tenant_id, vehicle_id, utc_date, rule",
    "int_fix_untimely": "tenant_id, vehicle_id, event_id, fixed_at, rule",
}
MARTS = {
    "fct_trip": "tenant_id, vehicle_id, started_at",
    "fct_stop": "tenant_id, vehicle_id, started_at",
    "fct_site_visit": "tenant_id, vehicle_id, site_id, entered_at",
    "fct_vehicle_utilization_daily": "tenant_id, vehicle_id, local_date",
    "fct_driver_utilization_daily": "tenant_id, driver_key, local_date",
    "fct_position_quality_daily": "tenant_id, vehicle_id, utc_date, rule",
}
Tables = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("tracks"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def fixes() -> list[Row]:
    """Five vehicles; two tenants have one of the same name."""
    names = [("acme", "truck"), ("acme", "van"), ("acme", "car"), ("other", "truck"), ("other", "bus")]
    return [
        row
        for seed, (tenant, name) in enumerate(names)
        for row in (*positions(tenant, name, seed), *shipments(tenant, name, seed))
    ]


@pytest.fixture(scope="module")
def at_once(stack: Settings, fixes: list[Row]) -> Iterator[Settings]:
    """A warehouse that got everything at once, in order, once."""
    with fresh(stack) as settings:
        arrive(settings, [fixes])
        yield settings


@pytest.fixture(scope="module")
def expected(at_once: Settings) -> Tables:
    found = tables(at_once)
    for name, rows in found.items():
        assert rows, f"{name} is empty: a comparison would prove nothing"
    return found


@contextmanager
def fresh(stack: Settings) -> Iterator[Settings]:
    """A new warehouse that knows the tenants' sites and drivers."""
    with warehouse(stack) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            for tenant in TENANTS:
                mirror(conn, "sites", sites(tenant))
                mirror(conn, "drivers", drivers(tenant))
        yield settings


def arrive(settings: Settings, cuts: Sequence[Sequence[Row]]) -> list[str]:
    """Land cut after cut, runs of both pipelines after each; return what the vehicle side told."""
    told: list[str] = []
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for cut in cuts:
            for feed, key in (("shipment_event", "shipment_id"), ("gps_location", "fixed_at")):
                if rows := [row for row in cut if key in row]:
                    land(conn, feed, rows)
            transform(settings)
            while vehicles.run_vehicles(settings, tell=told.append):
                pass
    return told


def tables(settings: Settings) -> Tables:
    """Every row of every table, without the times at which a computer did something."""
    named = {f"intermediate.{name}": key for name, key in TABLES.items()}
    named |= {f"marts.{name}": key for name, key in MARTS.items()}
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        return {
            name: conn.execute(f"select * from {name} order by {key}".encode()).fetchall()
            for name, key in named.items()
        }


def late(told: list[str]) -> int:
    """How many vehicles the runs took back to an earlier state."""
    return sum(int(found[1]) for line in told if (found := re.search(r"(\d+) late vehicles", line)))


def same(found: Tables, expected: Tables) -> None:
    for name, rows in expected.items():
        missing, more = [r for r in rows if r not in found[name]], [r for r in found[name] if r not in rows]
        assert (missing[:3], more[:3]) == ([], []), name
        assert found[name] == rows, name


def by_hours(fixes: list[Row], hours: float) -> list[list[Row]]:
    cuts: dict[int, list[Row]] = {}
    for row in fixes:
        cuts.setdefault(int((row["recorded_at"] - START) / timedelta(hours=hours)), []).append(row)
    return [cuts[at] for at in sorted(cuts)]


def test_hour_after_hour_is_all_at_once(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    with fresh(stack) as settings:
        told = arrive(settings, by_hours(fixes, 9))
        same(tables(settings), expected)
    assert late(told) == 0


def test_no_order_repetition_or_cut_shows(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    dice = random.Random(5)
    sent = fixes + dice.sample(fixes, len(fixes) // 5)
    dice.shuffle(sent)
    cuts = sorted(dice.sample(range(len(sent)), 4))
    with fresh(stack) as settings:
        told = arrive(settings, [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)])
        same(tables(settings), expected)
    assert late(told) > 10


def test_late_fixes_and_a_day_again(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    """Some hours of some vehicles come at the end, behind the head and behind midnights; then a day comes twice."""
    dice = random.Random(9)
    first, last = START + timedelta(hours=20), START + timedelta(hours=27)
    behind = [r for r in fixes if r["vehicle_id"] in ("truck", "car") and first < r["recorded_at"] < last]
    rest = [row for row in fixes if row not in behind]
    day = [row for row in fixes if timedelta(hours=20) < row["recorded_at"] - START < timedelta(hours=44)]
    dice.shuffle(behind)
    with fresh(stack) as settings:
        arrive(settings, [*by_hours(rest, 29), behind[::2], behind[1::2]])
        same(tables(settings), expected)
        arrive(settings, [day, day])
        same(tables(settings), expected)


def test_a_split_at_midnight(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    days = {
        at: [row for row in fixes if row["recorded_at"].date() == at]
        for at in {r["recorded_at"].date() for r in fixes}
    }
    with fresh(stack) as settings:
        arrive(settings, [days[at] for at in sorted(days)])
        same(tables(settings), expected)
