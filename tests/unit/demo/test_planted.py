"""The truth file as facts: thirsty trips, what resembles them, and crews' shifts."""

from __future__ import annotations

from typing import Any

from fleetflow.demo.measure import SUBJECTS
from fleetflow.demo.planted import Planted
from fleetflow.demo.recall import Score, judge


def at(hour: int, **more: Any) -> dict[str, Any]:
    """A fact of one hour of a day."""
    return {
        "started_at": f"2026-11-20T{hour:02}:00:00+00:00",
        "ended_at": f"2026-11-20T{hour + 1:02}:00:00+00:00",
        "optional": False,
    } | more


PLANTED = Planted(
    {
        "tenant": "acme",
        "crewed": [at(6, driver_id="D1"), at(6, driver_id="D2")],
        "fuel": [
            at(8, vehicle_id="V1", kind="consumption_high"),
            at(10, vehicle_id="V1", kind="consumption_high", optional=True),
            at(8, vehicle_id="V2", kind="leak"),
            at(8, vehicle_id="V3", kind="refill"),
        ],
    },
    {"D1": "k1", "D2": "k2"},
)
TOLERANCE = next(one for one in SUBJECTS if one.name == "fuel of a trip").tolerance


def test_a_thirsty_trip_is_to_be_found_and_no_other_of_the_same_vehicle() -> None:
    truth = PLANTED.thirsty_trips()
    wanted = [fact for fact in truth if not fact.optional]
    assert [(fact.entity, fact.kind) for fact in wanted] == [("V1", "consumption_high")]
    (usual,) = Planted({"fuel": [at(14, vehicle_id="V1", kind="consumption_high")]}, {}).thirsty_trips()
    assert judge(truth, [usual], TOLERANCE) == [Score("consumption_high", wrong=1, missed=1)]
    assert judge(truth, wanted, TOLERANCE) == [Score("consumption_high", found=1)]


def test_what_a_leak_took_may_be_told_as_burnt_and_need_not() -> None:
    leak = next(fact for fact in PLANTED.thirsty_trips() if fact.entity == "V2")
    assert (leak.kind, leak.optional) == ("consumption_high", True)
    assert judge(PLANTED.thirsty_trips(), [leak], TOLERANCE) == [Score("consumption_high", missed=1)]


def test_a_crews_shift_is_told_of_both_by_their_keys() -> None:
    assert [(fact.entity, fact.kind) for fact in PLANTED.multi_manned()] == [
        ("k1", "multi-manning"),
        ("k2", "multi-manning"),
    ]
