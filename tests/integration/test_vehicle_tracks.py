"""The step `tracks` on a real Postgres: the same rows however fixes arrived, and every refused fix counted."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import lake_stack
import pytest
import transform_warehouse as pipeline
from track_fleet import START, Row, drivers, positions, shipments, sites
from transform_warehouse import NOW, land, mirror, warehouse

from fleetflow import transform
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.tracks import step
from fleetflow.vehicles.tracks.chunk import Chunk
from fleetflow.vehicles.tracks.reading import needed_from_lake
from fleetflow.vehicles.tracks.writing import write

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
# The rules, in the order in which the fleet plants what they refuse.
PLANTED = ("jump", "outdated", "zero", "accuracy", "future", "duplicate")
INNER = ("intermediate",)
Tables = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    limits_off = {"FLEETFLOW_KINESIS_LIMITS": "0"}
    with running(tmp_path_factory.mktemp("tracks"), ("postgres", "aws"), env=limits_off) as settings:
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
        know_places(settings)
        yield settings


def know_places(settings: Settings) -> None:
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for tenant in TENANTS:
            mirror(conn, "sites", sites(tenant))
            mirror(conn, "drivers", drivers(tenant))


def arrive(settings: Settings, cuts: Sequence[Sequence[Row]], *, build: bool = True) -> list[str]:
    """Land cut after cut, runs of both pipelines after each, or only the folds; return what the vehicle side told."""
    told: list[str] = []
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for cut in cuts:
            for feed, key in (("shipment_event", "shipment_id"), ("gps_location", "fixed_at")):
                if rows := [row for row in cut if key in row]:
                    land(conn, feed, rows)
            if build:
                pipeline.transform(settings)
                while vehicles.run_vehicles(settings, tell=told.append):
                    pass
            else:
                fold(settings, told.append)
    return told


def fold(settings: Settings, tell: vehicles.Tell = lambda _: None) -> None:
    """Do the steps of a run without the models, and mark it."""
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        while run := transform.claim(conn, vehicles.PIPELINE):
            try:
                vehicles.fold(settings, run, tell)
            except BaseException as fault:
                transform.fail(conn, run, str(fault))
                raise
            transform.mark(conn, run)


def tables(settings: Settings, schemas: tuple[str, ...] = ("intermediate", "marts")) -> Tables:
    """Every row of every table of these schemas, in the order of its key."""
    named = {f"intermediate.{name}": key for name, key in TABLES.items()}
    named |= {f"marts.{name}": key for name, key in MARTS.items()}
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        return {
            name: conn.execute(f"select * from {name} order by {key}".encode()).fetchall()
            for name, key in named.items()
            if name.split(".")[0] in schemas
        }


def late(told: list[str]) -> int:
    """How many vehicles the runs took back to an earlier state."""
    return sum(int(found[1]) for line in told if (found := re.search(r"(\d+) late vehicles", line)))


def same(found: Tables, expected: Tables, schemas: tuple[str, ...] = ("intermediate", "marts")) -> None:
    for name, rows in expected.items():
        if name.split(".")[0] in schemas:
            missing, more = (
                [r for r in rows if r not in found[name]],
                [r for r in found[name] if r not in rows],
            )
            assert (missing[:3], more[:3]) == ([], []), name
            assert found[name] == rows, name


def by_hours(fixes: list[Row], hours: float) -> list[list[Row]]:
    cuts: dict[int, list[Row]] = {}
    for row in fixes:
        cuts.setdefault(int((row["recorded_at"] - START) / timedelta(hours=hours)), []).append(row)
    return [cuts[at] for at in sorted(cuts)]


def test_hour_after_hour_is_all_at_once(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    with fresh(stack) as settings:
        told = arrive(settings, by_hours(fixes, 5), build=False)
        same(tables(settings, INNER), expected, INNER)
    assert late(told) == 0


def test_a_split_at_midnight_is_all_at_once(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    dates = sorted({row["recorded_at"].date() for row in fixes})
    days = [[row for row in fixes if row["recorded_at"].date() == date] for date in dates]
    with fresh(stack) as settings:
        arrive(settings, days, build=False)
        same(tables(settings, INNER), expected, INNER)


def test_no_order_repetition_or_cut_shows(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    dice = random.Random(5)
    sent = fixes + dice.sample(fixes, len(fixes) // 5)
    dice.shuffle(sent)
    cuts = sorted(dice.sample(range(len(sent)), 2))
    with fresh(stack) as settings:
        told = arrive(settings, [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)])
        same(tables(settings), expected)
    assert late(told) == 10


def test_late_fixes_and_a_day_again(stack: Settings, fixes: list[Row], expected: Tables) -> None:
    """Some hours of some vehicles come at the end, behind the head and behind midnights; then a day comes twice."""
    dice = random.Random(9)
    first, last = START + timedelta(hours=20), START + timedelta(hours=27)
    behind = [r for r in fixes if r["vehicle_id"] in ("truck", "car") and first < r["recorded_at"] < last]
    rest = [row for row in fixes if row not in behind]
    day = [row for row in fixes if timedelta(hours=20) < row["recorded_at"] - START < timedelta(hours=44)]
    dice.shuffle(behind)
    with fresh(stack) as settings:
        arrive(settings, [*by_hours(rest, 29), behind[::2]])
        arrive(settings, [behind[1::2]])
        same(tables(settings), expected)
        arrive(settings, [day, day])
        same(tables(settings), expected)


def arrived_at(fix: Row) -> datetime:
    """The clock of one vehicle's device runs ahead of ours, as far as landing lets it."""
    return fix["recorded_at"] - timedelta(minutes=55 if fix["vehicle_id"] == "car" else 0)


def land_in_both(settings: Settings, fixes: Sequence[Row], arrived: datetime | None = None) -> None:
    """Land a batch as the worker does: its raw object, which the lake is made of, and its rows of each day."""
    batch = lake_stack.land(settings, "gps_location", fixes)
    arrivals = [arrived or arrived_at(fix) for fix in fixes]
    newest = max(fix["fixed_at"] for fix in fixes if "bad" not in fix["event_id"])
    bounds = min(arrivals), max(arrivals), newest, batch
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        for day in sorted({at.date() for at in arrivals}):
            conn.execute("select ops.create_landing_day('gps_location', %s)", (day,))
        conn.execute(
            "update ops.batch set first_arrived_at = %s, last_arrived_at = %s, max_event_time = %s where batch_id = %s",
            bounds,
        )
        pipeline.insert(
            conn,
            "landing.gps_location",
            [
                {**fix, "batch_id": batch, "line": line, "arrived_at": at}
                for line, (fix, at) in enumerate(zip(fixes, arrivals, strict=True))
            ],
        )


def test_what_landing_has_dropped_comes_from_the_lake(
    stack: Settings, fixes: list[Row], expected: Tables
) -> None:
    """Fixes of a day come when landing has dropped what came that day: its others are in the lake only.

    The batch that they belong beside reaches over midnight, so that landing still has a part of it; and the clock of
    one vehicle runs ahead, so that its first hour of the next day came on the day as well.
    """
    sent = sorted((row for row in fixes if "fixed_at" in row), key=arrived_at)
    first, last = START + timedelta(hours=17), START + timedelta(hours=20)
    behind = [
        row for row in sent if row["vehicle_id"] in ("truck", "car") and first < row["recorded_at"] < last
    ]
    rest = [row for row in sent if row not in behind]
    cuts = [START + timedelta(hours=hours) for hours in (-1, 16, 30, 60)]
    parts = [[row for row in rest if begin <= arrived_at(row) < end] for begin, end in pairwise(cuts)]
    told: list[str] = []
    with lake_stack.lake_of_its_own(stack) as settings:
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            conn.execute("call ops.set_pseudonym_key('test')")
        know_places(settings)
        for part in parts[:2]:
            land_in_both(settings, part)
            fold(settings)
        lake_stack.compact_all(settings)
        with connect(settings.dsn("owner"), autocommit=True) as conn:
            conn.execute("drop table landing.gps_location_20260308")
            # Of what was after the first batch, only the one over midnight has lost fixes: those of the day.
            assert needed_from_lake(conn, first) == datetime(2026, 3, 9, 1, tzinfo=UTC)
            assert needed_from_lake(conn, datetime(2026, 3, 9, 1, tzinfo=UTC)) is None
        for late_fixes in (behind[::2], behind[1::2]):
            land_in_both(settings, late_fixes, NOW)
            fold(settings, told.append)
        assert late(told) == 6
        land_in_both(settings, parts[2])
        fold(settings)
        same(tables(settings, INNER), expected, INNER)


def test_a_step_that_was_cut_off_is_done_again(
    stack: Settings, fixes: list[Row], expected: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first tenant's chunk is written and its states are kept when the run dies; the next run meets them."""
    written: list[str] = []

    def write_one(conn: Connection, chunk: Chunk, *results: Any) -> None:
        if written:
            raise ConnectionError("the machine went away")
        write(conn, chunk, *results)
        written.append(chunk.tenant)

    halves = by_hours(fixes, 29)
    with fresh(stack) as settings:
        arrive(settings, halves[:1], build=False)
        with monkeypatch.context() as patch:
            patch.setattr(step, "write", write_one)
            with pytest.raises(ConnectionError):
                arrive(settings, halves[1:2], build=False)
        arrive(settings, [*halves[2:], []], build=False)
        same(tables(settings, INNER), expected, INNER)
    assert written == ["acme"]


def test_every_fix_is_accounted_for(at_once: Settings, fixes: list[Row]) -> None:
    """What the fleet planted is what the rules named, and with what was kept it adds up to what was sent."""
    positions = [row for row in fixes if "fixed_at" in row]
    sent = Counter((row["tenant_id"], row["vehicle_id"]) for row in positions)
    planted = Counter(
        (row["tenant_id"], row["vehicle_id"], PLANTED[int(row["event_id"].split("bad")[1]) % len(PLANTED)])
        for row in positions
        if "bad" in row["event_id"]
    )
    found = rows_of(
        at_once,
        "select tenant_id, vehicle_id, rule, sum(fixes)::int from marts.fct_position_quality_daily group by 1, 2, 3",
    )
    assert {tuple(key): count for *key, count in found if key[2] in PLANTED} == dict(planted)
    total: Counter[tuple[str, str]] = Counter()
    for tenant, vehicle, _, count in found:
        total[tenant, vehicle] += count
    assert total == sent
    assert rows_of(at_once, "select min(started_at) from marts.fct_trip") > [(START,)]


def test_an_odometer_that_falls_is_counted_and_one_that_rolls_over_is_put_right(at_once: Settings) -> None:
    for faults, odometer_km, track_km in rows_of(
        at_once,
        "select sum(odometer_faults), sum(odometer_km), sum(odometer_track_km)"
        " from marts.fct_vehicle_utilization_daily group by tenant_id, vehicle_id",
    ):
        # Falling and coming back are a fault each; the rollover of 100,000 km would be one more.
        assert faults == 2
        assert odometer_km == pytest.approx(track_km * 0.92 / 0.9, rel=0.05)


def test_days_trips_and_stops_add_up(at_once: Settings) -> None:
    """Three tables tell of the same time and way; each by another path through the code."""
    by_day = rows_of(
        at_once,
        "select tenant_id, vehicle_id, sum((driving_s + stop_s + gap_s + carried_s)::numeric),"
        " sum(distance_km::numeric)"
        " from marts.fct_vehicle_utilization_daily group by 1, 2 order by 1, 2",
    )
    by_segment = rows_of(
        at_once,
        "select tenant_id, vehicle_id, sum(extract(epoch from ended_at - started_at)), sum(km::numeric) from ("
        " select tenant_id, vehicle_id, started_at, ended_at, distance_km as km from marts.fct_trip union all"
        " select tenant_id, vehicle_id, started_at, ended_at, 0 from marts.fct_stop) as s group by 1, 2 order by 1, 2",
    )
    assert by_day == by_segment
    [(driven,)] = rows_of(
        at_once, "select sum(distance_km::numeric) from marts.fct_trip where driver_key is not null"
    )
    [(by_driver,)] = rows_of(
        at_once, "select sum(distance_km::numeric) from marts.fct_driver_utilization_daily"
    )
    # A trip is its first driver's; a day is whoever's was logged in.
    assert float(by_driver) == pytest.approx(float(driven), rel=0.1)


def test_tenants_with_the_same_vehicle_stay_apart(at_once: Settings) -> None:
    visits = rows_of(
        at_once, "select tenant_id, site_id from marts.fct_site_visit where vehicle_id = 'truck'"
    )
    assert {tenant for tenant, _ in visits} == set(TENANTS)
    assert all(site.startswith(tenant) for tenant, site in visits)
    with connect(at_once.dsn("analyst"), autocommit=True) as conn:
        assert conn.execute("select from marts.fct_trip").rowcount == 0
        conn.execute("set fleetflow.tenant = 'other'")
        seen = conn.execute(
            "select distinct tenant_id, vehicle_id from marts.fct_trip order by 1, 2"
        ).fetchall()
    assert seen == [("other", "bus"), ("other", "truck")]


def test_some_km_are_empty_and_some_are_not(at_once: Settings) -> None:
    """Shipments were on the vehicles for some of their trips."""
    [(empty, driven, shipments)] = rows_of(
        at_once, "select sum(empty_km), sum(distance_km), max(shipments) from marts.fct_trip"
    )
    assert 0.1 < empty / driven < 0.95
    assert shipments >= 2
    assert rows_of(
        at_once, "select max(shipments) > 1, count(*) > 8 from marts.fct_driver_utilization_daily"
    ) == [(True, True)]


def rows_of(settings: Settings, query: str) -> list[tuple[Any, ...]]:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        return conn.execute(query.encode()).fetchall()
