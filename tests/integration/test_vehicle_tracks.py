"""The step `tracks` on a real Postgres: the same rows however fixes arrived, and every refused fix counted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
from track_fleet import START, Row, drivers, positions, sites
from transform_warehouse import land, mirror, warehouse

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
MARTS: dict[str, str] = {}
Tables = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("tracks"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def fixes() -> list[Row]:
    """Five vehicles; two tenants have one of the same name."""
    names = [("acme", "truck"), ("acme", "van"), ("acme", "car"), ("other", "truck"), ("other", "bus")]
    return [row for seed, (tenant, name) in enumerate(names) for row in positions(tenant, name, seed)]


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


def fresh(stack: Settings) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def made() -> Iterator[Settings]:
        with warehouse(stack) as settings:
            with connect(settings.dsn("owner"), autocommit=True) as conn:
                for tenant in TENANTS:
                    mirror(conn, "sites", sites(tenant))
                    mirror(conn, "drivers", drivers(tenant))
            yield settings

    return made()


def arrive(settings: Settings, cuts: Sequence[Sequence[Row]]) -> Counter[str]:
    """Land cut after cut, a run after each; return what the steps counted."""
    counted: Counter[str] = Counter()
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for cut in cuts:
            if cut:
                land(conn, "gps_location", cut)
            counted.update(run(settings))
    return counted


def run(settings: Settings) -> Counter[str]:
    counted: Counter[str] = Counter()
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        from fleetflow import transform

        while claimed := transform.claim(conn, vehicles.PIPELINE):
            for counts in vehicles.fold(settings, claimed).values():
                counted.update(counts)
            transform.mark(conn, claimed)
    return counted


def tables(settings: Settings) -> Tables:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        inner = {f"intermediate.{name}": key for name, key in TABLES.items()}
        return {
            name: conn.execute(f"select * from {name} order by {key}".encode()).fetchall()
            for name, key in (inner | MARTS).items()
        }


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
        counted = arrive(settings, by_hours(fixes, 5))
        same(tables(settings), expected)
    assert counted["late vehicles"] == 0


def test_no_order_repetition_or_cut_shows(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    dice = random.Random(5)
    sent = fixes + dice.sample(fixes, len(fixes) // 5)
    dice.shuffle(sent)
    cuts = sorted(dice.sample(range(len(sent)), 4))
    with fresh(stack) as settings:
        counted = arrive(settings, [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)])
        same(tables(settings), expected)
    assert counted["late vehicles"] > 10


def test_late_fixes_and_a_day_again(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    """Some hours of some vehicles come at the end, behind the head and behind midnights; then a day comes twice."""
    dice = random.Random(9)
    late = [
        row for row in fixes
        if row["vehicle_id"] in ("truck", "car") and 20 < (row["recorded_at"] - START) / timedelta(hours=1) < 27
    ]  # fmt: skip
    rest = [row for row in fixes if row not in late]
    day = [row for row in fixes if timedelta(hours=20) < row["recorded_at"] - START < timedelta(hours=44)]
    dice.shuffle(late)
    with fresh(stack) as settings:
        arrive(settings, [*by_hours(rest, 13), late[::2], late[1::2]])
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
