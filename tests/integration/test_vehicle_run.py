"""A run of the vehicle side on a real Postgres: what it finds touched, what it goes on from, what a crash leaves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from transform_warehouse import NOW, land, mirror, vehicle, warehouse
from typer.testing import CliRunner

from domain.contracts.driver_activity import DRIVER_ACTIVITY
from domain.contracts.gps_location import GPS_LOCATION
from fleetflow import transform
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.states import Snapshot, forget_older, keep, restore
from fleetflow.vehicles.touched import Entity, begin_fold, find_touched, name_drivers, touch

TRUCK, VAN = Entity("acme", "truck"), Entity("acme", "van")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("vehicles"), ("postgres",)) as stack, warehouse(stack) as fresh:
        yield fresh


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    """The warehouse with an empty ledger and no rows."""
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        conn.execute(
            "truncate ops.batch, ops.transform_run, landing.gps_location, landing.driver_activity cascade"
        )
        conn.execute("truncate intermediate.fold_state")
        yield conn


@pytest.fixture
def transformer(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        yield conn


def fix(vehicle: str, number: int, minutes: float, **changes: Any) -> dict[str, Any]:
    at = NOW + timedelta(minutes=minutes)
    row = {
        "tenant_id": "acme", "event_id": f"{vehicle}-{number}", "recorded_at": at, "schema_version": 1,
        "vehicle_id": vehicle, "driver_id": None, "fixed_at": at, "lat": 52.0, "lon": 10.0, "speed_kmh": 0.0,
        "heading_deg": 0.0,
    }  # fmt: skip
    return row | changes


def claimed(conn: Connection) -> transform.Run:
    run = transform.claim(conn, vehicles.PIPELINE)
    assert run is not None
    return run


def minutes_before(at: datetime) -> float:
    return (NOW - at).total_seconds() / 60


def test_only_claimed_rows_touch_and_the_earliest_counts(owner: Connection, transformer: Connection) -> None:
    land(owner, "gps_location", [fix("truck", 1, -50)])
    first = claimed(transformer)
    transform.mark(transformer, first)
    land(
        owner, "gps_location", [fix("truck", 2, -10), fix("truck", 3, -30), fix("van", 1, -5, driver_id="d1")]
    )
    run = claimed(transformer)
    land(owner, "gps_location", [fix("truck", 4, -90)])

    found = find_touched(transformer, run.run_id, GPS_LOCATION)
    assert {entity: minutes_before(at) for entity, at in found.items()} == {TRUCK: 30, VAN: 5}
    drivers = find_touched(transformer, run.run_id, GPS_LOCATION, "driver_id")
    assert {entity: minutes_before(at) for entity, at in drivers.items()} == {Entity("acme", "d1"): 5}
    assert find_touched(transformer, run.run_id, DRIVER_ACTIVITY) == {}
    transform.fail(transformer, run, "done looking")


def test_what_is_touched_twice_is_rebuilt_from_the_earlier_time(
    owner: Connection, transformer: Connection
) -> None:
    assert not begin_fold(transformer, uuid4())
    touch(transformer, "vehicle", {TRUCK: NOW, VAN: NOW})
    touch(transformer, "vehicle", {TRUCK: NOW - timedelta(hours=1), VAN: NOW + timedelta(hours=1)})
    rows = transformer.execute(
        "select vehicle_id, since from intermediate.int_vehicle_touched order by 1"
    ).fetchall()
    assert rows == [("truck", NOW - timedelta(hours=1)), ("van", NOW)]
    assert not begin_fold(transformer, uuid4())
    assert transformer.execute("select from intermediate.int_vehicle_touched").rowcount == 0


def test_a_state_is_good_only_for_what_is_not_before_it(owner: Connection, transformer: Connection) -> None:
    hours = [Snapshot(NOW - timedelta(hours=n), str(n).encode()) for n in (3, 2, 1)]
    keep(transformer, "f", 1, {TRUCK: hours[0].as_of}, [(TRUCK, one) for one in hours])

    def state(since: datetime, version: int = 1, fold: str = "f") -> bytes | None:
        found = restore(transformer, fold, version, {TRUCK: since, VAN: since})
        assert VAN not in found
        return found[TRUCK].state if found else None

    assert state(NOW) == b"1"
    assert state(hours[2].as_of) == b"1"
    assert state(hours[2].as_of - timedelta(microseconds=1)) == b"2"
    assert state(NOW - timedelta(hours=4)) is None
    assert state(NOW, version=2) is None
    assert state(NOW, fold="other") is None


def test_new_states_replace_those_that_a_late_event_made_wrong(
    owner: Connection, transformer: Connection
) -> None:
    at = [NOW - timedelta(hours=n) for n in (4, 3, 2, 1)]
    keep(
        transformer,
        "f",
        1,
        {TRUCK: at[0], VAN: at[0]},
        [(e, Snapshot(t, b"old")) for e in (TRUCK, VAN) for t in at],
    )
    late = at[1] + timedelta(minutes=1)
    keep(transformer, "f", 1, {TRUCK: late}, [(TRUCK, Snapshot(at[2], b"new"))])

    def stored(entity: Entity) -> list[tuple[datetime, bytes]]:
        return transformer.execute(
            "select as_of, state from intermediate.fold_state where entity_id = %s order by 1",
            (entity.entity_id,),
        ).fetchall()

    assert stored(TRUCK) == [(at[0], b"old"), (at[1], b"old"), (at[2], b"new")]
    assert stored(VAN) == [(one, b"old") for one in at]
    # The newest state of each entity from before the time stays: a late event may still go back to it.
    assert forget_older(transformer, "f", at[2]) == 4
    assert [one for one, _ in stored(TRUCK)] == [at[2]]
    assert [one for one, _ in stored(VAN)] == [at[2], at[3]]


def test_a_driver_keeps_the_pseudonym_that_the_shipments_know(
    owner: Connection, transformer: Connection
) -> None:
    drivers = [Entity("acme", "d1"), Entity("other", "d1"), Entity("acme", "d1")]
    name_drivers(transformer, drivers)
    name_drivers(transformer, drivers)
    rows = transformer.execute(
        "select p.tenant_id, p.driver_key = ops.pseudonym(p.tenant_id, p.driver_id)"
        " from intermediate.int_driver_pseudonym as p order by 1"
    ).fetchall()
    assert rows == [("acme", True), ("other", True)]


def test_a_run_folds_builds_and_marks(owner: Connection, settings: Settings) -> None:
    land(owner, "gps_location", [fix("truck", n, -n) for n in range(3)])
    told: list[str] = []
    outcome = vehicles.run_vehicles(settings, tell=told.append)
    assert outcome is not None
    assert (outcome.state, outcome.run.batches, outcome.run.events) == ("done", 1, 3)
    assert list(outcome.seconds) == ["claim", "fold", "build", "mark"]
    assert vehicles.run_vehicles(settings) is None
    waiting = owner.execute("select pipeline from ops.pending_batch order by 1").fetchall()
    assert waiting == [("lake",)]


def test_a_step_that_fails_leaves_the_batches_to_the_next_run(
    owner: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(work: vehicles.Work) -> dict[str, int]:
        raise ZeroDivisionError("the step broke")

    land(owner, "gps_location", [fix("truck", 1, -1)])
    with monkeypatch.context() as patch:
        patch.setattr(vehicles, "STEPS", (vehicles.Step("broken", break_down),))
        with pytest.raises(ZeroDivisionError):
            vehicles.run_vehicles(settings)
    rows = owner.execute("select state, error from ops.transform_run where pipeline = 'vehicles'").fetchall()
    assert rows == [("failed", "ZeroDivisionError: the step broke")]
    outcome = vehicles.run_vehicles(settings)
    assert outcome is not None
    assert outcome.run.batches == 1


def test_the_command_takes_the_pipeline_by_name(
    owner: Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleetflow.cli import app

    mirror(owner, "vehicles", [{**vehicle(0), "vehicle_id": name} for name in ("truck", "van")])
    land(owner, "gps_location", [fix("truck", 1, -1), fix("van", 1, -1)])
    monkeypatch.setattr("fleetflow.settings.load_settings", lambda: settings)
    result = CliRunner().invoke(app, ["transform", "--pipeline", "vehicles"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("transformed 2 rows of 1 batches in 1 run")
