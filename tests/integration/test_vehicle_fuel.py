"""The step `fuel` on a real Postgres: what was planted is in the marts, the same rows however it arrived."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from transform_warehouse import land, mirror, warehouse

from fleetflow import dbt_project, transform
from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TANK_L = 500
DAYS = 6
STATION = (52.4, 10.0)
TABLES = {
    "intermediate.int_fuel_reading": "tenant_id, vehicle_id, minute",
    "intermediate.int_fuel_purchase": "tenant_id, event_id",
    "intermediate.int_fuel_day": "tenant_id, vehicle_id, utc_date",
    "marts.fct_fuel_trip": "tenant_id, vehicle_id, started_at",
    "marts.fct_fuel_event": "tenant_id, vehicle_id, event_id",
    "marts.fct_fuel_anomaly": "tenant_id, vehicle_id, anomaly_id",
}
Row = dict[str, Any]
Tables = dict[str, list[tuple[Any, ...]]]


def positions(vehicle: str, dice: random.Random, *, steals: bool = False, leaks: bool = False) -> list[Row]:
    """Six days: 6:00 to 9:00 away, 10:00 to 13:00 back, a fix a minute, four an hour at rest; 90 km and 36 l a leg.

    It is filled at noon of the third day, at the station where it stands, by 250 l. Who steals takes 70 l in the fourth
    night; who leaks loses 1.2 l an hour.
    """
    rows, level, km = [], 0.8 * TANK_L, 0.0
    for minute in range(DAYS * 1440):
        day, of_day = divmod(minute, 1440)
        hour = of_day // 60
        drives = 6 <= hour < 9 or 10 <= hour < 13
        north = min(max(of_day - 360, 0), 180) / 180 * 0.8 - min(max(of_day - 600, 0), 180) / 180 * 0.8
        level -= (36 / 180 if drives else 0.0) + (1.2 / 60 if leaks else 0.0)
        km += 0.5 if drives else 0.0
        if day == 2 and 570 <= of_day < 575:
            level += 50
        if steals and day == 4 and 100 <= of_day < 107:
            level -= 10
        if drives or of_day % 5 == 0 or (day == 4 and 60 <= of_day < 180):
            noise = dice.gauss(0, 1.2 if drives else 0.2)
            slope = 0.0 if drives else 1.5
            at = START + minute * MINUTE + timedelta(seconds=dice.uniform(0, 30))
            rows.append({
                "tenant_id": "acme", "event_id": f"{vehicle}-{minute}", "recorded_at": at + timedelta(seconds=2),
                "schema_version": 1, "vehicle_id": vehicle, "driver_id": "d1", "fixed_at": at,
                "lat": 52.0 + north + dice.gauss(0, 1e-5), "lon": 10.0, "speed_kmh": 30.0 if drives else 0.0,
                "heading_deg": 0.0, "odometer_km": round(1000 + km, 3), "ignition_on": drives,
                "fuel_level_pct": round(level / TANK_L * 100 + noise + slope, 1),
            })  # fmt: skip
    return rows


def purchase(name: str, vehicle: str, day: int, minute: int, volume: float, **changes: Any) -> Row:
    at = START + timedelta(days=day, minutes=minute)
    row = {
        "tenant_id": "acme", "event_id": name, "recorded_at": at + timedelta(hours=30), "schema_version": 1,
        "partner": "cards", "source_line": 2, "transaction_id": f"t-{name}", "vehicle_id": vehicle,
        "purchased_at": at, "fuel": "diesel", "volume_l": volume, "amount_minor": 10_000, "currency": "EUR",
        "lat": 52.8, "lon": 10.0,
    }  # fmt: skip
    return row | changes


PURCHASES = [
    purchase("fill-honest", "honest", 2, 576, 250.0),
    purchase("fill-thief", "thief", 2, 576, 250.0),
    purchase("fill-leaky", "leaky", 2, 576, 250.0),
    # Far away at night, into nobody's tank.
    purchase("cloned", "honest", 3, 120, 90.0, lat=48.0, lon=2.0),
    purchase("adblue", "honest", 2, 577, 30.0, fuel="adblue"),
]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("fuel"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def fixes() -> list[Row]:
    dice = random.Random(4)
    honest = positions("honest", dice)
    # A receiver whose week rolled over says 2006.
    rolled = honest[700] | {"event_id": "rolled", "fixed_at": honest[700]["fixed_at"] - timedelta(weeks=1024)}
    return [*honest, rolled, *positions("thief", dice, steals=True), *positions("leaky", dice, leaks=True)]


@contextmanager
def fresh(stack: Settings) -> Iterator[Settings]:
    with warehouse(stack) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            mirror(conn, "vehicles", [vehicle(name) for name in ("honest", "thief", "leaky")])
        yield settings


def vehicle(name: str) -> Row:
    return {
        "vehicle_id": name, "tenant_id": "acme", "make": "M", "model": "X",
        "model_year": 2020, "vehicle_class": "tractor", "capacity_kg": 20_000, "tank_l": TANK_L, "status": "active",
        "in_service_from": START.date(),
    }  # fmt: skip


def arrive(settings: Settings, cuts: Sequence[tuple[str, Sequence[Row]]]) -> None:
    """Land each cut, fold after it, and build the marts at the end."""
    with connect(settings.dsn("owner"), autocommit=True) as owner:
        for feed, rows in cuts:
            if rows:
                land(owner, feed, rows)
            fold(settings)
    dbt_project.invoke(
        settings, ["run", "--select", "fct_fuel_trip fct_fuel_event fct_fuel_anomaly", "--full-refresh"]
    )


def fold(settings: Settings) -> None:
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        while run := transform.claim(conn, vehicles.PIPELINE):
            vehicles.fold(settings, run)
            transform.mark(conn, run)


def tables(settings: Settings) -> Tables:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        return {
            name: conn.execute(f"select * from {name} order by {key}".encode()).fetchall()
            for name, key in TABLES.items()
        }


@pytest.fixture(scope="module")
def at_once(stack: Settings, fixes: list[Row]) -> Iterator[Settings]:
    with fresh(stack) as settings:
        arrive(settings, [("gps_location", fixes), ("fuel_purchase", PURCHASES)])
        yield settings


def rows(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()


def test_refills_and_the_theft_are_events(at_once: Settings) -> None:
    found = rows(
        at_once,
        "select vehicle_id, kind, started_at, volume_l, in_motion, purchased_l from marts.fct_fuel_event order by 1, 3",
    )
    assert [(name, kind) for name, kind, *_ in found] == [
        ("honest", "refill"), ("leaky", "refill"), ("thief", "refill"), ("thief", "drain"),
    ]  # fmt: skip
    assert all(not in_motion for *_, in_motion, _ in found)
    assert all(abs(volume - 250) < 10 and bought == 250 for *_, volume, _, bought in found[:3])
    assert abs(found[3][3] - 70) < 5
    planted = START + timedelta(days=4, minutes=100)
    assert abs(found[3][2] - planted) <= 5 * MINUTE


def test_anomalies_are_those_that_were_planted(at_once: Settings) -> None:
    found = rows(
        at_once,
        "select vehicle_id, kind, likeliest_cause, purchase_event_id from marts.fct_fuel_anomaly order by 1, 2",
    )
    assert found == [
        ("honest", "purchase_elsewhere", "theft", "cloned"),
        ("honest", "purchase_without_rise", "theft", "cloned"),
        ("leaky", "leak", "leak", None),
        ("thief", "drain_parked", "theft", None),
    ]


def test_a_clock_that_rolled_over_takes_no_tank_there(at_once: Settings) -> None:
    assert rows(at_once, "select min(minute) from intermediate.int_fuel_reading") == [(START,)]
    assert rows(at_once, "select min(utc_date) from intermediate.int_fuel_day") == [(START.date(),)]


def test_purchases_say_what_became_of_them(at_once: Settings) -> None:
    found = dict(rows(at_once, "select event_id, outcome from intermediate.int_fuel_purchase"))
    assert found == {
        "fill-honest": "matched", "fill-thief": "matched", "fill-leaky": "matched", "cloned": "unmatched",
        "adblue": "not_tank_fuel",
    }  # fmt: skip


def test_trips_without_a_counter_are_told_by_the_level_or_not_at_all(at_once: Settings) -> None:
    found = rows(at_once, "select method, litres, distance_km from marts.fct_fuel_trip")
    assert len(found) == 3 * DAYS * 2
    assert {method for method, *_ in found} <= {"level", None}
    assert all((method is None) == (litres is None) for method, litres, _ in found)


def test_the_models_pass_their_own_tests(at_once: Settings) -> None:
    dbt_project.run_tests(at_once, "fct_fuel_trip fct_fuel_event fct_fuel_anomaly")


def test_marts_built_by_what_runs_touched_equal_those_built_whole(
    stack: Settings, at_once: Settings, fixes: list[Row]
) -> None:
    """The runs' own build, of what each run touched, with a theft that is only known once it is settled."""
    order = sorted(fixes, key=lambda one: one["recorded_at"])
    half = len(order) // 2
    with fresh(stack) as settings:
        for rows_ in (order[half:], order[:half]):
            with connect(settings.dsn("owner"), autocommit=True) as owner:
                land(owner, "gps_location", rows_)
                land(owner, "fuel_purchase", PURCHASES)
            assert vehicles.run_vehicles(settings) is not None
        found, expected = tables(settings), tables(at_once)
        for name, wanted in expected.items():
            assert found[name] == wanted, name


def test_a_run_that_is_repeated_changes_nothing(at_once: Settings, fixes: list[Row]) -> None:
    before = tables(at_once)
    assert all(before.values())
    arrive(at_once, [("gps_location", fixes[::7]), ("fuel_purchase", PURCHASES)])
    assert tables(at_once) == before


@pytest.mark.parametrize("seed", [1, 2])
def test_any_arrival_gives_the_same_rows(
    stack: Settings, at_once: Settings, fixes: list[Row], seed: int
) -> None:
    """Cut anywhere, in any order, with repeats, purchases before and after."""
    dice = random.Random(seed)
    mixed = [*fixes, *dice.sample(fixes, len(fixes) // 5)]
    dice.shuffle(mixed)
    cuts: list[tuple[str, Sequence[Row]]] = [("gps_location", mixed[part::4]) for part in range(4)]
    cuts.insert(dice.randrange(4), ("fuel_purchase", PURCHASES[::2]))
    cuts.append(("fuel_purchase", PURCHASES[1::2]))
    with fresh(stack) as settings:
        arrive(settings, cuts)
        found, expected = tables(settings), tables(at_once)
        for name, wanted in expected.items():
            assert found[name] == wanted, name


def test_day_by_day_gives_the_same_rows(stack: Settings, at_once: Settings, fixes: list[Row]) -> None:
    by_day: dict[Any, list[Row]] = {}
    for fix in sorted(fixes, key=lambda one: one["recorded_at"]):
        by_day.setdefault(fix["recorded_at"].date(), []).append(fix)
    with fresh(stack) as settings:
        arrive(settings, [*(("gps_location", day) for day in by_day.values()), ("fuel_purchase", PURCHASES)])
        found, expected = tables(settings), tables(at_once)
        for name, wanted in expected.items():
            assert found[name] == wanted, name
