"""The marts of driver hours on a real Postgres: what dbt makes of the fold's tables, and what may still be driven."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from driver_lines import START, history, row
from transform_warehouse import NOW, land, warehouse
from typer.testing import CliRunner

from domain.driver_hours import State, minute_of, remaining
from domain.driver_hours.engine import Outcome
from domain.driver_hours.recorded import activities, sift
from domain.driver_hours.timeline import stretch_of
from fleetflow.cli import app
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.driver_hours.store import read_reports
from fleetflow.vehicles.touched import Entity

PAIRS = {
    "int_driver_hours_finding": ("fct_driver_hours_finding", "rule, broken_at, started_at, limit_min"),
    "int_driver_day": ("fct_driver_day", "started_at"),
    "int_driver_hours_warning": ("fct_driver_hours_warning", "rule, period_start, level_pct, limit_min"),
    "int_driver_hours_head": ("fct_driver_hours_head", "at"),
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A warehouse into which three runs have brought drivers' activities: in time, late, and some again."""
    with running(tmp_path_factory.mktemp("hours"), ("postgres",)) as stack, warehouse(stack) as fresh:
        rows = [one for seed in range(24) for one in history(f"d{seed}", seed, 30 - seed % 7)]
        rows += [row("open", "o1", NOW - timedelta(hours=3), None, "driving", recorded_at=NOW)]
        rows.sort(key=lambda one: one["started_at"])
        late = [one for one in rows if one["driver_id"] in ("d3", "d4")][50:120]
        known = [one for one in rows if one not in late]
        for batch in (known[: len(known) // 2], known[len(known) // 3 :], late):
            with connect(fresh.dsn("owner"), autocommit=True) as conn:
                land(conn, "driver_activity", batch)
            assert vehicles.run_vehicles(fresh) is not None
        yield fresh


@pytest.fixture
def ops(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("ops"), autocommit=True) as conn:
        yield conn


@pytest.mark.parametrize("table", PAIRS)
def test_a_mart_is_what_the_fold_wrote_under_the_driver_s_pseudonym(ops: Connection, table: str) -> None:
    mart, key = PAIRS[table]
    columns = [
        name
        for (name,) in ops.execute(
            "select column_name from information_schema.columns where table_schema = 'marts' and table_name = %s"
            " and column_name <> 'driver_key' order by ordinal_position",
            (mart,),
        )
    ]
    names = ", ".join(f"r.{name}" for name in columns)
    wanted = ops.execute(
        f"select p.driver_key, {names} from intermediate.{table} as r"
        f" join intermediate.int_driver_pseudonym as p using (tenant_id, driver_id) order by 1, {key}".encode()
    ).fetchall()
    found = ops.execute(
        f"select r.driver_key, {names} from marts.{mart} as r order by 1, {key}".encode()
    ).fetchall()
    assert len(wanted) > 20
    assert found == wanted


def states(conn: Connection) -> dict[str, State]:
    """Return each driver's state from all that is kept of him."""
    known = conn.execute(
        "select tenant_id, driver_id, driver_key from intermediate.int_driver_pseudonym"
    ).fetchall()
    reports = read_reports(conn, {Entity(tenant, driver): START for tenant, driver, _ in known})
    found = {}
    for tenant, driver, key in known:
        state = State()
        for activity in activities(sift(reports[Entity(tenant, driver)]).reports):
            state.add(stretch_of(activity), Outcome([], []))
        found[key] = state
    return found


def shown(minute: Any) -> int | None:
    return None if minute is None else minute_of(minute)


def test_what_remains_by_sql_is_what_remains_by_the_engine(settings: Settings, ops: Connection) -> None:
    """At random times after what is known of each driver: some clocks run out, some turn."""
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        engine = states(conn)
    dice, asked, believed = random.Random(3), 0, 0
    last = max(state.until for state in engine.values() if state.until is not None)
    first = min(state.until for state in engine.values() if state.until is not None)
    for _ in range(60):
        now = dice.choice(
            (dice.randint(first, last), last + dice.randint(0, 4_000), last + dice.randint(0, 40_000))
        )
        ops.execute(
            "select set_config('fleetflow.as_of', to_char(to_timestamp(%s), 'YYYY-MM-DD HH24:MI:SSOF'), false)",
            (now * 60 + dice.randint(0, 59),),
        )
        rows = ops.execute("select * from marts.fct_driver_hours_remaining order by driver_key").fetchall()
        names = [
            one.name
            for one in ops.execute("select * from marts.fct_driver_hours_remaining limit 0").description or ()
        ]
        found = {one["driver_key"]: one for one in (dict(zip(names, values, strict=True)) for values in rows)}
        for key, state in engine.items():
            assert state.until is not None
            if now < state.until:
                assert key not in found
                continue
            asked += 1
            if key not in found:
                assert state.last is not None
                assert state.last.kind != "rest"
                assert now >= state.until + 3 * 1_440
                continue
            believed += 1
            one, wanted = found[key], remaining(state, now)
            assert (
                one["driving_min"], one["until_break_min"], one["break_min"], one["today_min"], one["this_week_min"],
                one["this_fortnight_min"], shown(one["rest_by"]), one["rest_min"], shown(one["weekly_rest_by"]),
                one["extensions_left"], one["reductions_left"],
                [(w["rule"], w["level_pct"], w["used_min"], w["limit_min"]) for w in one["warnings"]],
            ) == (
                wanted.driving, wanted.until_break, wanted.break_minutes, wanted.today, wanted.this_week,
                wanted.this_fortnight, wanted.rest_by, wanted.rest_minutes, wanted.weekly_rest_by,
                wanted.extensions_left, wanted.reductions_left,
                [(w.rule.value, w.level, w.used, w.limit) for w in wanted.warnings],
            )  # fmt: skip
    assert believed > 500
    assert asked > believed


def test_an_analyst_sees_only_the_tenant_that_is_set(settings: Settings) -> None:
    with connect(settings.dsn("analyst"), autocommit=True) as conn:
        for mart in (*[mart for mart, _ in PAIRS.values()], "fct_driver_hours_remaining"):
            for tenant, sees in (("", False), ("other", False), ("acme", True)):
                conn.execute("select set_config('fleetflow.tenant', %s, false)", (tenant,))
                row = conn.execute(f"select count(*) from marts.{mart}".encode()).fetchone()
                assert row is not None
                assert (row[0] > 0) is sees, (mart, tenant)


def test_a_full_refresh_changes_nothing(settings: Settings, ops: Connection) -> None:
    def content() -> dict[str, Any]:
        return {
            mart: ops.execute(f"select * from marts.{mart} order by driver_key, {key}".encode()).fetchall()
            for mart, key in PAIRS.values()
        }

    before = content()
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        land(
            conn,
            "driver_activity",
            [row("d0", "again", datetime(2000, 1, 1, tzinfo=NOW.tzinfo), None, "rest")],
        )
    assert vehicles.run_vehicles(settings, full_refresh=True) is not None
    assert content() == before


def test_the_command_tells_what_remains(
    settings: Settings, ops: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He began to drive at NOW - 3 h, and fleetflow.as_of is NOW in this database."""
    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: settings)
    key = ops.execute(
        "select driver_key from intermediate.int_driver_pseudonym where driver_id = 'open'"
    ).fetchone()
    assert key is not None
    result = CliRunner().invoke(app, ["driver-hours", "remaining", key[0], "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["is_driving"], told["driving_min"], told["until_break_min"], told["today_min"]) == (
        True,
        90,
        90,
        420,
    )
    assert told["rest_by"] == (NOW + timedelta(hours=12)).isoformat()
    unknown = CliRunner().invoke(app, ["driver-hours", "remaining", "nobody"])
    assert "driver nobody has no remaining hours" in str(unknown.exception)
