"""Purchases against rises: hand-made visits of one vehicle with a tank of 400 l."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from fuel_world import MINUTE_US, START_US

from domain.fuel import Event, EventKind, Finding, Position, Purchase, Skipped, reconcile

HERE, NEAR, FAR = (52.0, 10.0), (52.01, 10.0), (53.0, 10.0)


def at(minute: float) -> int:
    return START_US + int(minute * MINUTE_US)


def bought(name: str, minute: float, volume: float | None, **changes: Any) -> Purchase:
    values = {"fuel": "diesel", "amount_minor": 1000} | changes
    return Purchase(at(minute), name, f"t-{name}", volume_l=volume, **values)


def rise(minute: float, volume: float, before: float = 100.0) -> Event:
    return Event(
        0, EventKind.REFILL, at(minute), at(minute + 5), volume, before, before + volume, False, True, False, True
    )  # fmt: skip


def found(
    purchases: list[Purchase], rises: list[Event], tank: float | None = 400.0, **more: Any
) -> list[Any]:
    return [
        (one.finding, round(one.volume_l)) for one in reconcile(purchases, rises, tank, **more).mismatches
    ]


def test_a_purchase_and_its_rise_agree() -> None:
    result = reconcile([bought("a", 10, 255)], [rise(0, 250)], 400.0)
    assert [(visit.volume_l, event.volume_l) for visit, event in result.matches] == [(255, 250)]
    assert result.mismatches == ()


def test_a_purchase_without_a_rise() -> None:
    assert found([bought("a", 10, 60)], []) == [(Finding.WITHOUT_RISE, 60)]
    assert found([bought("a", 10, 60)], [rise(600, 60)]) == [
        (Finding.WITHOUT_RISE, 60),
        (Finding.RISE_WITHOUT, 60),
    ]


def test_without_levels_nothing_is_said_of_rises() -> None:
    assert found([bought("a", 10, 60)], [], levels_seen=lambda first, last: False) == []
    assert found([bought("a", 10, 60)], [], until_us=at(20)) == []
    assert found([bought("a", 10, 60)], [], from_us=at(0)) == []


def test_a_purchase_too_small_to_be_seen_is_not_missed() -> None:
    assert found([bought("a", 10, 15)], []) == []


def test_more_than_the_tank_had_room_for() -> None:
    assert found([bought("a", 10, 350)], [rise(0, 300, before=100)]) == [
        (Finding.OVER_TANK, 30),
        (Finding.WITHOUT_RISE, 50),
    ]
    assert found([bought("a", 10, 500)], [], levels_seen=lambda first, last: False) == [
        (Finding.OVER_TANK, 80)
    ]
    assert found([bought("a", 10, 419)], [], levels_seen=lambda first, last: False) == []


@pytest.mark.parametrize("tank", [None, 0.0, float("nan")])
def test_without_a_tank_no_volume_is_too_large(tank: float | None) -> None:
    assert found([bought("a", 10, 900)], [rise(0, 890)], tank) == []


def test_part_of_it_went_elsewhere() -> None:
    assert found([bought("a", 10, 300)], [rise(0, 200)]) == [(Finding.WITHOUT_RISE, 100)]


def test_two_receipts_of_one_visit_are_one_rise() -> None:
    pair = [bought("a", 10, 150, station_id="s"), bought("b", 10, 100, station_id="s")]
    assert found(pair, [rise(0, 250)]) == []


def test_two_cards_in_one_minute_at_two_stations_are_two_visits() -> None:
    pair = [bought("a", 10, 150, station_id="s"), bought("b", 10, 150, station_id="r")]
    assert found(pair, [rise(0, 150)]) == [(Finding.WITHOUT_RISE, 150)]


@pytest.mark.parametrize("fuel", ["adblue", "electric", "cng", "lng", "other"])
def test_what_is_no_fuel_of_the_tank_is_left_out(fuel: str) -> None:
    result = reconcile([bought("a", 10, 60, fuel=fuel)], [], 400.0)
    assert [why for _, why in result.skipped] == [Skipped.NOT_TANK_FUEL]
    assert result.mismatches == ()


def test_a_refund_takes_its_purchase_back() -> None:
    result = reconcile([bought("a", 10, 60), bought("r", 90, 60, amount_minor=-1000)], [], 400.0)
    assert {one.purchase_id: why for one, why in result.skipped} == {
        "a": Skipped.REFUNDED,
        "r": Skipped.REFUND,
    }
    assert result.mismatches == ()


def test_a_refund_of_nothing_is_named() -> None:
    result = reconcile([bought("r", 90, 60, amount_minor=-1000)], [], 400.0)
    assert [why for _, why in result.skipped] == [Skipped.REFUND_WITHOUT_PURCHASE]


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        (None, Skipped.VOLUME_UNKNOWN),
        (-3.0, Skipped.VOLUME_INVALID),
        (0.0, Skipped.VOLUME_INVALID),
        (float("nan"), Skipped.VOLUME_INVALID),
        (float("inf"), Skipped.VOLUME_INVALID),
    ],
)
def test_a_purchase_without_a_volume_is_named(volume: float | None, why: Skipped) -> None:
    assert [one for _, one in reconcile([bought("a", 10, volume)], [], 400.0).skipped] == [why]


def test_the_same_transaction_in_two_files_counts_once() -> None:
    again = Purchase(at(10), "z", "t-a", "diesel", 60, 1000)
    result = reconcile([bought("a", 10, 60), again], [rise(0, 60)], 400.0)
    assert [(one.purchase_id, why) for one, why in result.skipped] == [("z", Skipped.REPEATED)]
    assert result.mismatches == ()


def test_any_order_gives_the_same() -> None:
    purchases = [
        bought("a", 10, 100),
        bought("b", 10, 100),
        bought("c", 40, 300),
        bought("r", 90, 100, amount_minor=-1000),
    ]
    rises = [rise(0, 90), rise(35, 300)]
    results = {repr(reconcile(list(p), rises, 400.0)) for p in permutations(purchases)}
    assert len(results) == 1


STATION = {"lat": HERE[0], "lon": HERE[1]}


def trace(*places: tuple[float, tuple[float, float]]) -> list[Position]:
    return [Position(at(minute), *place) for minute, place in places]


@pytest.mark.parametrize(
    ("positions", "is_elsewhere"),
    [
        (trace((0, NEAR), (20, NEAR)), False),
        (trace((-60, FAR), (-20, FAR), (20, FAR), (60, FAR)), True),
        (trace((-60, FAR), (60, FAR)), False),
        (trace((-35, FAR), (45, FAR)), True),
        (trace((0, FAR)), False),
        ([], False),
    ],
    ids=["there", "far throughout", "could have driven", "too short a time", "one side unknown", "unknown"],
)
def test_where_the_vehicle_was(positions: list[Position], is_elsewhere: bool) -> None:
    assert (
        Finding.ELSEWHERE
        in {
            one.finding
            for one in reconcile(
                [bought("a", 10, 60, **STATION)], [rise(0, 60)], 400.0, positions=positions
            ).mismatches
        }
    ) is is_elsewhere


def test_a_station_without_a_place_says_nothing() -> None:
    positions = trace((-60, FAR), (-20, FAR), (20, FAR), (60, FAR))
    assert found([bought("a", 10, 60)], [rise(0, 60)], positions=positions) == []
    assert found([bought("a", 10, 60, lat=float("nan"), lon=0.0)], [rise(0, 60)], positions=positions) == []
