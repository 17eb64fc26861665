"""Marts as the models' contracts declare them, empty and without keys, and rows for those of the vehicle side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from fleetflow.runtime import connect
from fleetflow.settings import Settings

MODELS = Path(__file__).parents[2] / "dbt" / "models"
TENANT = "acme"
NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()
DAY = TODAY - timedelta(days=1)
NOON = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)

# What the columns with a rule hold in a row that nothing is wrong with; the others are null.
SOUND: dict[str, dict[str, object]] = {
    "marts.dim_vehicle": {
        "vehicle_id": "V",
        "vehicle_class": "truck",
        "tank_l": 300,
        "home_site_id": "S1",
        "status": "active",
    },
    "marts.dim_driver": {"driver_key": "K"},
    "marts.dim_site": {"site_id": "S1", "name": "Essen Depot"},
    "marts.fct_vehicle_utilization_daily": {
        "vehicle_id": "V",
        "local_date": DAY,
        "day_s": 86_400.0,
        "driving_s": 28_800.0,
        "stop_s": 57_600.0,
        "gap_s": 0.0,
        "carried_s": 0.0,
        "utilization_share": 1 / 3,
        "engine_on_s": 30_000.0,
        "idle_s": 1_200.0,
        "site_wait_s": 3_600.0,
        "trips": 3,
        "distance_km": 400.0,
        "empty_km": 100.0,
        "empty_share": 0.25,
        "odometer_km": 401.0,
        "mean_kmh": 50.0,
    },
    "marts.fct_driver_utilization_daily": {
        "driver_key": "K",
        "local_date": DAY,
        "day_s": 86_400.0,
        "on_duty_s": 40_000.0,
        "driving_s": 28_800.0,
        "utilization_share": 0.72,
        "idle_s": 1_200.0,
        "site_wait_s": 3_600.0,
        "distance_km": 400.0,
    },
    "marts.fct_trip": {
        "vehicle_id": "V",
        "started_at": NOON,
        "ended_at": NOON + timedelta(hours=2),
        "driver_key": "K",
        "duration_s": 7_200.0,
        "distance_km": 100.0,
        "odometer_km": 100.0,
        "mean_kmh": 50.0,
        "max_kmh": 88.0,
        "standing_s": 60.0,
        "loaded_s": 0.0,
        "empty_km": 100.0,
    },
    "marts.fct_stop": {
        "vehicle_id": "V",
        "started_at": NOON - timedelta(hours=1),
        "ended_at": NOON,
        "kind": "stop",
        "dwell_s": 3_600.0,
    },
    "marts.fct_site_visit": {
        "vehicle_id": "V",
        "site_id": "S1",
        "entered_at": NOON,
        "last_inside_at": NOON + timedelta(hours=1),
        "left_at": NOON + timedelta(hours=1),
    },
    "marts.fct_driver_hours_finding": {
        "driver_key": "K",
        "rule": "DAILY_DRIVING",
        "article": "6(1)",
        "severity": "SI",
        "started_at": NOON - timedelta(hours=11),
        "broken_at": NOON,
        "ended_at": NOON + timedelta(hours=1),
        "measured_min": 640,
        "limit_min": 600,
        "needs_evidence": False,
    },
    "marts.fct_driver_day": {
        "driver_key": "K",
        "started_at": NOON - timedelta(hours=8),
        "ended_at": NOON + timedelta(hours=8),
        "driving_min": 500,
        "other_work_min": 60,
        "availability_min": 10,
        "rest_min": 660,
    },
    "marts.fct_fuel_trip": {
        "vehicle_id": "V",
        "started_at": NOON,
        "distance_km": 100.0,
        "litres": 28.0,
        "l_100km": 28.0,
    },
    "marts.fct_fuel_event": {
        "vehicle_id": "V",
        "event_id": "E",
        "kind": "refill",
        "started_at": NOON,
        "ended_at": NOON,
        "volume_l": 200.0,
    },
    "marts.fct_fuel_anomaly": {
        "vehicle_id": "V",
        "anomaly_id": "00000000-0000-0000-0000-000000000000",
        "kind": "drain_parked",
        "occurred_at": NOON,
        "volume_l": 60.0,
        "score": 0.8,
        "severity": "high",
        "causes": json.dumps([{"cause": "theft", "confidence": "likely", "why": "60 l within 5 min"}]),
    },
    "marts.fct_dtc_spell": {
        "vehicle_id": "V",
        "ecu": 0,
        "listing": "dm1",
        "spn": 100,
        "fmi": 1,
        "code": "",
        "opened_at": NOON,
        "last_seen_at": NOON + timedelta(hours=1),
    },
    "marts.fct_dtc": {
        "vehicle_id": "V",
        "spn": 100,
        "fmi": 1,
        "state": "open",
        "severity": "stop",
        "age_days": 1.5,
        "recurrence": 0,
    },
    "marts.fct_meter_day": {"vehicle_id": "V", "meter": "odometer", "day": DAY, "used": 1000.0},
    "marts.fct_service": {"vehicle_id": "V", "event_id": "E", "done_on": DAY},
    "marts.fct_maintenance_due": {
        "vehicle_id": "V",
        "task_id": "oil",
        "status": "overdue",
        "due_since": DAY,
        "km_due_on": DAY,
    },
    "marts.fct_maintenance_projection": {
        "vehicle_id": "V",
        "task_id": "oil",
        "plan_date": TODAY,
        "due_on": TODAY + timedelta(days=3),
        "by_limit": "km",
    },
    "marts.fct_maintenance_plan": {
        "plan_date": TODAY,
        "job_id": "J",
        "vehicle_id": "V",
        "kind": "service",
        "task_id": "oil",
        "words": "oil",
        "due_on": DAY,
        "is_overdue": True,
        "state": "placed",
        "site_id": "S1",
        "first_day": TODAY,
        "last_day": TODAY,
    },
    "marts.fct_maintenance_plan_change": {
        "plan_date": TODAY,
        "job_id": "J",
        "vehicle_id": "V",
        "kind": "added",
        "first_day_after": TODAY,
        "reason": "new in the plan",
    },
    "marts.fct_driver_hours_remaining": {
        "driver_key": "K",
        "driving_min": 40,
        "until_break_min": 200,
        "today_min": 40,
        "this_week_min": 900,
        "this_fortnight_min": 2000,
        "rest_by": NOW + timedelta(hours=3),
    },
    "marts.fct_position_quality_daily": {"vehicle_id": "V", "utc_date": DAY, "rule": "kept", "fixes": 980},
    "intermediate.int_signal_minute": {
        "vehicle_id": "V",
        "minute": NOON,
        "name": "vehicle_speed",
        "samples": 60,
        "min_value": 80.0,
        "mean_value": 82.0,
        "max_value": 85.0,
        "first_value": 81.0,
        "last_value": 84.0,
        "last_at": NOON,
        "unit": "km/h",
    },
}

Connection = psycopg.Connection[Any]


def declared() -> dict[str, dict[str, str]]:
    """Return each mart and report of the models' contracts with its columns and their types."""
    found = {}
    for schema in ("marts", "reports"):
        for path in sorted((MODELS / schema).rglob("_*.yml")):
            for model in yaml.safe_load(path.read_text()).get("models", ()):
                columns = {one["name"]: one["data_type"] for one in model["columns"] if "data_type" in one}
                if columns:
                    found[f"{schema}.{model['name']}"] = columns
    return found


def create_marts(settings: Settings, *, without: tuple[str, ...] = ()) -> None:
    """Create every declared mart as a table without keys, views too; those of `without` are left out."""
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        for name, columns in declared().items():
            if name in without:
                continue
            fields = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            conn.execute(f"create table {name} ({fields})".encode())


def put(conn: Connection, table: str, changes: Mapping[str, object] | None = None) -> None:
    """Insert a sound row of a table, with changes."""
    row = {"tenant_id": TENANT, **SOUND.get(table, {}), **(changes or {})}
    conn.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier(*table.split(".")),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        ),
        list(row.values()),
    )


def day_of(back: int) -> date:
    """Return a day so many before the report's."""
    return DAY - timedelta(days=back)
