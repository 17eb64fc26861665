"""Rows of a small fleet's marts for the guide's questions on vehicles, and what two views say of them, in Python."""

from __future__ import annotations

import csv
import random
import uuid
from datetime import date, datetime, timedelta
from typing import Any

from transform_warehouse import NOW

from fleetflow.settings import PROJECT_ROOT

Row = dict[str, Any]
Fleet = dict[str, list[Row]]

TODAY = NOW.date()
CLASSES = ("van", "truck", "tractor")
RULES = ("BREAK", "DAILY_DRIVING", "DAILY_REST", "WEEKLY_DRIVING")
KINDS = ("drain_parked", "leak", "purchase_elsewhere", "consumption_high")
TASKS = list(csv.DictReader((PROJECT_ROOT / "dbt" / "seeds" / "service_task.csv").open()))


def make_fleet(tenant: str, seed: int) -> Fleet:
    """Return the rows of a tenant by mart; tenants share vehicles' and sites' names, and nothing else."""
    dice = random.Random(seed)
    vehicles = [_vehicle(dice, n) for n in range(12)]
    drivers = [f"{tenant}-{n:02}" for n in range(14)]
    fleet: Fleet = {
        "dim_site": [
            {"site_id": f"x{n}", "name": f"Site {n}", "kind": ("hub", "depot")[n % 2],
             "timezone": ("UTC", "Europe/Berlin")[n % 2]}
            for n in range(4)
        ],
        "dim_vehicle": vehicles,
        "fct_vehicle_utilization_daily": [_day(dice, v, b) for v in vehicles for b in range(60) if dice.random() < 0.7],
        "fct_driver_utilization_daily": [_duty(dice, k, b) for k in drivers for b in range(20)],
        "fct_position_quality_daily": [_fixes(dice, v, rule) for v in vehicles
                                       for rule in ("kept", "static", "undecided", "jump", "zero")],
        "fct_site_visit": [_visit(dice, v, n) for v in vehicles for n in range(8)],
        "fct_driver_day": [_period(dice, k, b) for k in drivers[1:] for b in range(45) if dice.random() < 0.6],
        "fct_driver_hours_finding": [_finding(dice, k, n) for k in drivers[:-2] for n in range(dice.randint(1, 6))],
        "fct_driver_hours_head": [_head(dice, k, n) for k in drivers for n in range(3)],
        "fct_fuel_trip": [_fuel_trip(dice, v, n) for v in vehicles for n in range(15)],
        "fct_fuel_anomaly": [_anomaly(dice, v, n) for v in vehicles for n in range(5)],
        "fct_maintenance_plan": [_job(dice, v, n) for v in vehicles for n in range(4)],
        "fct_dtc_spell": [_spell(dice, v, n) for v in vehicles for n in range(4)],
        "fct_meter_day": [r for v in vehicles for r in _readings(dice, v)],
        "fct_service": [r for v in vehicles for r in _services(dice, v)],
    }  # fmt: skip
    return {mart: [{"tenant_id": tenant, **row} for row in rows] for mart, rows in fleet.items()}


def _before(dice: random.Random, days: int) -> datetime:
    return NOW - timedelta(minutes=dice.randint(1, days * 1440))


def _vehicle(dice: random.Random, n: int) -> Row:
    return {"vehicle_id": f"v{n:02}", "vehicle_class": CLASSES[n % 3], "home_site_id": f"x{dice.randint(0, 2)}",
            "status": "retired" if n == 11 else "active",
            "in_service_from": None if n == 10 else date(dice.randint(2019, 2025), dice.randint(1, 12), 5)}  # fmt: skip


def _day(dice: random.Random, vehicle: Row, back: int) -> Row:
    km, is_known = dice.uniform(0, 700), dice.random() < 0.8
    engine_s = dice.uniform(20_000, 40_000) if is_known else None
    return {"vehicle_id": vehicle["vehicle_id"], "local_date": TODAY - timedelta(days=back),
            "time_zone": dice.choice(("UTC", "Europe/Berlin")), "day_s": dice.choice((82_800.0, 86_400.0, 90_000.0)),
            "driving_s": dice.uniform(0, 36_000), "engine_on_s": engine_s,
            "idle_s": engine_s and dice.uniform(0, 9_000), "engine_known_s": 80_000.0 if is_known else 0.0,
            "distance_km": km, "empty_km": km * dice.random()}  # fmt: skip


def _duty(dice: random.Random, key: str, back: int) -> Row:
    duty = dice.uniform(10_000, 45_000)
    return {"driver_key": key, "local_date": TODAY - timedelta(days=back), "on_duty_s": duty,
            "driving_s": duty * dice.random(), "on_duty_source": dice.choice(("tracks", "activities"))}  # fmt: skip


def _fixes(dice: random.Random, vehicle: Row, rule: str) -> Row:
    return {
        "vehicle_id": vehicle["vehicle_id"],
        "utc_date": TODAY,
        "rule": rule,
        "fixes": dice.randint(1, 900),
    }


def _visit(dice: random.Random, vehicle: Row, n: int) -> Row:
    entered, dwell = NOW - timedelta(days=n + 1), dice.uniform(60, 20_000)
    return {"vehicle_id": vehicle["vehicle_id"], "site_id": f"x{dice.randint(0, 3)}", "entered_at": entered,
            "left_at": entered + timedelta(seconds=dwell) if n else None, "dwell_s": dwell}  # fmt: skip


def _period(dice: random.Random, key: str, back: int) -> Row:
    began = NOW - timedelta(days=back, minutes=dice.randint(1, 600))
    return {"driver_key": key, "started_at": began, "ended_at": began + timedelta(hours=11)}


def _finding(dice: random.Random, key: str, n: int) -> Row:
    at = _before(dice, 40)
    article = dice.choice(("Art. 6(1)", "Art. 7", "Art. 8(2)", "395.3(a)(2)"))
    return {"driver_key": key, "rule": dice.choice(RULES), "broken_at": at, "started_at": at - timedelta(hours=n + 1),
            "limit_min": 270, "article": article, "needs_evidence": dice.random() < 0.25}  # fmt: skip


def _head(dice: random.Random, key: str, n: int) -> Row:
    """A clock of the past hours, one of now and one that turns in the future."""
    at = NOW - timedelta(minutes=(300, dice.randint(5, 200), -30)[n])
    return {"driver_key": key, "at": at, "believed_until": dice.choice((None, at + timedelta(minutes=100))),
            "is_driving": dice.random() < 0.85, "in_weekly_rest": False,
            "stint_min": dice.randint(0, 200), "break_min": 45, "day_started_at": at - timedelta(hours=5),
            "day_driving_min": dice.randint(0, 500), "day_limit_min": dice.choice((540, 600)),
            "week_min": dice.randint(1500, 3300), "fortnight_min": dice.randint(3300, 5350),
            "rest_by": at + timedelta(minutes=dice.randint(240, 600)),
            "weekly_rest_ended_at": dice.choice((None, at - timedelta(hours=dice.randint(90, 140))))}  # fmt: skip


def _fuel_trip(dice: random.Random, vehicle: Row, n: int) -> Row:
    km = dice.uniform(1, 500)
    return {"vehicle_id": vehicle["vehicle_id"], "started_at": NOW - timedelta(days=n + 1), "distance_km": km,
            "litres": km * dice.uniform(0.1, 0.4) if dice.random() < 0.8 else None,
            "terrain": dice.choice(("flat", "hilly"))}  # fmt: skip


def _anomaly(dice: random.Random, vehicle: Row, n: int) -> Row:
    kind = dice.choice(KINDS)
    return {"vehicle_id": vehicle["vehicle_id"], "anomaly_id": uuid.UUID(int=dice.getrandbits(128)), "kind": kind,
            "occurred_at": _before(dice, 40), "severity": dice.choice(("info", "low", "medium", "high")),
            "volume_l": None if kind == "consumption_high" else dice.uniform(5, 200)}  # fmt: skip


def _job(dice: random.Random, vehicle: Row, n: int) -> Row:
    hindrance = dice.choice((None, "bays", "window", "duties"))
    return {"plan_date": TODAY - timedelta(days=n % 2), "job_id": f"{vehicle['vehicle_id']}-{n}",
            "vehicle_id": vehicle["vehicle_id"], "state": "unplaced" if hindrance else "placed", "hindrance": hindrance,
            "missing_days": dice.randint(1, 9) if hindrance else None, "is_overdue": dice.random() < 0.5}  # fmt: skip


def _spell(dice: random.Random, vehicle: Row, n: int) -> Row:
    opened = NOW - timedelta(days=30 + n, minutes=dice.randint(0, 9_999))
    is_j1939 = dice.random() < 0.6
    return {"vehicle_id": vehicle["vehicle_id"], "ecu": n, "listing": "dm1" if is_j1939 else "service_03",
            "spn": 100 + n if is_j1939 else -1, "fmi": n if is_j1939 else -1, "code": "" if is_j1939 else f"P030{n}",
            "opened_at": opened, "closed_at": dice.choice((None, None, opened + timedelta(days=2))),
            "ecu_last_report_at": NOW - timedelta(days=dice.choice((0, 1, 20))),
            "severity": dice.choice((1, 2, 3, 4, 4)), "recurrence": dice.randint(0, 3)}  # fmt: skip


def _readings(dice: random.Random, vehicle: Row) -> list[Row]:
    """Readings of both meters every few weeks for two years; of one vehicle none."""
    rows: list[Row] = []
    for meter, start, use in (("odometer", 20_000.0, 120), ("engine_hours", 500.0, 3)):
        used, day = start, TODAY - timedelta(days=730)
        while day <= TODAY and vehicle["vehicle_id"] != "v09":
            rows.append({"vehicle_id": vehicle["vehicle_id"], "meter": meter, "day": day, "used": used})
            step = dice.randint(10, 40)
            used, day = used + step * use * dice.uniform(0.2, 1.8), day + timedelta(days=step)
    return rows


def _services(dice: random.Random, vehicle: Row) -> list[Row]:
    """At most one of each kind, now and then before the first reading or, of brakes, still to come.

    A vehicle of no known commissioning has no inspection: of that nothing can be told.
    """
    return [
        {"event_id": f"{vehicle['vehicle_id']}-{kind}", "vehicle_id": vehicle["vehicle_id"], "service": kind,
         "done_on": TODAY - timedelta(days=dice.randint(-20 if kind == "brakes" else 1, 800))}
        for kind in ("oil", "inspection", "maintenance", "brakes", "tyres")
        if dice.random() < 0.8 and (kind != "inspection" or vehicle["in_service_from"])
    ]  # fmt: skip


def remaining(fleet: Fleet) -> dict[str, Row]:
    """Return what each driver may still drive at NOW."""
    last: dict[str, Row] = {}
    for head in sorted(fleet["fct_driver_hours_head"], key=lambda row: row["at"]):
        if head["at"] <= NOW:
            last[head["driver_key"]] = head
    return {
        key: _remaining(head)
        for key, head in last.items()
        if head["believed_until"] is None or head["believed_until"] > NOW
    }


def _remaining(head: Row) -> Row:
    driven = int((NOW - head["at"]).total_seconds()) // 60 if head["is_driving"] else 0
    left = {
        "until_break_min": max(0, 270 - head["stint_min"] - driven),
        "today_min": max(0, head["day_limit_min"] - head["day_driving_min"] - driven),
        "this_week_min": max(0, 56 * 60 - head["week_min"] - driven),
        "this_fortnight_min": max(0, 90 * 60 - head["fortnight_min"] - driven),
    }
    deadlines = [head["rest_by"]]
    if head["weekly_rest_ended_at"]:
        deadlines.append(head["weekly_rest_ended_at"] + timedelta(days=6))
    until = [max(0, int((deadline - NOW).total_seconds()) // 60) for deadline in deadlines]
    return {"is_driving": head["is_driving"], "driving_min": min(*left.values(), *until), **left}


def dues(fleet: Fleet) -> list[Row]:
    """Return how each service task of each vehicle stands today."""
    return [
        _due(fleet, vehicle, task)
        for vehicle in fleet["dim_vehicle"]
        for task in TASKS
        if task["vehicle_class"] == vehicle["vehicle_class"]
    ]


def _due(fleet: Fleet, vehicle: Row, task: Row) -> Row:
    begun = vehicle["in_service_from"]
    done = [s["done_on"] for s in fleet["fct_service"]
            if s["vehicle_id"] == vehicle["vehicle_id"] and s["service"] == task["service"]
            and s["done_on"] <= TODAY and (begun is None or s["done_on"] >= begun)]  # fmt: skip
    last = max(done, default=None)
    left: list[float] = []
    reached: list[date] = []
    for meter, every in (("odometer", task["every_km"]), ("engine_hours", task["every_engine_hours"])):
        readings = [(m["day"], m["used"]) for m in fleet["fct_meter_day"]
                    if m["vehicle_id"] == vehicle["vehicle_id"] and m["meter"] == meter]  # fmt: skip
        since = _used(readings, last) if last else 0.0
        if every and readings and since is not None:
            limit = since + float(every)
            left.append(limit - readings[-1][1])
            reached += [day for day, used in readings if used >= limit][:1]
    start = last or begun
    if task["every_months"] and start:
        months = start.month - 1 + int(task["every_months"])
        due_on = _clamped(start.year + months // 12, months % 12 + 1, start.day)
        left.append((due_on - TODAY).days)
        reached += [due_on] if due_on <= TODAY else []
    status = "unknown" if not left else "overdue" if min(left) < 0 else "due" if min(left) == 0 else "not_due"
    return {
        **vehicle,
        "task_id": task["task_id"],
        "status": "retired" if vehicle["status"] == "retired" else status,
        "due_since": min(reached, default=None),
    }


def _used(readings: list[tuple[date, float]], day: date) -> float | None:
    """Return the use by the end of a day, straight between readings; none before the first."""
    before = [reading for reading in readings if reading[0] <= day]
    after = [reading for reading in readings if reading[0] > day]
    if not before or not after:
        return before[-1][1] if before else None
    (low, least), (high, most) = before[-1], after[0]
    return least + (most - least) * (day - low).days / (high - low).days


def _clamped(year: int, month: int, day: int) -> date:
    following = date(year + month // 12, month % 12 + 1, 1)
    return min(date(year, month, 1) + timedelta(days=day - 1), following - timedelta(days=1))
