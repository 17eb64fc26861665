"""The vehicle side's suites on a real Postgres: sound rows pass, each check finds the row that is planted for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from vehicle_marts import DAY, NOON, SOUND, TENANT, TODAY, create_marts, put

from fleetflow.local.stack import running
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from quality.model import SuiteReport
from quality.runner import run_suite
from quality.vehicles import suites as names
from quality.vehicles.suites import GATE, NIGHTLY

pytestmark = pytest.mark.filterwarnings("ignore")  # Great Expectations' and Marshmallow's own

Owner = psycopg.Connection[Any]
HOUR = timedelta(hours=1)


class Plant(NamedTuple):
    """A row that a check must find: the sound row of its table with changes, `times` over; how many break the rule."""

    check: str
    table: str
    changes: Mapping[str, object]
    times: int = 1
    broken: int = 1


PLANTS = (
    Plant("unique_key", names.UTILIZATION, {}, 1, 2),
    Plant("share_in_range", names.UTILIZATION, {"utilization_share": 1.2}),
    Plant("day_length", names.UTILIZATION, {"day_s": 93_600.0}),
    Plant("fits_the_day", names.UTILIZATION, {"driving_s": 30_000.0}),
    Plant("not_negative", names.UTILIZATION, {"gap_s": -5.0}),
    Plant("idle_within_engine", names.UTILIZATION, {"idle_s": 40_000.0}),
    Plant("empty_within_km", names.UTILIZATION, {"empty_km": 401.0}),
    Plant("mean_speed", names.UTILIZATION, {"mean_kmh": 180.0}),
    Plant("unique_key", names.DRIVERS, {}, 1, 2),
    Plant("driver_known", names.DRIVERS, {"driver_key": "X"}),
    Plant("share_in_range", names.DRIVERS, {"utilization_share": -0.1}),
    Plant("not_negative", names.DRIVERS, {"driving_s": -1.0}),
    Plant("fits_the_day", names.DRIVERS, {"on_duty_s": 95_000.0}),
    Plant("unique_key", names.TRIP, {}, 1, 2),
    Plant("driver_known", names.TRIP, {"driver_key": "X"}),
    Plant("ends_after_start", names.TRIP, {"ended_at": NOON - HOUR}),
    Plant("not_negative", names.TRIP, {"distance_km": -1.0, "empty_km": -1.0}),
    Plant("empty_within_km", names.TRIP, {"empty_km": 100.5}),
    Plant("speed", names.TRIP, {"mean_kmh": 400.0}),
    Plant("unique_key", names.STOP, {}, 1, 2),
    Plant("kind_known", names.STOP, {"kind": "parked"}),
    Plant("dwell_not_negative", names.STOP, {"dwell_s": -1.0}),
    Plant("unique_key", names.VISIT, {}, 1, 2),
    Plant("leaves_after_entry", names.VISIT, {"left_at": NOON - HOUR}),
    Plant("no_overlap", names.VISIT, {"entered_at": NOON + HOUR / 2}),
    Plant("unique_key", names.FINDING, {}, 1, 2),
    Plant("driver_known", names.FINDING, {"driver_key": "X"}),
    Plant("severity_known", names.FINDING, {"severity": "BAD"}),
    Plant("beyond_the_limit", names.FINDING, {"measured_min": 600}),
    Plant("beyond_the_limit", names.FINDING, {"rule": "DAILY_REST", "measured_min": 660, "limit_min": 660}),
    Plant("evidence_is_named", names.FINDING, {"needs_evidence": True}),
    Plant("unique_key", names.DRIVER_DAY, {}, 1, 2),
    Plant("driver_known", names.DRIVER_DAY, {"driver_key": "X"}),
    Plant("not_negative", names.DRIVER_DAY, {"rest_min": -1}),
    Plant("fits_the_period", names.DRIVER_DAY, {"driving_min": 1000}),
    Plant("no_overlap", names.DRIVER_DAY, {"started_at": NOON, "ended_at": NOON + 10 * HOUR}),
    Plant("unique_key", names.FUEL_TRIP, {}, 1, 2),
    Plant("litres_not_negative", names.FUEL_TRIP, {"litres": -2.0}),
    Plant("consumption", names.FUEL_TRIP, {"l_100km": 400.0}),
    Plant("unique_key", names.FUEL_EVENT, {}, 1, 2),
    Plant("kind_known", names.FUEL_EVENT, {"kind": "spill"}),
    Plant("volume_positive", names.FUEL_EVENT, {"volume_l": 0.0}),
    Plant("ends_after_start", names.FUEL_EVENT, {"ended_at": NOON - HOUR}),
    Plant("within_the_tank", names.FUEL_EVENT, {"volume_l": 400.0}),
    Plant("unique_key", names.ANOMALY, {}, 1, 2),
    Plant("score_in_range", names.ANOMALY, {"score": 1.5}),
    Plant("severity_known", names.ANOMALY, {"severity": "grave"}),
    Plant("volume_not_negative", names.ANOMALY, {"volume_l": -3.0}),
    Plant("has_causes", names.ANOMALY, {"causes": "[]"}),
    Plant("unique_key", names.SPELL, {}, 1, 2),
    Plant("closes_after_opening", names.SPELL, {"closed_at": NOON - HOUR}),
    Plant("no_overlap", names.SPELL, {"opened_at": NOON + HOUR / 2}),
    Plant("unique_key", names.METER, {}, 1, 2),
    Plant("never_falls", names.METER, {"day": TODAY, "used": 900.0}),
    Plant("unique_key", names.SERVICE, {}, 1, 2),
    Plant("in_the_past", names.SERVICE, {"done_on": TODAY + timedelta(days=9)}),
    Plant("unique_key", names.PLAN, {}, 1, 2),
    Plant("not_in_the_past", names.PLAN, {"first_day": DAY}),
    Plant(
        "reason_given",
        names.PLAN,
        {"state": "unplaced", "first_day": None, "last_day": None, "site_id": None},
    ),
    Plant("in_order", names.SIGNAL, {"mean_value": 99.0}),
    Plant("speed_in_range", names.SIGNAL, {"max_value": 400.0}),
    Plant("level_in_range", names.SIGNAL, {"name": "fuel_level", "unit": "%", "max_value": 140.0}),
    Plant("rate_not_negative", names.SIGNAL, {"name": "fuel_rate", "unit": "l/h", "min_value": -4.0}),
)
# A row that is there twice overlaps itself.
ALSO = {(table, "no_overlap"): 1 for table in (names.VISIT, names.DRIVER_DAY, names.SPELL)}
# The key of int_signal_minute is a constraint of its table, so no row can break it.
KEPT_BY_POSTGRES = {f"{names.SIGNAL}.unique_key"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("vehicles"), ("postgres",)) as settings:
        yield settings


@pytest.fixture(scope="module")
def clean(stack: Settings) -> SuiteReport:
    """The suite on sound rows: five hundred vehicles, so that one bad row is a small share."""
    assert run_suite(stack.dsn("transformer"), "vehicles").passed, "nothing was built yet"
    create_marts(stack)
    with connect(stack.dsn("transformer"), autocommit=True) as owner:
        owner.execute(
            "insert into ops.transform_run (pipeline, claimed_by, state, finished_at)"
            " values ('vehicles', 'test', 'done', now())"
        )
        put(owner, "intermediate.int_maintenance_night", NIGHT)
        for table in SOUND:
            put(owner, table)
        put(owner, "marts.fct_stop", {"started_at": NOON + 2 * HOUR, "ended_at": NOON + 3 * HOUR})
        put(owner, "intermediate.int_frame_count", frames(unknown_id=10))
        put(owner, "intermediate.int_driver_activity", activity(0))
    return run_suite(stack.dsn("transformer"), "vehicles")


NIGHT = {
    "plan_date": TODAY,
    "horizon_days": 14,
    "vehicles": 10,
    "fleet_limit": 1,
    "jobs": 1,
    "placed": 1,
    "unplaced": 0,
    "moves": 0,
    "late_days": 0,
    "cost": 0,
    "overdue_cost": 0,
}


def frames(**counts: int) -> dict[str, object]:
    """Make an hour of 1,000 frames, of which some have another outcome than being decoded."""
    zero = (
        "transport", "unknown_id", "unknown_pid", "wrong_length", "unknown_selector", "no_transfer", "malformed",
        "no_decoder", "clock_ahead", "before_service", "clock_off", "signals", "not_available", "faulty_values",
        "lost_transfers", "manifest_version",
    )  # fmt: skip
    hour = NOON + 20 * HOUR if counts.get("no_decoder") else NOON
    return {
        "vehicle_id": "V",
        "hour": hour,
        **dict.fromkeys(zero, 0),
        "frames": 1000,
        "decoded": 1000 - sum(counts.values()),
        **counts,
    }


def activity(n: int) -> dict[str, object]:
    return {
        "driver_id": "D",
        "event_id": f"A{n}",
        "started_at": NOON,
        "activity": "driving",
        "origin": "tachograph",
        "recorded_at": NOON,
    }


def failed(report: SuiteReport) -> dict[str, tuple[str, int | None]]:
    return {
        f"{r.check.subject}.{r.check.name}": (r.severity, r.observation.unexpected)
        for r in (*report.errors, *report.warnings)
    }


def test_sound_rows_pass_and_every_check_looked(clean: SuiteReport) -> None:
    assert failed(clean) == {}
    assert len(clean.results) == len(NIGHTLY)
    idle = {f"{r.check.subject}.{r.check.name}" for r in clean.results if r.observation.observed is None}
    # One row has nothing before it, and nothing of a feed has landed.
    assert {one for one in idle if not one.startswith(names.FEEDS)} == {
        f"{names.VISIT}.no_overlap",
        f"{names.DRIVER_DAY}.no_overlap",
        f"{names.SPELL}.no_overlap",
        f"{names.METER}.never_falls",
        f"{names.FINDING}.evidence_is_named",
        f"{names.PLAN}.reason_given",
        f"{names.SIGNAL}.level_in_range",
        f"{names.SIGNAL}.rate_not_negative",
    }


@pytest.fixture(scope="module")
def planted(stack: Settings, clean: SuiteReport) -> SuiteReport:
    """The suite with one bad row for each check, each of a vehicle, driver or job of its own."""
    with connect(stack.dsn("transformer"), autocommit=True) as owner:
        for n, plant in enumerate(PLANTS):
            sound = {"tenant_id": TENANT, **SOUND[plant.table]}
            own = {
                key: value
                for key, value in {
                    "vehicle_id": f"V{n}",
                    "event_id": f"E{n}",
                    "job_id": f"J{n}",
                    "anomaly_id": str(UUID(int=n + 1)),
                }.items()
                if key in sound
            }
            if "vehicle_id" in own:
                put(owner, "marts.dim_vehicle", {"vehicle_id": f"V{n}"})
            if "driver_key" in sound and "driver_key" not in plant.changes:
                put(owner, "marts.dim_driver", {"driver_key": f"K{n}"})
                own["driver_key"] = f"K{n}"
            if plant.check in ("unique_key", "no_overlap", "never_falls"):
                put(owner, plant.table, own)
            put(owner, plant.table, {**own, **plant.changes})
        put(owner, "marts.fct_stop", {"vehicle_id": "OVER", "started_at": NOON, "ended_at": NOON + 2 * HOUR})
        put(
            owner,
            "marts.fct_trip",
            {"vehicle_id": "OVER", "started_at": NOON + HOUR, "ended_at": NOON + 3 * HOUR},
        )
        put(owner, "marts.fct_stop", {"vehicle_id": "HOLE"})
        put(owner, "marts.fct_trip", {"vehicle_id": "HOLE", "started_at": NOON + HOUR})
        put(owner, "intermediate.int_frame_count", frames(no_decoder=600, unknown_id=400))
        put(owner, "marts.fct_position_quality_daily", {"rule": "future", "fixes": 200})
        put(
            owner,
            "intermediate.int_driver_activity_fault",
            {
                "driver_id": "D",
                "event_id": "A0",
                "fault": "overlap",
                "started_at": NOON,
                "known_at": NOON,
                "is_left_out": True,
            },
        )
    return run_suite(stack.dsn("transformer"), "vehicles")


@pytest.mark.parametrize("at", range(len(PLANTS)), ids=[f"{p.table}.{p.check}" for p in PLANTS])
def test_each_check_finds_the_row_planted_for_it(planted: SuiteReport, at: int) -> None:
    plant = PLANTS[at]
    name = f"{plant.table}.{plant.check}"
    wanted = sum(one.broken for one in PLANTS if (one.table, one.check) == (plant.table, plant.check))
    wanted += ALSO.get((plant.table, plant.check), 0)
    assert failed(planted)[name][1] == wanted


def test_what_spans_rows_is_found(planted: SuiteReport) -> None:
    found = failed(planted)
    # One that was planted, and the trip and the stop that are there twice.
    assert found[f"{names.SEGMENTS}.no_overlap"] == ("error", 3)
    assert found[f"{names.SEGMENTS}.no_hole"] == ("error", 1)
    assert found[f"{names.PLAN_DAYS}.within_fleet_share"][0] == "error"
    assert found[f"{names.PLAN_BAYS}.within_bays"][0] == "error"


def test_shares_of_what_was_refused_are_those_of_the_counts(planted: SuiteReport) -> None:
    seen = {r.check.name: r for r in planted.results if r.check.subject == names.REFUSED}
    assert seen["fixes"].observation.observed == pytest.approx(200 / 1180)
    assert seen["fixes_untimely"].observation.observed == pytest.approx(200 / 1180)
    assert seen["frames"].observation.observed == pytest.approx(1010 / 2000)
    assert seen["frames_no_decoder"].observation.observed == pytest.approx(600 / 2000)
    assert seen["activities"].observation.observed == pytest.approx(1.0)
    assert {name for name, r in seen.items() if not r.passed} == set(seen)
    assert seen["activities"].severity == "error"


def test_every_check_is_shown_to_fail(planted: SuiteReport) -> None:
    able = set(failed(planted))
    declared = {f"{check.subject}.{check.name}" for check in NIGHTLY if check.subject != names.FEEDS}
    assert declared - able == KEPT_BY_POSTGRES


@pytest.fixture
def owner(stack: Settings) -> Iterator[Owner]:
    with connect(stack.dsn("owner"), autocommit=True) as conn:
        conn.execute(
            "truncate landing.gps_location, landing.can_frame, landing.driver_activity, ops.batch, ops.transform_run,"
            " source.vehicles, source.drivers cascade"
        )
        yield conn


def batch(conn: Owner, feed: str, rows: int, age: timedelta = HOUR, source: str = "stream") -> int:
    row = conn.execute(
        "insert into ops.batch (source, feed, events_read, accepted, rejected, first_arrived_at, last_arrived_at,"
        " worker, landed_at) values (%s, %s, %s, %s, 0, now() - interval '1 hour', now(), 'test', now() - %s)"
        " returning batch_id",
        (source, feed, rows, rows, age),
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_feeds_that_stand_still_or_swell_are_found(stack: Settings, owner: Owner) -> None:
    for days in range(1, 5):
        for feed, rows in (("gps_location", 100), ("can_frame", 100), ("driver_activity", 100)):
            batch(owner, feed, rows, timedelta(days=days) + HOUR)
    batch(owner, "gps_location", 500, HOUR)
    batch(owner, "can_frame", 10, HOUR)
    batch(owner, "fuel_purchase", 5, timedelta(days=10), "partner")
    batch(owner, "service_record", 5, timedelta(days=9), "partner")
    owner.execute(
        "update ops.batch set landed_at = landed_at - interval '1 hour' where feed = 'driver_activity'"
    )
    owner.execute(
        "update ops.batch set landed_at = now() - interval '2 days' where feed = 'driver_activity'"
        " and landed_at > now() - interval '2 days'"
    )
    report = run_suite(stack.dsn("transformer"), "vehicles")
    assert {
        name.removeprefix(f"{names.FEEDS}.") for name in failed(report) if name.startswith(names.FEEDS)
    } >= {
        "gps_location_volume_high",
        "can_frame_volume_low",
        "driver_activity_age",
        "fuel_purchase_age",
        "service_record_age",
        "pending_age",
    }


def claim(
    conn: Owner, *, known: int, unknown: int, no_model: int = 0, lost: int = 0, drivers_unknown: int = 0
) -> UUID:
    """Claim fixes and frames of so many vehicles, and activities of as many drivers."""
    row = conn.execute(
        "insert into ops.transform_run (pipeline, claimed_by, state) values ('vehicles', 'test', 'claimed')"
        " returning run_id"
    ).fetchone()
    assert row is not None
    total = known + unknown
    for n in range(known):
        conn.execute(
            "insert into source.vehicles (vehicle_id, tenant_id, model, model_year, _lsn, _committed_at, batch_id)"
            " values (%s, 'acme', %s, 2022, '0/1', now(), 0)",
            (f"V{n}", None if n < no_model else "Actros"),
        )
    for n in range(total - drivers_unknown):
        conn.execute(
            "insert into source.drivers (driver_id, tenant_id, _lsn, _committed_at, batch_id)"
            " values (%s, 'acme', '0/1', now(), 0)",
            (f"D{n}",),
        )
    for feed, columns, values in LANDED:
        number = batch(conn, feed, total + lost)
        conn.execute(
            f"insert into landing.{feed} (tenant_id, event_id, recorded_at, schema_version, batch_id, line, arrived_at,"
            f" {columns}) select 'acme', %(feed)s || n, now(), 1, %(batch)s, n, now() - interval '1 second', {values}"
            " from generate_series(0, %(rows)s - 1) as n",
            {"feed": feed, "batch": number, "rows": total},
        )
    conn.execute("update ops.pending_batch set run_id = %s where pipeline = 'vehicles'", (row[0],))
    run: UUID = row[0]
    return run


LANDED = (
    (
        "gps_location",
        "vehicle_id, fixed_at, lat, lon, speed_kmh, heading_deg",
        "'V' || n, now(), 51, 7, 50, 0",
    ),
    (
        "can_frame",
        "vehicle_id, captured_at, channel, arbitration_id, is_extended, payload",
        "'V' || n, now(), 'can0', 1, true, ''::bytea",
    ),
    ("driver_activity", "driver_id, started_at, activity, origin", "'D' || n, now(), 'rest', 'tachograph'"),
)


@pytest.mark.parametrize(
    ("world", "found"),
    [
        ({"known": 10, "unknown": 0}, {}),
        (
            {"known": 9, "unknown": 1},
            {"claim.vehicles.vehicle_known": "warn", "claim.vehicles.model_known": "warn"},
        ),
        (
            {"known": 2, "unknown": 8},
            {"claim.vehicles.vehicle_known": "error", "claim.vehicles.model_known": "error"},
        ),
        ({"known": 10, "unknown": 0, "no_model": 6}, {"claim.vehicles.model_known": "error"}),
        ({"known": 10, "unknown": 0, "lost": 1}, {"claim.complete": "error"}),
        ({"known": 10, "unknown": 0, "drivers_unknown": 6}, {"claim.drivers.driver_known": "error"}),
    ],
)
def test_gate_holds_what_the_fleet_does_not_know(
    stack: Settings, owner: Owner, world: dict[str, int], found: dict[str, str]
) -> None:
    report = run_suite(stack.dsn("transformer"), "vehicles_gate", run_id=claim(owner, **world))
    assert {name: severity for name, (severity, _) in failed(report).items()} == found
    assert len(report.results) == len(GATE)
    assert report.passed is ("error" not in found.values())
