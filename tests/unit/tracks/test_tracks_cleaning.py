"""Each cleaning rule on tracks made by hand, and the parameters that switch it off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tracks_made import NOON, SECOND, line

from domain.tracks import CleaningRules, Fixes, Rule, clean, make_fixes

DRIVE_S = np.arange(0, 600, 10.0)
DRIVE_M = DRIVE_S * 15.0


def drive(**known: object) -> Fixes:
    return line(DRIVE_S, DRIVE_M, speed_kmh=54.0, **known)


def rules_of(fixes: Fixes, rules: CleaningRules | None = None) -> list[str]:
    return [Rule(rule).name for rule in clean(fixes, rules).rule.tolist()]


def changed(fixes: Fixes, row: int, **values: float) -> Fixes:
    columns = {name: getattr(fixes, name).copy() for name in values}
    for name, value in values.items():
        columns[name][row] = value
    return fixes.with_columns(**columns)


@pytest.mark.parametrize(
    ("values", "rule", "off"),
    [
        ({"lat": np.nan}, "INVALID", None),
        ({"lon": np.inf}, "INVALID", None),
        ({"lat": -90.001}, "INVALID", None),
        ({"lon": 180.5}, "INVALID", None),
        ({"fixed_at_us": np.iinfo(np.int64).max}, "INVALID", None),
        ({"fixed_at_us": np.iinfo(np.int64).min}, "INVALID", None),
        ({"recorded_at_us": NOON - 3600 * SECOND}, "FUTURE", {"future_after_s": None}),
        ({"recorded_at_us": NOON + 31 * 86_400 * SECOND}, "OUTDATED", {"outdated_after_s": None}),
        ({"lat": 0.0005, "lon": -0.0005}, "ZERO", {"zero_within_deg": None, "jump_over_kmh": None}),
        ({"accuracy_m": 201.0}, "ACCURACY", {"accuracy_over_m": None}),
        ({"lat": 53.0}, "JUMP", {"jump_over_kmh": None}),
    ],
)
def test_one_bad_fix_is_named_and_harms_no_other(
    values: dict[str, float], rule: str, off: dict[str, None] | None
) -> None:
    fixes = changed(drive(), 30, **values)
    found = rules_of(fixes)
    assert found[30] == rule
    assert found[:30] + found[31:] == ["KEPT"] * 59
    if off is not None:
        assert rules_of(fixes, replace(CleaningRules(), **off))[30] == "KEPT"


def test_a_clock_reset_to_1970_is_outdated() -> None:
    fixes = changed(drive(), 5, fixed_at_us=12 * SECOND)
    assert rules_of(fixes)[5] == "OUTDATED"


def test_of_fixes_of_one_time_the_most_accurate_stays() -> None:
    fixes = Fixes.concat([drive(accuracy_m=20.0), line([100], [1510], accuracy_m=4.0)])
    assert rules_of(fixes)[10] == "DUPLICATE"
    assert clean(fixes).counts["duplicate"] == 1
    kept = clean(fixes, replace(CleaningRules(), duplicate=False))
    assert kept.counts["duplicate"] == 0
    assert len(kept.track) == 61


def test_a_bad_first_fix_is_removed_and_the_rest_stays() -> None:
    assert rules_of(changed(drive(), 0, lat=10.0)) == ["JUMP"] + ["KEPT"] * 59


def test_after_a_teleport_the_track_goes_on_behind_a_break() -> None:
    fixes = drive()
    away = fixes.with_columns(lat=np.where(np.arange(60) >= 30, fixes.lat + 3, fixes.lat))
    cleaned = clean(away)
    assert cleaned.counts["kept"] == 60
    assert np.flatnonzero(cleaned.track.after_jump).tolist() == [30]


def test_two_fixes_elsewhere_are_jumps_three_are_believed() -> None:
    for wrong, removed in ((2, 2), (3, 0)):
        fixes = drive()
        there = (np.arange(60) >= 30) & (np.arange(60) < 30 + wrong)
        assert (
            clean(fixes.with_columns(lat=np.where(there, fixes.lat + 3, fixes.lat))).counts["jump"] == removed
        )


def test_of_two_devices_under_one_id_the_one_believed_first_stays() -> None:
    fixes = drive()
    other = fixes.with_columns(lat=np.where((np.arange(60) > 3) & (np.arange(60) % 2 == 1), 10.0, fixes.lat))
    found = rules_of(other)
    assert found[:5] == ["KEPT"] * 4 + ["KEPT"]
    assert found[5:] == ["JUMP", "KEPT"] * 27 + ["JUMP"]


def test_a_slow_ferry_is_no_jump() -> None:
    # 60 km in three hours without a fix.
    fixes = line([0, 10, 20, 10_820, 10_830], [0, 100, 200, 60_200, 60_300], speed_kmh=30.0)
    assert rules_of(fixes) == ["KEPT"] * 5


def test_drift_is_held_where_the_vehicle_stood_and_keeps_its_time() -> None:
    metres = [0.0, 8.0, -20.0, 49.0, 51.0, 60.0, 200.0]
    fixes = line(np.arange(7) * 60.0, metres, speed_kmh=[0, 1, 0, 2, 0, 0, 30])
    cleaned = clean(fixes)
    assert rules_of(fixes) == ["KEPT", "STATIC", "STATIC", "STATIC", "KEPT", "STATIC", "KEPT"]
    lat = fixes.lat
    assert cleaned.track.lat.tolist() == [lat[0]] * 4 + [lat[4]] * 2 + [lat[6]]
    assert cleaned.track.seen_lat.tolist() == lat.tolist()
    assert cleaned.track.fixed_at_us.tolist() == fixes.fixed_at_us.tolist()
    off = clean(fixes, replace(CleaningRules(), static_within_m=None))
    assert off.counts["static"] == 0


def test_counts_name_every_rule_and_add_up() -> None:
    fixes = Fixes.concat([drive(), drive(), changed(drive(), 3, lat=np.nan)])
    counts = clean(fixes).counts
    assert set(counts) == {rule.name.lower() for rule in Rule}
    assert sum(counts.values()) == 180
    assert (counts["kept"], counts["duplicate"], counts["invalid"]) == (60, 119, 1)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_fixes_are_enough(count: int) -> None:
    fixes = drive().take(np.arange(count))
    assert clean(fixes).counts["kept"] == count


def test_a_vehicle_over_the_date_line_does_not_jump() -> None:
    lon = (179.99 + np.arange(40) * 0.0015 + 180) % 360 - 180
    fixes = make_fixes(7, NOON + np.arange(40) * 10 * SECOND, np.zeros(40), lon, speed_kmh=60.0)
    assert clean(fixes).counts["kept"] == 40


def test_a_million_fixes_that_all_contradict_each_other_end() -> None:
    size = 1_000_000
    places = np.random.default_rng(1).uniform(-60, 60, size)
    fixes = make_fixes(0, NOON + np.arange(size) * SECOND, places, places)
    counts = clean(fixes).counts
    assert sum(counts.values()) == size
    assert counts["jump"] > 0.9 * size


def test_a_million_fixes_at_one_place_are_one_stand() -> None:
    size = 1_000_000
    fixes = make_fixes(
        0, NOON + np.arange(size) * SECOND, np.full(size, 52.0), np.full(size, 13.0), speed_kmh=0.0
    )
    assert clean(fixes).counts["static"] == size - 1


def test_standing_fixes_that_creep_are_held_again_and_again() -> None:
    size = 200_000
    fixes = line(np.arange(size) * 60.0, np.arange(size) * 30.0 % 1_000_000, speed_kmh=0.0)
    cleaned = clean(fixes)
    # Each second fix is 60 m from the anchor, and the next one.
    assert abs(cleaned.counts["static"] - size / 2) < 100


@pytest.mark.parametrize(
    ("values", "says"), [({"jump_over_kmh": -1.0}, "jump_over_kmh"), ({"jump_confirm": 0}, "jump_confirm")]
)
def test_parameters_that_say_nothing_are_refused(values: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        CleaningRules(**values)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="lat"):
        make_fixes(0, [1, 2], [1.0], [1.0, 2.0])
