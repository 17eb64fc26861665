from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest

from domain.driver_hours import Rule
from domain.driver_hours.cases import evaluate_case
from domain.driver_hours.us import SEVENTY_IN_EIGHT, SIXTY_IN_SEVEN, Cycle, Duty, Status, evaluate_us
from domain.driver_hours.us_remaining import UsRemaining, remaining_us
from tests.unit.driver_hours.line import DAY, MONDAY

Found = list[tuple[str, int, int]]
DUTIES = {"D": "D", "N": "ON", "O": "OFF", "S": "SB"}


def us(words: str, **more: object) -> Found:
    """Read words: D driving, N on duty, O off, S sleeper berth, with minutes."""
    case = {
        "id": "x", "rule": "US_PROPERTY", "start_utc": "2026-01-05T00:00:00Z",
        "activities": [[DUTIES[word[0]], int(word[1:])] for word in words.split()], **more,
    }  # fmt: skip
    answer = evaluate_case(json.loads(json.dumps(case)), "us")
    return [(finding["type"], finding["at"], finding["over_min"]) for finding in answer["findings"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("O600 D480 O30 D180 O600", [], id="11 h"),
        pytest.param("O600 D480 O30 D240 O600", [("DRIVE_11", 1290, 60)], id="12 h"),
        pytest.param("O600 D480 O30 D90 O10 D120 O600", [("DRIVE_11", 1300, 30)], id="over several"),
        pytest.param("O600 D300 O600 D480 O30 D180 O600", [], id="10 h off begin anew"),
        pytest.param("O600 D300 O599 D1 O600", [("SHIFT_14", 1499, 1)], id="9h59 do not"),
        pytest.param("O600 D300 S300 O300 D480 O600", [], id="berth and off add up to 10 h"),
        pytest.param("O600 N780 D60 O600", [], id="until the 14th hour"),
        pytest.param("O600 N780 D61 O600", [("SHIFT_14", 1440, 1)], id="a minute after it"),
        pytest.param("O600 N900 O600", [], id="work after it is no violation"),
        pytest.param("O600 D480 D1 O600", [("BREAK_30", 1080, 1)], id="8 h without a break"),
        pytest.param("O600 D480 N30 D60 O600", [], id="30 min on duty are a break"),
        pytest.param("O600 D480 N10 O10 S10 D60 O600", [], id="of several statuses"),
        pytest.param("O600 D480 N29 D60 O600", [("BREAK_30", 1109, 60)], id="29 are not"),
        pytest.param(
            "O600 D481 O30 D120 O600", [("BREAK_30", 1080, 1)], id="each stretch of 8 h has its own"
        ),
        pytest.param("O600 N780 D120 O60 D60 O600", [("SHIFT_14", 1440, 120)], id="one finding a shift"),
        pytest.param("D660 O600", [("BREAK_30", 480, 180)], id="no rest before is needed"),
    ],
)
def test_shift(words: str, expected: Found) -> None:
    assert us(words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("O600 D300 O180 D300 S420 D360 O600", [], id="3 and 7"),
        pytest.param("O600 D300 S420 D300 O180 D360 O600", [], id="7 and 3"),
        pytest.param("O600 D300 O150 D300 S450 D360 O600", [], id="2.5 and 7.5"),
        pytest.param("O600 D300 O180 D300 S420 D361 O600", [("DRIVE_11", 2160, 1)], id="11 h from the first's end"),
        pytest.param(
            "O600 D300 O180 D300 S419 D60 O600", [("SHIFT_14", 1799, 60)], id="6h59 in the berth"
        ),
        pytest.param(
            "O600 D300 O179 D300 S420 D60 O600", [("SHIFT_14", 1799, 60)], id="9h59 together"
        ),
        pytest.param("O600 D300 O119 D240 S481 D60 O600", [("SHIFT_14", 1740, 60)], id="1h59"),
        pytest.param("O600 D300 O180 D300 O420 D60 O600", [("SHIFT_14", 1800, 60)], id="not in the berth"),
        pytest.param(
            "O600 D300 O180 D300 S420 D300 O180 D360 O600", [], id="the second pairs with a third"
        ),
        pytest.param(
            "O600 N300 O180 N300 S420 N480 D61 O600", [("SHIFT_14", 2340, 1)],
            id="14 h from the first's end, the second left out",
        ),
    ],
)  # fmt: skip
def test_sleeper_split(words: str, expected: Found) -> None:
    assert us(words) == expected


FIVE_DAYS = "O600 N240 D600 " * 5


def cycle_only(found: Found) -> Found:
    return [finding for finding in found if finding[0].startswith("CYCLE")]


def test_70_hours_in_8_days() -> None:
    assert cycle_only(us(f"{FIVE_DAYS} O600 D60 O600")) == [("CYCLE_70", 5 * DAY + 600, 60)]
    assert cycle_only(us(f"{FIVE_DAYS} O600 N60 O600")) == []


def test_60_hours_in_7_days() -> None:
    assert cycle_only(us(f"{FIVE_DAYS} O2040", cycle="60/7")) == [("CYCLE_60", 5 * DAY - 600, 600)]


@pytest.mark.parametrize(("off", "expected"), [(2040, []), (2039, [("CYCLE_70", 5 * DAY + 2039, 60)])])
def test_34_hours_off_start_anew(off: int, expected: Found) -> None:
    assert cycle_only(us(f"{FIVE_DAYS} O{off} D60 O600")) == expected


def test_a_day_drops_out_at_midnight_of_the_home_terminal() -> None:
    """At 02:00 UTC of the ninth day the first is gone; in Chicago it is still the eighth."""
    words = f"{FIVE_DAYS} O1980 N1 O1980 N1 O478 D60 O600"
    assert cycle_only(us(words)) == []
    at = 5 * DAY + 1980 + 1 + 1980 + 1 + 478
    assert cycle_only(us(words, zone="America/Chicago")) == [("CYCLE_70", at, 60)]


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-03-09", 24), ("2026-11-01", 25)])
def test_a_day_has_the_hours_of_its_zone(day: str, hours: int) -> None:
    """On duty from local noon of the day before until a cycle of one day is used up: the whole of the day counts."""
    from datetime import datetime, timedelta

    zone = ZoneInfo("America/Chicago")
    midnight = datetime.fromisoformat(day).replace(tzinfo=zone)
    start = int((midnight - timedelta(hours=12)).timestamp()) // 60
    begin = int(midnight.timestamp()) // 60
    statuses = [Status(start, begin + 100 * 60, Duty.DRIVING)]
    one_day = Cycle(SIXTY_IN_SEVEN.rule, 1, hours * 60 - 1)
    over = [f for f in evaluate_us(statuses, one_day, zone) if f.rule is SIXTY_IN_SEVEN.rule]
    assert over[0].at == begin + hours * 60 - 1


def test_a_gap_is_off_duty_and_touching_statuses_are_one() -> None:
    statuses = [Status(0, 240, Duty.DRIVING), Status(240, 480, Duty.DRIVING), Status(510, 600, Duty.DRIVING)]
    assert evaluate_us(statuses) == []
    assert evaluate_us([*statuses[1:], statuses[0]]) == []
    assert [f.rule for f in evaluate_us([statuses[0], Status(240, 500, Duty.DRIVING)])] == ["BREAK_30"]


def left(words: str, later: int = 0, cycle: Cycle | None = None) -> UsRemaining:
    statuses, now = [], MONDAY
    letters = {"D": Duty.DRIVING, "N": Duty.ON, "O": Duty.OFF, "S": Duty.BERTH}
    for word in words.split():
        statuses.append(Status(now, now + int(word[1:]), letters[word[0]]))
        now += int(word[1:])
    return remaining_us(statuses, now + later, cycle or SEVENTY_IN_EIGHT)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        pytest.param("", (480, 660, 840, 4200), id="nothing known"),
        pytest.param("D100 O600", (480, 660, 840, 4100), id="rested"),
        pytest.param("O600 D100", (380, 560, 740, 4100), id="driving"),
        pytest.param("O600 N60 D100", (380, 560, 680, 4040), id="on duty takes of the window"),
        pytest.param("O600 D100 N30", (480, 560, 710, 4070), id="30 min of another status"),
        pytest.param("O600 D300 O599", (480, 360, 0, 3900), id="9h59"),
        pytest.param("O600 D300 O180 D300 S419", (480, 60, 0, 3600), id="not yet a split"),
        pytest.param("O600 D300 O180 D300 S420", (480, 360, 540, 3600), id="a split: from the first's end"),
        pytest.param("N840 O600 N840 O600 N840 O2040", (480, 660, 840, 4200), id="34 h"),
        pytest.param("N840 O600 N840 O600 N840 O2039", (480, 660, 840, 1680), id="33h59"),
    ],
)
def test_what_remains(words: str, expected: tuple[int, int, int, int]) -> None:
    found = left(words)
    assert (found.until_break, found.eleven_hours, found.window, found.cycle) == expected
    assert found.driving == min(expected)


def test_the_open_status_goes_on_until_now_and_warns_while_driving() -> None:
    found = left("O600 D400", later=32)
    assert found.driving == 48
    assert [(w.rule, w.level) for w in found.warnings] == [(Rule.BREAK_30, 90)]
    assert left("O600 D432 N1").warnings == ()
    with pytest.raises(ValueError, match="before the end of the last status"):
        left("O600 D400", later=-1)
