"""Two nights of a small fleet on a real Postgres: what is planned, why not, and what changes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import telemetry_frames as can
from transform_warehouse import NOW, land, mirror, site, warehouse
from typer.testing import CliRunner

from fleetflow import dbt_project
from fleetflow.faults import UserError
from fleetflow.local.stack import running
from fleetflow.retention import add_hold, release_hold, run_retention
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles.maintenance.plan import plan_night
from fleetflow.vehicles.run import run_vehicles

TODAY = NOW.date()
OIL_DUE, KEEPS_DUTY, BROKEN, FRESH = "oil-due", "on-duty", "broken", "fresh"


def service(vehicle: str, number: int, day: date, kind: str, km: float) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    return {
        "tenant_id": "acme", "event_id": f"{vehicle}-{number}", "recorded_at": at, "schema_version": 1,
        "partner": "garage", "source_line": number, "record_id": f"{vehicle}-{number}", "vehicle_id": vehicle,
        "service": kind, "completed_at": at, "odometer_km": km, "engine_hours": None,
    }  # fmt: skip


def all_done(vehicle: str, days_ago: int) -> list[dict[str, Any]]:
    day = TODAY - timedelta(days=days_ago)
    kinds = ("oil", "inspection", "maintenance", "brakes", "tyres")
    return [service(vehicle, n, day, kind, 100_000) for n, kind in enumerate(kinds)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Four tractors: one whose oil is due in days, one the same with shipments, one with codes, one with nothing."""
    with running(tmp_path_factory.mktemp("night"), ("postgres",)) as stack, warehouse(stack) as fresh:
        with pytest.raises(UserError, match="fleetflow transform --pipeline vehicles"):
            plan_night(fresh)
        with connect(fresh.dsn("owner"), autocommit=True) as conn:
            mirror(conn, "sites", [site(1)])
            mirror(conn, "vehicles", [can.truck(name) for name in (OIL_DUE, KEEPS_DUTY, BROKEN, FRESH)])
            rows = [row for name in (OIL_DUE, KEEPS_DUTY) for row in all_done(name, 360)]
            rows += [row for name in (BROKEN, FRESH) for row in all_done(name, 20)]
            land(conn, "service_record", rows)
            at = NOW - timedelta(hours=3)
            land(
                conn,
                "can_frame",
                [
                    can.one_code(BROKEN, at, 100, 1, 7),
                    can.one_code(BROKEN, at + timedelta(hours=2), 100, 1, 8),
                ],
            )
        assert run_vehicles(fresh) is not None
        with connect(fresh.dsn("transformer"), autocommit=True) as conn:
            conn.execute(
                "insert into marts.fct_shipment (tenant_id, shipment_id, vehicle_id, promised_at, status,"
                " in_order_system, failed_attempts, exceptions, illegal_transitions, events) values"
                " ('acme', 's1', %s, %s, 'in_transit', true, 0, 0, 0, 1)",
                (KEEPS_DUTY, NOW + timedelta(days=2)),
            )
        yield fresh


@pytest.fixture
def conn(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        yield conn


def jobs(conn: Connection, day: date) -> dict[str, tuple[Any, ...]]:
    rows = conn.execute(
        "select vehicle_id || ' ' || coalesce(task_id, kind), state, first_day, last_day, site_id, due_on, is_overdue"
        " from marts.fct_maintenance_plan where plan_date = %s",
        (day,),
    )
    return {name: tuple(rest) for name, *rest in rows}


def everything(conn: Connection, day: date) -> list[list[tuple[Any, ...]]]:
    marts = ("fct_maintenance_plan", "fct_maintenance_plan_change", "fct_maintenance_projection")
    return [
        conn.execute(
            f"select m.* from marts.{mart} as m where plan_date = %s order by m::text".encode(), (day,)
        ).fetchall()
        for mart in marts
    ]


def test_codes_are_a_spell_with_age_and_severity(conn: Connection) -> None:
    rows = conn.execute(
        "select vehicle_id, ecu, spn, fmi, code, state, severity, severity_rule, recurrence, occurrences, reports,"
        " round(age_days::numeric, 3) from marts.fct_dtc"
    ).fetchall()
    rule = "oil_or_coolant_or_brake_pressure_very_low"
    assert [(*row[:-1], float(row[-1])) for row in rows] == [
        (BROKEN, 0, 100, 1, None, "open", "stop", rule, 0, 8, 2, 0.125)
    ]


def test_two_nights(settings: Settings, conn: Connection) -> None:
    plan_night(settings, effort=0)
    first = jobs(conn, TODAY)
    services = [f"{name} {task}" for name in (OIL_DUE, KEEPS_DUTY) for task in ("oil", "inspection")]
    assert set(first) == {f"{BROKEN} trouble_codes", *services}
    # The stop lamp's code is due today; it is a Tuesday, and one of four may be away (15 % is less than one).
    assert first[f"{BROKEN} trouble_codes"][:3] == ("placed", TODAY, TODAY)
    due = TODAY + timedelta(days=5)
    assert {row[4] for name, row in first.items() if name != f"{BROKEN} trouble_codes"} == {due}
    days = [row[1] for row in first.values()]
    assert len(set(days)) == len(days)
    assert all(day.weekday() < 5 for day in days)
    duty = [row[1] for name, row in first.items() if name.startswith(KEEPS_DUTY)]
    assert min(duty) > TODAY + timedelta(days=2)
    once = everything(conn, TODAY)
    plan_night(settings, effort=0)
    assert everything(conn, TODAY) == once

    tomorrow = TODAY + timedelta(days=1)
    plan_night(settings, tomorrow, effort=0)
    moved = {name: row for name, row in jobs(conn, tomorrow).items() if row[1] != first[name][1]}
    # The day of the repair has passed without it. It is overdue now, and takes the next day from whatever stood there.
    repair = f"{BROKEN} trouble_codes"
    assert moved[repair][1] == tomorrow
    assert set(moved) == {repair, *(name for name, row in first.items() if row[1] == tomorrow)}
    changes = conn.execute(
        "select kind, vehicle_id, first_day_before, reason from marts.fct_maintenance_plan_change where plan_date = %s",
        (tomorrow,),
    ).fetchall()
    assert len(changes) == len(moved)
    assert ("moved", BROKEN, TODAY, f"{TODAY} has passed and it was not begun") in changes
    assert all(reason.startswith("no room there now") for *_, before, reason in changes if before == tomorrow)


def test_a_projection_has_an_interval_only_where_use_is_known(conn: Connection) -> None:
    rows = conn.execute(
        "select distinct due_on, not_before, not_after, by_limit from marts.fct_maintenance_projection"
        " where plan_date = %s and vehicle_id = %s and task_id = 'inspection'",
        (TODAY, FRESH),
    ).fetchall()
    in_a_year = date(TODAY.year + 1, TODAY.month, TODAY.day) - timedelta(days=20)
    assert rows == [(in_a_year, in_a_year, in_a_year, "months")]


def test_the_command_prints_reasons_and_writes_nothing_when_dry(
    settings: Settings, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleetflow.cli import app

    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: settings)
    runner = CliRunner()
    day = (TODAY + timedelta(days=2)).isoformat()
    refused = runner.invoke(app, ["maintenance", "workshops", "set", "acme", "nowhere", "--bays", "1"])
    assert isinstance(refused.exception, UserError)
    assert runner.invoke(app, ["maintenance", "workshops", "set", "acme", "x1", "--bays", "0"]).exit_code == 0
    result = runner.invoke(
        app, ["maintenance", "plan", "--date", day, "--dry-run", "--json", "--effort", "0"]
    )
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.output.splitlines()]
    unplaced = [line for line in lines if line["row"] == "job"]
    assert {(line["state"], line["hindrance"]) for line in unplaced} == {("unplaced", "no_workshop")}
    assert [line["unplaced"] for line in lines if line["row"] == "night"] == [len(unplaced)]
    assert jobs(conn, date.fromisoformat(day)) == {}


def test_nights_past_keeping_go_with_their_marts(settings: Settings, conn: Connection) -> None:
    nights = {name: f"{schema}.{name}" for schema, name in (
        ("intermediate", "int_maintenance_night"), ("intermediate", "int_maintenance_job"),
        ("intermediate", "int_due_projection"), ("marts", "fct_maintenance_plan"),
        ("marts", "fct_maintenance_projection"),
    )}  # fmt: skip

    def kept() -> dict[str, list[date]]:
        query = "select distinct plan_date from {} order by 1"
        return {
            name: [day for (day,) in conn.execute(query.format(table).encode())]
            for name, table in nights.items()
        }

    tomorrow = TODAY + timedelta(days=1)
    assert set(map(tuple, kept().values())) == {(TODAY, tomorrow)}
    later = tomorrow + timedelta(days=1096)
    hold = add_hold(conn, "accident", "tester", tenant="acme", feed="service_record")
    held = run_retention(settings, as_of=later, areas=["marts"])
    assert not any("maintenance" in one.subject for one in held)
    release_hold(conn, hold, "tester")
    told = [one.action for one in run_retention(settings, as_of=later, areas=["marts"], dry_run=True)
            if "maintenance" in one.subject]  # fmt: skip
    assert set(told) == {"would drop"}
    assert set(map(tuple, kept().values())) == {(TODAY, tomorrow)}

    before = everything(conn, tomorrow)
    done = {one.subject: one.action for one in run_retention(settings, as_of=later, areas=["marts"])}
    assert {done[table] for table in nights.values()} == {"dropped"}
    assert set(map(tuple, kept().values())) == {(tomorrow,)}
    dbt_project.invoke(settings, ["run", "--select", "tag:maintenance_plan", "--full-refresh"])
    assert everything(conn, tomorrow) == before
    assert set(map(tuple, kept().values())) == {(tomorrow,)}
