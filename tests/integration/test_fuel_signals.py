"""Fuel by what the bus says, and by what is on board: frames, redecoded ones, and the weights of shipments."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import telemetry_frames as can
import transform_warehouse as pipeline
from transform_warehouse import land, mirror, warehouse

from fleetflow import transform
from fleetflow.local.stack import running
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Settings
from fleetflow.vehicles import run as vehicles
from fleetflow.vehicles.fuel import keeping
from fleetflow.vehicles.telemetry.windows import ask_again
from fleetflow.vehicles.touched import begin_fold

START = datetime(2026, 3, 4, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAYS = 4
TANK_L, PAYLOAD_KG = 600, 20_000
TRUCK = can.truck("truck", capacity_kg=PAYLOAD_KG, tank_l=TANK_L, in_service_from=START.date())
# A model that no decoder is for.
UNREAD = TRUCK | {"make": "Unknown", "model": "Unread"}
Row = dict[str, Any]


def drives(of_day: int) -> bool:
    return 360 <= of_day < 540 or 600 <= of_day < 780


def life(vehicle: str) -> tuple[list[Row], list[Row]]:
    """Fixes without level or odometer, and frames: each day 3 h away and 3 h back, 90 km and 36 l each.

    250 l are filled in at half past nine of the second day, where it stands.
    """
    dice = random.Random(5)
    fixes, frames, level_l, total_l, km = [], [], 0.55 * TANK_L, 50_000.0, 120_000.0
    for minute in range(DAYS * 1440):
        day, of_day = divmod(minute, 1440)
        moving = drives(of_day)
        if moving:
            level_l, total_l, km = level_l - 0.2, total_l + 0.2, km + 0.5
        if day == 1 and 570 <= of_day < 575:
            level_l += 50
        if not moving and of_day % 5:
            continue
        when = START + minute * MINUTE + timedelta(seconds=dice.uniform(0, 30))
        north = (min(max(of_day - 360, 0), 180) - min(max(of_day - 600, 0), 180)) / 180 * 0.8
        fixes.append({
            "tenant_id": "acme", "event_id": f"{vehicle}-{minute}", "recorded_at": when + timedelta(seconds=2),
            "schema_version": 1, "vehicle_id": vehicle, "driver_id": "d1", "fixed_at": when,
            "lat": 52.0 + north + dice.gauss(0, 1e-5), "lon": 10.0, "speed_kmh": 30.0 if moving else 0.0,
            "heading_deg": 0.0, "ignition_on": moving,
        })  # fmt: skip
        frames.append(can.fuel_level(vehicle, when, level_l / TANK_L * 100 + dice.gauss(0, 0.2)))
        frames.append(can.fine_odometer(vehicle, when, km))
        frames += can.fuel_burnt(vehicle, when, 12.0 if moving else 0.0, total_l)
    return fixes, frames


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("fuel_signals"), ("postgres",)) as stack, warehouse(stack) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def owner(settings: Settings) -> Iterator[Connection]:
    with connect(settings.dsn("owner"), autocommit=True) as conn:
        yield conn


def fold(settings: Settings, *, even_if_empty: bool = False, now: datetime | None = None) -> None:
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, vehicles.PIPELINE, even_if_empty=even_if_empty)
        assert run is not None
        goes_on = begin_fold(conn, run.run_id)
        for step in vehicles.STEPS:
            step.fold(vehicles.Work(settings, conn, run.run_id, goes_on, now or datetime.now(UTC)))
        transform.mark(conn, run)


def trips(owner: Connection, columns: str) -> list[tuple[Any, ...]]:
    return owner.execute(
        f"select {columns} from intermediate.int_fuel_trip order by started_at".encode()
    ).fetchall()


def touched(owner: Connection) -> list[tuple[Any, ...]]:
    return owner.execute("select vehicle_id, since from intermediate.int_vehicle_touched").fetchall()


def test_frames_alone_are_news_and_tell_fuel_three_ways(settings: Settings, owner: Connection) -> None:
    fixes, frames = life("truck")
    mirror(owner, "vehicles", [UNREAD])
    land(owner, "gps_location", fixes)
    fold(settings)
    assert {method for (method,) in trips(owner, "method")} == {None}

    mirror(owner, "vehicles", [TRUCK])
    land(owner, "can_frame", frames)
    fold(settings)
    found = trips(owner, "method, litres, by_rate_l, by_level_l, level_error_l, distance_km, faults")
    assert len(found) == DAYS * 2
    for method, litres, by_rate_l, by_level_l, error_l, km, faults in found:
        assert method == "total_fuel_used"
        assert abs(litres - 36) <= 1, "a bit of the counter at each end, and a minute"
        assert abs(by_rate_l - 36) <= 0.5
        assert by_level_l is None or abs(by_level_l - 36) <= 3 * error_l + 2.4
        assert abs(km - 89) < 2
        assert faults == []
    events = owner.execute("select kind, volume_l, started_at from intermediate.int_fuel_event").fetchall()
    assert [kind for kind, *_ in events] == ["refill"]
    assert abs(events[0][1] - 250) < 10
    assert abs(events[0][2] - (START + timedelta(days=1, minutes=570))) <= 6 * MINUTE
    # Steps of the two meters: those of the fine odometer are read, which the coarse one does not send.
    readings = owner.execute(
        "select day - %s, value from intermediate.int_meter_reading where source = 'can' order by 1",
        (START.date(),),
    ).fetchall()
    assert readings == [(day, 120_000 + 180.0 * (day + 1)) for day in range(DAYS)]


def test_hours_decoded_again_are_read_again(settings: Settings, owner: Connection) -> None:
    of_the_bus = "vehicle_id, method, litres, by_rate_l, by_level_l, l_100km"
    before = trips(owner, of_the_bus)
    use = "select meter, day, used from intermediate.int_meter_day order by 1, 2"
    used = owner.execute(use).fetchall()
    assert used

    mirror(owner, "vehicles", [UNREAD])
    assert ask_again(settings, START, START + timedelta(days=DAYS)) == DAYS * 24
    fold(settings, even_if_empty=True)
    assert {row[1] for row in trips(owner, of_the_bus)} == {None}
    assert owner.execute("select from intermediate.int_meter_reading where source = 'can'").rowcount == 0
    assert [name for name, since in touched(owner) if since <= START] == ["truck"]

    mirror(owner, "vehicles", [TRUCK])
    ask_again(settings, START, START + timedelta(days=DAYS))
    fold(settings, even_if_empty=True)
    assert trips(owner, of_the_bus) == before
    assert owner.execute(use).fetchall() == used


def shipment(name: str, statuses: list[tuple[str, int, int]]) -> list[Row]:
    """Events of a shipment: status, day and minute."""
    minutes = [(START - pipeline.NOW) / MINUTE + day * 1440 + minute for _, day, minute in statuses]
    return [
        pipeline.status(name, number, status, offset, vehicle_id="truck")
        for number, ((status, _, _), offset) in enumerate(zip(statuses, minutes, strict=True))
    ]


# Kilograms, and from when until when each is on the truck, in day and minute; `late` has no order yet.
LOADS = {
    "heavy": (10_000, (1, 300), (1, 450)),
    "light": (2_500, (1, 330), (1, 840)),
    "late": (18_000, (2, 590), (2, 840)),
}


def at(day: int, minute: int) -> datetime:
    return START + timedelta(days=day, minutes=minute)


def planned_share(started_at: datetime, ended_at: datetime) -> float | None:
    """Return the share second by second: None before the first load, and while the weight is not known."""
    if ended_at < at(1, 300):
        return None
    seconds = int((ended_at - started_at).total_seconds())
    spans = [(kg, at(*on), at(*off)) for kg, on, off in LOADS.values()]
    moments = (started_at + timedelta(seconds=second + 0.5) for second in range(seconds))
    kg_seconds = sum(kg for moment in moments for kg, on, off in spans if on <= moment < off)
    return kg_seconds / seconds / PAYLOAD_KG


def test_the_load_of_a_trip_is_the_weight_on_board_by_its_payload(
    settings: Settings, owner: Connection
) -> None:
    dice = random.Random(1)
    events = []
    for name, (_, (day, minute), (until_day, until)) in LOADS.items():
        way = [("created", -90), ("assigned", -60), ("picked_up", 0), ("in_transit", 5)]
        statuses = [(status, day, minute + after) for status, after in way]
        events += shipment(
            name, [*statuses, ("out_for_delivery", until_day, until - 10), ("delivered", until_day, until)]
        )
    orders = {
        name: pipeline.order(name, dice, weight_kg=kg, created_at=START, cancelled_at=None)
        for name, (kg, *_) in LOADS.items()
    }
    mirror(owner, "shipments", [orders["heavy"], orders["light"]])
    land(owner, "shipment_event", events)
    pipeline.transform(settings)
    fold(settings, even_if_empty=True)
    known = "select distinct shipment_id, weight_kg from intermediate.int_vehicle_load order by 1"
    assert owner.execute(known).fetchall() == [("heavy", 10_000), ("late", None), ("light", 2_500)]
    bands = ["unknown", "unknown", "part", "part", "empty", "unknown", "empty", "empty"]
    assert [load for (load,) in trips(owner, "load")] == bands

    # The order comes after the goods; then all is known.
    mirror(owner, "shipments", [orders["late"]])
    pipeline.transform(settings)
    fold(settings, even_if_empty=True)
    found = trips(owner, "started_at, ended_at, load_share, load")
    bands[5] = "full"
    assert [load for *_, load in found] == bands
    for started_at, ended_at, share, _ in found:
        wanted = planned_share(started_at, ended_at)
        assert share == (wanted if wanted is None else pytest.approx(wanted, abs=0.001))
    assert "truck" in {name for name, _ in touched(owner)}


def test_readings_past_keeping_go_and_no_row_changes(
    settings: Settings, owner: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixes, _ = life("truck")
    now = at(3, 0) + keeping.KEEP
    monkeypatch.setattr(keeping, "SLACK", timedelta(0))
    names = ("int_fuel_trip", "int_fuel_event", "int_fuel_day", "int_fuel_anomaly")

    def everything() -> list[list[tuple[Any, ...]]]:
        return [
            owner.execute(f"select t from intermediate.{name} as t order by t".encode()).fetchall()
            for name in names
        ]

    def readings() -> tuple[Any, ...]:
        return owner.execute("select count(*), min(minute) from intermediate.int_fuel_reading").fetchall()[0]

    before = everything()
    count, oldest = readings()
    assert oldest == START
    land(owner, "gps_location", fixes[-9:])
    fold(settings, now=now)
    assert readings() == (count, oldest), "what came of the past yesterday may be followed by more"

    owner.execute("update intermediate.int_fuel_reading set kept_on = minute::date")
    land(owner, "gps_location", fixes[-9:])
    fold(settings, now=now)
    assert readings()[1] == at(1, 0), "what the day before, and the one before that, rest on"
    assert everything() == before

    # As late as may be, and later: the one is judged from what is left, the other changes nothing.
    late = [one for one in fixes if one["fixed_at"] >= at(3, 0)]
    land(owner, "gps_location", late)
    fold(settings, now=now)
    assert everything() == before
    land(owner, "gps_location", fixes[:500])
    fold(settings, now=now)
    assert everything() == before
    assert owner.execute("select vehicle_id, closed_before from intermediate.int_fuel_closed").fetchall() == [
        ("truck", at(3, 0))
    ]


def test_what_a_failed_run_has_touched_is_still_to_be_told_to_the_marts(
    settings: Settings, owner: Connection
) -> None:
    fold(settings, even_if_empty=True)
    assert touched(owner) == []
    owner.execute("delete from intermediate.int_fuel_closed")
    ask_again(settings, START, START + timedelta(hours=1))
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, vehicles.PIPELINE, even_if_empty=True)
        assert run is not None
        vehicles.fold(settings, run)
        transform.fail(conn, run, "its models did not build")
    assert touched(owner) == [("truck", START - timedelta(days=1))]
    fold(settings, even_if_empty=True)
    assert touched(owner) == [("truck", START - timedelta(days=1))]
    fold(settings, even_if_empty=True)
    assert touched(owner) == []


@pytest.mark.parametrize("again", ["the run", "another run"])
def test_a_fold_that_stopped_after_it_had_decoded_is_made_up_for(
    settings: Settings, owner: Connection, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """Hours to decode again are forgotten once they are; who goes on from there reads their meters all the same."""

    def read_off() -> list[tuple[Any, ...]]:
        return owner.execute(
            "select vehicle_id, meter, day, value from intermediate.int_meter_reading where source = 'can'"
            " order by 1, 2, 3"
        ).fetchall()

    def break_down(work: vehicles.Work) -> dict[str, int]:
        raise ZeroDivisionError("it came no further")

    whole = read_off()
    assert whole
    owner.execute("delete from intermediate.int_meter_reading where source = 'can'")
    ask_again(settings, START, START + timedelta(days=DAYS))
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, vehicles.PIPELINE, even_if_empty=True)
        assert run is not None
        with monkeypatch.context() as patch:
            patch.setattr(vehicles, "STEPS", (vehicles.STEPS[0], vehicles.Step("broken", break_down)))
            with pytest.raises(ZeroDivisionError):
                vehicles.fold(settings, run)
        assert read_off() == []
        if again == "another run":
            transform.fail(conn, run, "it came no further")
            run = transform.claim(conn, vehicles.PIPELINE, even_if_empty=True)
            assert run is not None
        vehicles.fold(settings, run)
        transform.mark(conn, run)
    assert read_off() == whole
    assert [name for name, since in touched(owner) if since <= START] == ["truck"]
