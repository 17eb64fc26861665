"""The report's sections on vehicles and drivers on a real Postgres, from rows that the test writes itself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from vehicle_marts import DAY, NOON, NOW, TODAY, create_marts, day_of, declared, put

from fleetflow.local.stack import running
from fleetflow.metrics import Question, ask, load_metrics
from fleetflow.runtime import connect
from fleetflow.settings import Settings
from serving.report import MorningReport, build_report, publish, render_html
from serving.report.vehicles.model import Compliance, Fuel, Maintenance, Missing, Utilization, ratio
from serving.report.vehicles.statements import NEEDS

UTILIZATION = "marts.fct_vehicle_utilization_daily"
HOURS = {1: 6.0, 0: 8.0}
"""Hours at the wheel of each vehicle by days before the report's."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("vehicles"), ("postgres",)) as settings:
        create_marts(settings, without=("marts.fct_fuel_trip",))
        yield settings


def build(settings: Settings, tenant: str = "acme", as_of: datetime = NOW) -> MorningReport:
    with connect(settings.dsn("ops")) as conn:
        return build_report(conn, tenant, as_of)


@pytest.fixture(scope="module")
def before(settings: Settings) -> MorningReport:
    """The report of a warehouse that lacks one mart, and has no rows in the others."""
    return build(settings)


@pytest.fixture(scope="module")
def report(settings: Settings, before: MorningReport) -> MorningReport:
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        conn.execute(
            "create table marts.fct_fuel_trip (tenant_id text, vehicle_id text, started_at timestamptz,"
            " distance_km double precision, litres double precision, l_100km double precision)"
        )
        put(conn, "marts.dim_site")
        for n in range(4):
            put(conn, "marts.dim_vehicle", {"vehicle_id": f"V{n}", "home_site_id": "S1" if n < 2 else None})
            for back, driven in HOURS.items():
                put(
                    conn,
                    UTILIZATION,
                    {
                        "vehicle_id": f"V{n}",
                        "local_date": day_of(back),
                        "driving_s": 3600 * driven if n else 0.0,
                        "idle_s": 600.0 * n if n < 3 else None,
                    },
                )
        put(conn, "marts.dim_vehicle", {"vehicle_id": "V9"})
        put(conn, "marts.dim_vehicle", {"vehicle_id": "OLD", "status": "retired"})
        put(conn, UTILIZATION, {"tenant_id": "globex", "vehicle_id": "V0", "driving_s": 1.0})

        for n in range(20):
            put(conn, "marts.fct_driver_day", {"driver_key": f"K{n}", "started_at": NOON})
            put(conn, "marts.fct_driver_day", {"driver_key": f"K{n}", "started_at": NOON - timedelta(days=2)})
        finding = "marts.fct_driver_hours_finding"
        put(conn, finding, {"driver_key": "K1", "severity": "MI"})
        put(conn, finding, {"driver_key": "K2", "severity": "MSI", "rule": "DAILY_REST"})
        put(conn, finding, {"driver_key": "K2", "severity": "SI"})
        put(conn, finding, {"driver_key": "K3", "severity": None, "rule": "WEEKLY_REST_COMPENSATION"})
        put(
            conn,
            finding,
            {"driver_key": "K4", "needs_evidence": True, "reason": "a ticket", "rule": "FERRY_REST"},
        )
        put(conn, finding, {"driver_key": "K5", "broken_at": NOON - timedelta(days=2)})
        for back in (0, 2, 3):
            at = NOON - timedelta(days=back)
            law = {"rule": "DRIVE_11", "article": "395.3(a)(3)(i)", "severity": None}
            put(conn, finding, {"driver_key": "U1", "broken_at": at, **law})
        put(conn, finding, {"driver_key": "K6", "broken_at": NOON + timedelta(days=1)})
        put(conn, finding, {"driver_key": "K7", "tenant_id": "globex"})
        put(conn, "marts.fct_driver_hours_remaining", {"driver_key": "K1"})
        put(
            conn,
            "marts.fct_driver_hours_remaining",
            {"driver_key": "K2", "driving_min": 119, "until_break_min": 119},
        )
        put(conn, "marts.fct_driver_hours_remaining", {"driver_key": "K3", "driving_min": 120})

        for n, (km, litres) in enumerate(((100.0, 30.0), (50.0, None), (200.0, 50.0), (0.0, 1.0))):
            put(conn, "marts.fct_fuel_trip", {"vehicle_id": f"V{n}", "distance_km": km, "litres": litres})
        put(
            conn,
            "marts.fct_fuel_trip",
            {"started_at": NOON - timedelta(days=1), "distance_km": 100.0, "litres": 20.0},
        )
        put(
            conn,
            "marts.fct_fuel_anomaly",
            {"vehicle_id": "V1", "severity": "low", "kind": "leak", "volume_l": 7.0},
        )
        put(conn, "marts.fct_fuel_anomaly", {"vehicle_id": "V2"})
        put(
            conn,
            "marts.fct_fuel_anomaly",
            {"kind": "purchase_elsewhere", "severity": "medium", "volume_l": 90.0},
        )
        put(conn, "marts.fct_fuel_anomaly", {"occurred_at": NOON - timedelta(days=3)})

        put(conn, "marts.fct_maintenance_due", {"vehicle_id": "V1"})
        put(conn, "marts.fct_maintenance_due", {"vehicle_id": "V2", "status": "not_due", "due_since": None})
        put(conn, "marts.fct_maintenance_projection", {"vehicle_id": "V1"})
        put(conn, "marts.fct_maintenance_projection", {"vehicle_id": "V2"})
        put(
            conn,
            "marts.fct_maintenance_projection",
            {"vehicle_id": "V3", "due_on": TODAY + timedelta(days=15)},
        )
        put(conn, "marts.fct_maintenance_plan", {"vehicle_id": "V1", "job_id": "J1"})
        nowhere = {
            "state": "unplaced",
            "site_id": None,
            "first_day": None,
            "last_day": None,
            "reason": "no bay",
        }
        put(conn, "marts.fct_maintenance_plan", {"vehicle_id": "V2", "job_id": "J2", **nowhere})
        put(conn, "marts.fct_maintenance_plan", {"vehicle_id": "V3", "job_id": "J3", "plan_date": day_of(1)})
        put(conn, "marts.fct_maintenance_plan_change", {"vehicle_id": "V1"})
        put(conn, "marts.fct_dtc", {"vehicle_id": "V1"})
        put(
            conn,
            "marts.fct_dtc",
            {"vehicle_id": "V2", "severity": "soon", "code": "P0300", "spn": None, "fmi": None},
        )
        put(conn, "marts.fct_dtc", {"vehicle_id": "V3", "state": "closed"})
    return build(settings)


def test_every_column_that_is_read_is_declared() -> None:
    marts = declared()
    lacking = {
        f"{mart}.{column}"
        for part in NEEDS.values()
        for mart, columns in part.items()
        for column in ("tenant_id", *columns)
        if column not in marts[f"marts.{mart}"]
    }
    assert lacking == set()


def test_mart_that_is_not_built_or_empty_is_said_and_breaks_nothing(before: MorningReport) -> None:
    sections = before.vehicles
    assert isinstance(sections.fuel, Missing)
    assert "no marts.fct_fuel_trip yet" in sections.fuel.words
    assert sections.utilization == Missing("Not known: there is no vehicle-day of this tenant yet.")
    assert sections.compliance == Missing("Not known: there is no driver-day of this tenant yet.")
    assert isinstance(sections.maintenance, Missing)
    page = render_html(before)
    assert page.count('class="unknown"') == 4


def test_mart_of_an_older_warehouse_is_said(settings: Settings, report: MorningReport) -> None:
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        conn.execute("alter table marts.fct_driver_day rename column started_at to began_at")
        older = build(settings).vehicles.compliance
        conn.execute("alter table marts.fct_driver_day rename column began_at to started_at")
    assert isinstance(older, Missing)
    assert "marts.fct_driver_day of this warehouse is older" in older.words


def test_utilization_equals_plain_sums(report: MorningReport) -> None:
    known = report.vehicles.utilization
    assert isinstance(known, Utilization)
    assert [day.day for day in known.days] == [day_of(1), DAY]
    assert known.today.share == pytest.approx(3 * 8 / (4 * 24))
    assert known.share_7d == pytest.approx(3 * 6 / (4 * 24))
    assert (known.today.vehicles, known.today.stood, known.silent) == (4, 1, 1)
    assert known.today.idle_s == 1800
    assert known.today.empty_share == pytest.approx(0.25)
    assert [vehicle.vehicle_id for vehicle in known.idlers] == ["V2", "V1"]
    assert {site.site: (site.vehicles, site.stood, site.share) for site in known.sites} == {
        "Essen Depot": (2, 1, pytest.approx(8 / 48)),
        "unknown": (2, 0, pytest.approx(16 / 48)),
    }


def test_compliance_equals_plain_counts(report: MorningReport) -> None:
    known = report.vehicles.compliance
    assert isinstance(known, Compliance)
    assert (known.today.total, known.today.driver_days, known.today.unclassed) == (5, 20, 2)
    assert [(day.day, day.driver_days, day.us) for day in known.days] == [
        (day_of(3), 0, 1),
        (day_of(2), 20, 1),
        (DAY, 20, 1),
    ]
    assert (known.per_100, known.per_100_7d) == (pytest.approx(20.0), pytest.approx(5.0))
    assert known.evidence == 1
    assert [(one.driver_key, one.by_severity) for one in known.offenders] == [
        ("K2", {"MSI": 1, "SI": 1}),
        ("K1", {"MI": 1}),
        ("K3", {}),
        ("U1", {}),
    ]
    assert known.offenders[0].rules == ("DAILY_REST", "DAILY_DRIVING")
    assert {rule.rule: (rule.total, rule.evidence, rule.total_7d) for rule in known.rules} == {
        "DAILY_REST": (1, 0, 0),
        "DAILY_DRIVING": (2, 0, 1),
        "WEEKLY_REST_COMPENSATION": (1, 0, 0),
        "FERRY_REST": (0, 1, 0),
        "DRIVE_11": (1, 0, 2),
    }
    assert known.remaining is not None
    assert [(one.driver_key, one.driving_min, one.limit) for one in known.remaining] == [
        ("K1", 40, "day"),
        ("K2", 119, "break"),
    ]


def test_figures_are_those_of_the_metrics_of_their_names(settings: Settings, report: MorningReport) -> None:
    hours, fuel, use = report.vehicles.compliance, report.vehicles.fuel, report.vehicles.utilization
    assert isinstance(hours, Compliance)
    assert isinstance(fuel, Fuel)
    assert isinstance(use, Utilization)
    metrics = load_metrics()
    shown = {
        "infringements_per_100_driver_days": (hours.per_100, hours.per_100_7d),
        "litres_per_100_km": (fuel.all_classes.l_100km, fuel.all_classes.l_100km_7d),
        "utilization_share": (use.today.share, use.share_7d),
        "empty_share": (use.today.empty_share, ratio(*_week(use, "empty_km", "distance_km"))),
    }
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        for mart in sorted({metrics[name].model for name in shown} | {"fct_driver_day"}):
            conn.execute("select ops.publish(%s::regclass)", (f"marts.{mart}",))
    periods = (Question(from_day=DAY, to_day=DAY), Question(from_day=day_of(7), to_day=day_of(1)))
    with connect(settings.dsn("analyst")) as conn:
        asked = {
            name: tuple(ask(conn, "acme", metrics[name], period).rows[0][-1] for period in periods)
            for name in shown
        }
    assert asked == {name: pytest.approx(values) for name, values in shown.items()}


def _week(use: Utilization, *names: str) -> list[float]:
    return [sum(getattr(day, name) for day in use.days[:-1]) for name in names]


def test_fuel_equals_plain_sums(report: MorningReport) -> None:
    known = report.vehicles.fuel
    assert isinstance(known, Fuel)
    assert (known.today.litres, known.today.km, known.today.trips, known.today.trips_unmeasured) == (
        81,
        300,
        4,
        1,
    )
    assert known.all_classes.l_100km == pytest.approx(81 / 3)
    assert known.all_classes.l_100km_7d == pytest.approx(20.0)
    assert [(one.vehicle_id, one.severity) for one in known.anomalies] == [
        ("V2", "high"),
        ("V", "medium"),
        ("V1", "low"),
    ]
    assert known.anomalies[0].causes[0].cause == "theft"
    assert known.anomalies_7d == {"high": 1}
    assert (len(known.purchases), len(known.losses)) == (1, 2)


def test_maintenance_equals_plain_counts(report: MorningReport) -> None:
    known = report.vehicles.maintenance
    assert isinstance(known, Maintenance)
    assert known.notes == ()
    assert [(one.vehicle_id, one.due_on, one.by) for one in known.overdue] == [("V1", DAY, "km")]
    assert known.due_on(TODAY + timedelta(days=3)) == 1
    assert known.due is not None
    assert len(known.due) == 2
    assert known.plan is not None
    assert [job.job_id for job in known.plan.on(TODAY)] == ["J1"]
    assert [job.reason for job in known.plan.unplaced] == ["no bay"]
    assert [change.kind for change in known.plan.changes] == ["added"]
    assert [code.code for code in known.open_codes("stop")] == ["SPN 100 FMI 1"]
    assert [code.code for code in known.open_codes("soon")] == ["P0300"]


def test_plan_of_another_night_is_said(settings: Settings, report: MorningReport) -> None:
    known = build(settings, as_of=NOW + timedelta(days=1)).vehicles
    assert isinstance(known.maintenance, Maintenance)
    assert any("There is no plan of this night" in note for note in known.maintenance.notes)
    assert isinstance(known.utilization, Missing)
    assert "the last one is of" in known.utilization.words


def test_another_tenant_sees_its_own(settings: Settings, report: MorningReport) -> None:
    other = build(settings, "globex").vehicles.utilization
    assert isinstance(other, Utilization)
    assert (other.today.vehicles, other.today.driving_s) == (1, 1.0)


def test_pipeline_that_is_behind_is_said(settings: Settings, report: MorningReport) -> None:
    with connect(settings.dsn("loader"), autocommit=True) as conn:
        conn.execute(
            "insert into ops.batch (source, feed, events_read, accepted, rejected, worker, landed_at)"
            " values ('stream', 'gps_location', 1, 1, 0, 'test', now() - interval '3 hours')"
        )
    page = render_html(build(settings))
    assert page.count("1 batch of the vehicle side not yet in the marts") == 4


def test_sheets_lie_beside_the_page(report: MorningReport, tmp_path: Path) -> None:
    published = publish(report, tmp_path, None, "")
    sheets = {
        path.name: list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
        for path in published.files
        if path.suffix == ".csv"
    }
    assert {name: len(rows) for name, rows in sheets.items()} == {
        "morning_sla.csv": 0,
        "at_risk.csv": 0,
        "utilization.csv": 4,
        "driver_hours.csv": 6,
        "fuel.csv": 3,
        "maintenance.csv": 4,
    }
    assert sheets["utilization.csv"][-1]["idle_s"] == ""
    # The job of a service stands in the service's line.
    assert [(row["what"], row["state"]) for row in sheets["maintenance.csv"]] == [
        ("service", "placed"),
        ("service", "unplaced"),
        ("trouble_code", "stop"),
        ("trouble_code", "soon"),
    ]
