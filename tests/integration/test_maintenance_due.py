"""What is due, by the view and by the rules in Python: the same for any meters, services and vehicles."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from transform_warehouse import NOW, land, mirror, site, warehouse

from domain.maintenance.due import Due, Life, ServiceDone, ServiceTask, judge_due
from domain.maintenance.meters import ENGINE_HOURS, ODOMETER, Reading, read_meter
from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import PROJECT_ROOT, Settings
from fleetflow.vehicles.run import run_vehicles

TODAY = NOW.date()
CLASSES = ("van", "truck", "tractor")
SEED = PROJECT_ROOT / "dbt" / "seeds" / "service_task.csv"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("due"), ("postgres",)) as stack, warehouse(stack) as fresh:
        yield fresh


@dataclass
class Case:
    """A vehicle with what was read off it and done to it; every day is one of UTC."""

    vehicle_id: str
    vehicle_class: str
    in_service_from: date | None
    retired: bool
    records: list[dict[str, Any]] = field(default_factory=list)

    def readings(self, column: str) -> list[Reading]:
        return [
            Reading(one["completed_at"].date(), one[column])
            for one in self.records
            if one[column] is not None
        ]


def record(
    vehicle: str, number: int, day: date, service: str, km: float | None, hours: float | None
) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    return {
        "tenant_id": "acme", "event_id": f"{vehicle}-{number}", "recorded_at": at, "schema_version": 1,
        "partner": "garage", "source_line": number, "record_id": f"{vehicle}-{number}",
        "vehicle_id": vehicle, "service": service, "completed_at": at, "odometer_km": km, "engine_hours": hours,
    }  # fmt: skip


def draw(number: int, dice: random.Random) -> Case:
    """A life of visits: mostly rising meters, some that roll back, jump or are replaced, some services out of time."""
    start = TODAY - timedelta(days=dice.randint(200, 2_500))
    case = Case(
        f"v{number:03}", dice.choice(CLASSES), None if dice.random() < 0.1 else start, dice.random() < 0.05
    )
    km, hours, day = dice.choice([0.0, dice.uniform(0, 5_000)]), 0.0, start
    for visit in range(dice.randint(0, 25)):
        gap = dice.randint(0, 150)
        day += timedelta(days=gap)
        if day > TODAY:
            break
        km, hours = km + gap * dice.uniform(0, 700), hours + gap * dice.uniform(0, 12)
        if dice.random() < 0.05:
            km = dice.uniform(0, 200)
        shown = km * dice.choice([0.1, 10, 1]) if dice.random() < 0.1 else km
        case.records.append(record(
            case.vehicle_id, visit, day, dice.choice(["oil", "inspection", "maintenance", "brakes", "tyres", "repair"]),
            round(shown, 1) if dice.random() < 0.9 else None, round(hours, 1) if dice.random() < 0.6 else None,
        ))  # fmt: skip
    for number, days in enumerate((dice.randint(-60, -1), dice.randint(1, 60)), 100):
        if dice.random() < 0.2:
            when = start if days < 0 else TODAY
            case.records.append(
                record(case.vehicle_id, number, when + timedelta(days=days), "oil", None, None)
            )
    return case


def expected(case: Case, task: dict[str, str]) -> Due:
    rule = ServiceTask(
        task["task_id"],
        float(task["every_km"]) if task["every_km"] else None,
        int(task["every_months"]) if task["every_months"] else None,
        float(task["every_engine_hours"]) if task["every_engine_hours"] else None,
    )
    life = Life(case.vehicle_id, case.in_service_from, retired_on=TODAY if case.retired else None)
    done = [
        ServiceDone(one["completed_at"].date(), case.vehicle_id, rule.task_id)
        for one in case.records
        if one["service"] == task["service"]
    ]
    odometer = read_meter(ODOMETER, case.readings("odometer_km"), TODAY)
    hours = read_meter(ENGINE_HOURS, case.readings("engine_hours"), TODAY)
    return judge_due(rule, life, done, TODAY, odometer, hours)


def row_of(due: Due) -> tuple[Any, ...]:
    by = {limit.by: limit for limit in due.limits}
    km, months, hours = by.get("odometer"), by.get("months"), by.get("engine_hours")
    return (
        due.status.value, due.last_done_on,
        *((km.limit, km.left, km.due_on, km.missing) if km else (None,) * 4),
        *((months.due_on, months.left, months.missing) if months else (None,) * 3),
        *((hours.limit, hours.left, hours.due_on, hours.missing) if hours else (None,) * 4),
        sum("before" in words for words in due.ignored), sum("yet to come" in words for words in due.ignored),
    )  # fmt: skip


VIEW = """
select vehicle_id, task_id, status, last_done_on, km_limit, km_left, km_due_on, km_missing, months_due_on, days_left,
    months_missing, hours_limit, hours_left, hours_due_on, hours_missing, services_before_commissioning,
    services_in_future
from marts.fct_maintenance_due
"""


def fleet_row(case: Case) -> dict[str, Any]:
    return {"vehicle_id": case.vehicle_id, "tenant_id": "acme", "make": "M", "model": "N", "model_year": 2020,
            "vehicle_class": case.vehicle_class, "capacity_kg": 900, "tank_l": 70, "home_site_id": "x1",
            "status": "retired" if case.retired else "active", "in_service_from": case.in_service_from}  # fmt: skip


def test_the_view_is_the_rules(settings: Settings) -> None:
    dice = random.Random(20)
    cases = [draw(number, dice) for number in range(150)]
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        mirror(conn, "sites", [site(1)])
        mirror(conn, "vehicles", [fleet_row(case) for case in cases])
        rows = [row for case in cases for row in case.records]
        dice.shuffle(rows)
        land(conn, "service_record", rows)
        assert run_vehicles(settings) is not None
        found = {(vehicle, task): rest for vehicle, task, *rest in conn.execute(VIEW).fetchall()}
    with SEED.open() as seed:
        tasks = list(csv.DictReader(seed))
    wanted = {
        (case.vehicle_id, task["task_id"]): list(row_of(expected(case, task)))
        for case in cases
        for task in tasks
        if task["vehicle_class"] == case.vehicle_class
    }
    statuses = {row[0] for row in wanted.values()}
    assert statuses >= {"overdue", "not_due", "retired"}, statuses
    assert {key: row for key, row in found.items() if row != wanted[key]} == {}
    assert found.keys() == wanted.keys()


def test_meters_that_roll_back_are_counted(settings: Settings) -> None:
    days = [TODAY - timedelta(days=n) for n in (9, 8, 7, 6)]
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        mirror(conn, "vehicles", [fleet_row(Case("rolled", "van", days[0], False))])
        kms = zip(days, (1_000, 1_100, 300, 1_200), strict=True)
        land(
            conn,
            "service_record",
            [record("rolled", n, day, "repair", km, None) for n, (day, km) in enumerate(kms)],
        )
        assert run_vehicles(settings) is not None
        meter = conn.execute(
            "select readings, refused, unconfirmed from marts.fct_meter where vehicle_id = 'rolled'"
        )
        assert meter.fetchall() == [(4, 1, 0)]
        used = conn.execute(
            "select day, used from marts.fct_meter_day where vehicle_id = 'rolled' order by 1"
        ).fetchall()
        assert used == [(days[0], 1_000), (days[1], 1_100), (days[3], 1_200)]
