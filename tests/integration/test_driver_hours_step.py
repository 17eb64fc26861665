"""Driver hours in the vehicle pipeline on a real Postgres: the same tables, whatever way the activities came."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from driver_lines import START, Rows, history, row
from transform_warehouse import NOW, driver, land, mirror, site, warehouse

from domain.driver_hours import Kind, Origin, evaluate
from domain.driver_hours.recorded import Report, activities, sift
from fleetflow import transform
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.driver_hours.step import fold_driver_hours

TABLES = {
    "int_driver_activity": "driver_id, event_id",
    "int_driver_activity_fault": "driver_id, event_id, fault",
    "int_driver_hours_finding": "driver_id, known_at, rule, started_at, broken_at, limit_min",
    "int_driver_day": "driver_id, started_at",
    "int_driver_hours_warning": "driver_id, warned_at, rule, level_pct",
    "int_driver_hours_head": "driver_id, at",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("hours"), ("postgres",)) as stack, warehouse(stack) as fresh:
        yield fresh


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        forget(conn)
        yield conn


def forget(conn: Connection) -> None:
    conn.execute(
        "truncate ops.batch, ops.transform_run, landing.driver_activity, intermediate.fold_state,"
        " intermediate.int_trip, source.drivers, source.sites cascade"
    )
    for table in TABLES:
        conn.execute(f"truncate intermediate.{table}".encode())


def fold(settings: Settings) -> Mapping[str, int]:
    """Do the step for what is pending, without the models."""
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, vehicles.PIPELINE, row_limit=10_000_000)
        assert run is not None
        vehicles.begin_fold(conn, run.run_id)
        counts = fold_driver_hours(vehicles.Work(settings, conn, run.run_id, now=NOW))
        transform.mark(conn, run)
    return counts


def tables(conn: Connection) -> dict[str, list[Any]]:
    return {
        table: conn.execute(f"select * from intermediate.{table} order by {order}".encode()).fetchall()
        for table, order in TABLES.items()
    }


def expected(owner: Connection, settings: Settings, rows: Rows) -> dict[str, list[Any]]:
    """Return what one clean run over everything makes, and begin anew."""
    land(owner, "driver_activity", rows)
    fold(settings)
    found = tables(owner)
    forget(owner)
    return found


def play(owner: Connection, settings: Settings, batches: Sequence[Rows]) -> dict[str, list[Any]]:
    for batch in batches:
        if batch:
            land(owner, "driver_activity", batch)
            fold(settings)
    return tables(owner)


def chunks(rows: Rows, sizes: random.Random) -> list[Rows]:
    cut, left = list[Rows](), list(rows)
    while left:
        size = sizes.randint(1, 120)
        cut.append(left[:size])
        left = left[size:]
    return cut


DRIVERS = [history("d1", 1), history("d2", 2), history("d3", 3)]
ALL = [one for rows in DRIVERS for one in rows]
IN_TIME = sorted(ALL, key=lambda one: one["started_at"])


def same(found: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> None:
    for table in TABLES:
        assert found[table] == wanted[table], table


@pytest.mark.parametrize("way", ["in time", "shuffled", "twice", "late card", "day again"])
def test_however_the_activities_come_the_tables_are_those_of_one_clean_run(
    owner: Connection, settings: Settings, way: str
) -> None:
    wanted = expected(owner, settings, ALL)
    assert len(wanted["int_driver_hours_finding"]) > 50
    assert {fault[3] for fault in wanted["int_driver_activity_fault"]} >= {"overlaps", "in_two_vehicles"}
    dice = random.Random(5)
    match way:
        case "in time":
            batches = chunks(IN_TIME, dice)
        case "shuffled":
            batches = chunks(dice.sample(ALL, len(ALL)), dice)
        case "twice":
            batches = [part for part in chunks(IN_TIME, dice) for _ in range(2)]
        case "late card":
            late = [one for one in IN_TIME if one["driver_id"] == "d2"]
            batches = [
                *chunks([one for one in IN_TIME if one["driver_id"] != "d2"], dice),
                late[40:],
                late[:40],
            ]
        case _:
            day = [
                one
                for one in IN_TIME
                if START + timedelta(days=10) <= one["started_at"] < START + timedelta(days=11)
            ]
            batches = [*chunks(IN_TIME, dice), day]
    same(play(owner, settings, batches), wanted)


def test_an_activity_cut_at_midnight_is_one(owner: Connection, settings: Settings) -> None:
    plain = [
        one | {"ended_at": one["ended_at"] or one["started_at"] + timedelta(minutes=5)} for one in DRIVERS[0]
    ]
    wanted = expected(owner, settings, plain)
    cut = Rows()
    for one in plain:
        midnight = one["started_at"].replace(hour=0, minute=0, second=0) + timedelta(days=1)
        if one["started_at"] < midnight < one["ended_at"]:
            cut.append(one | {"ended_at": midnight, "recorded_at": midnight})
            cut.append(one | {"started_at": midnight, "event_id": one["event_id"] + "b"})
        else:
            cut.append(one)
    found = play(owner, settings, chunks(sorted(cut, key=lambda one: one["started_at"]), random.Random(1)))

    def facts(found: dict[str, list[Any]]) -> Any:
        """Return the rows without the times at which they became known: a cut makes nothing known earlier or later."""
        return [
            found[table]
            for table in ("int_driver_hours_finding", "int_driver_day", "int_driver_hours_warning")
        ]

    assert facts(found) == facts(wanted)


def test_the_findings_are_those_of_the_engine(owner: Connection, settings: Settings) -> None:
    land(owner, "driver_activity", ALL)
    fold(settings)
    for rows in DRIVERS:
        reports = [
            Report(
                int(one["started_at"].timestamp()), int(one["ended_at"].timestamp()) if one["ended_at"] else None,
                Kind(one["activity"]), one["crew"] == "crew", Origin(one["origin"]),
                int(one["recorded_at"].timestamp()), one["event_id"], one["vehicle_id"],
            )
            for one in rows
        ]  # fmt: skip
        found = evaluate(activities(sift(reports).reports)).findings
        wanted = sorted((f.rule.value, f.at, f.start, f.end, f.measured, f.limit, f.severity) for f in found)
        stored = owner.execute(
            "select rule, extract(epoch from broken_at)::bigint / 60, extract(epoch from started_at)::bigint / 60,"
            " extract(epoch from ended_at)::bigint / 60, measured_min, limit_min, severity"
            " from intermediate.int_driver_hours_finding where driver_id = %s",
            (rows[0]["driver_id"],),
        ).fetchall()
        assert sorted(stored) == wanted


def test_a_run_that_dies_in_the_step_is_done_again(
    owner: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = expected(owner, settings, ALL)
    land(owner, "driver_activity", IN_TIME[:300])
    fold(settings)
    land(owner, "driver_activity", IN_TIME[300:])
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, vehicles.PIPELINE)
        assert run is not None
        from fleetflow.vehicles.driver_hours import step, store

        def die(*_: object) -> None:
            raise ConnectionResetError("the connection broke")

        with monkeypatch.context() as patch:
            patch.setattr(step, "CHUNK", 1)
            patch.setattr(store, "purge", die)
            with pytest.raises(ConnectionResetError):
                fold_driver_hours(vehicles.Work(settings, conn, run.run_id, now=NOW))
        transform.fail(conn, run, "died")
    fold(settings)
    same(tables(owner), wanted)


def test_what_cannot_be_is_named_and_counted(owner: Connection, settings: Settings) -> None:
    rows = [
        row("d9", "good", NOW - timedelta(hours=3), NOW - timedelta(hours=2), "driving"),
        row(
            "d9", "backwards", NOW - timedelta(hours=3), NOW - timedelta(hours=4), "driving", recorded_at=NOW
        ),
        row(
            "d9",
            "reset",
            datetime.fromtimestamp(60, NOW.tzinfo),
            datetime.fromtimestamp(900, NOW.tzinfo),
            "driving",
        ),
        row(
            "d9",
            "old",
            NOW - timedelta(days=93),
            NOW - timedelta(days=92, hours=20),
            "driving",
            recorded_at=NOW,
        ),
        row("d9", "future", NOW + timedelta(hours=1), None, "driving", recorded_at=NOW),
    ]
    land(owner, "driver_activity", rows)
    fold(settings)
    found = owner.execute(
        "select event_id, fault, is_left_out from intermediate.int_driver_activity_fault order by 1"
    ).fetchall()
    assert found == [
        ("backwards", "ends_before_start", True), ("future", "in_future", True), ("old", "too_late", True),
        ("reset", "before_tachographs", True),
    ]  # fmt: skip
    days = owner.execute("select driving_min from intermediate.int_driver_day").fetchall()
    assert days in ([], [(60,)])
    owner.execute(
        "update intermediate.int_driver_activity_fault set known_at = '2020-01-01' where fault = 'too_late'"
    )
    land(
        owner,
        "driver_activity",
        [row("d9", "next", NOW - timedelta(hours=2), NOW - timedelta(hours=1), "rest")],
    )
    fold(settings)
    kept = owner.execute("select fault from intermediate.int_driver_activity_fault order by 1").fetchall()
    assert kept == [("before_tachographs",), ("ends_before_start",), ("in_future",)]


def test_an_open_activity_gets_its_end_by_being_sent_again(owner: Connection, settings: Settings) -> None:
    begun = NOW - timedelta(hours=5)
    first = row("d1", "a", begun, None, "driving")
    wanted_rows = [first, row("d1", "b", begun, begun + timedelta(hours=4, minutes=40), "driving")]
    wanted = expected(owner, settings, wanted_rows)
    same(play(owner, settings, [[one] for one in wanted_rows]), wanted)
    assert [one[2] for one in wanted["int_driver_hours_finding"]] == ["BREAK"]


def test_trips_stand_for_driving_where_no_tachograph_tells(owner: Connection, settings: Settings) -> None:
    """Ten hours of trips with a driver logged in: a break is missing, as far as positions can tell."""
    begun = NOW - timedelta(hours=12)
    land(
        owner,
        "driver_activity",
        [row("d1", "a", begun, begun + timedelta(hours=10), "rest", vehicle_id="v2")],
    )

    def trip(driver: str, minutes: int) -> None:
        owner.execute("delete from intermediate.int_trip where vehicle_id = %s", (driver,))
        known = {
            "tenant_id": "acme", "vehicle_id": driver, "driver_id": driver, "started_at": begun,
            "ended_at": begun + timedelta(minutes=minutes), "time_zone": "UTC", "local_date": begun.date(),
            "is_open": False,
        }  # fmt: skip
        numbers = owner.execute(
            "select column_name from information_schema.columns where table_schema = 'intermediate'"
            " and table_name = 'int_trip' and is_nullable = 'NO'"
        )
        values = {name: 0 for (name,) in numbers} | known
        names, marks = ", ".join(values), ", ".join(f"%({name})s" for name in values)
        owner.execute(f"insert into intermediate.int_trip ({names}) values ({marks})".encode(), values)

    def found() -> list[Any]:
        return owner.execute(
            "select driver_id, rule, measured_min, needs_evidence, is_inferred"
            " from intermediate.int_driver_hours_finding where rule = 'BREAK' order by 1"
        ).fetchall()

    def step() -> None:
        land(owner, "driver_activity", [row("other", f"o{NOW}", NOW - timedelta(hours=1), NOW, "rest")])
        with connect(settings.dsn("transformer"), autocommit=True) as conn:
            run = transform.claim(conn, vehicles.PIPELINE)
            assert run is not None
            vehicles.begin_fold(conn, run.run_id)
            for vehicle in ("d1", "d2"):
                conn.execute(
                    "insert into intermediate.int_vehicle_touched values ('acme', %s, %s)", (vehicle, begun)
                )
            fold_driver_hours(vehicles.Work(settings, conn, run.run_id, now=NOW))
            transform.mark(conn, run)

    trip("d1", 300)
    trip("d2", 300)
    step()
    assert found() == [("d2", "BREAK", 300, True, True)]
    trip("d2", 270)
    step()
    assert found() == []


def test_us_drivers_are_judged_by_49_cfr(owner: Connection, settings: Settings) -> None:
    mirror(owner, "sites", [site(1, country="US", timezone="America/Chicago")])
    mirror(
        owner, "drivers",
        [driver(1)],
    )  # fmt: skip
    begun = NOW - timedelta(hours=20)
    line = [
        row(driver, f"{driver}-a", begun, begun + timedelta(hours=9), "driving") for driver in ("d1", "d2")
    ]
    land(owner, "driver_activity", line)
    fold(settings)
    found = owner.execute(
        "select driver_id, rule, measured_min from intermediate.int_driver_hours_finding order by 1"
    ).fetchall()
    assert found == [("d1", "BREAK_30", 540), ("d2", "BREAK", 540)]
