"""Cases worked out by hand from the text of the rules: each limit and each class at its minute, and one off it.

Written without looking at the engine. Words are letter and minutes, a small letter is with a second driver.
"""

from __future__ import annotations

from typing import Any

import pytest

from domain.driver_hours.cases import evaluate_case

Expected = list[tuple[int | str | None, ...]]
DAY = 1_440
# A day of so much driving (in legal stints), and rest until 24 h have passed.
FIELDS = {
    "BREAK": ("measured", "excess", "severity", "at"),
    "DAILY_DRIVING": ("measured", "limit", "severity", "at"),
    "WEEKLY": ("rule", "week", "measured", "limit", "severity"),
    "DAILY_REST": ("rule", "at", "measured", "required", "severity"),
    "MULTI_MANNING": ("rule", "at", "measured", "required", "severity"),
    "WEEKLY_REST": ("at", "late", "severity"),
}


def solve(rule: str, words: str, offset: int = 0) -> Expected:
    activities: list[list[Any]] = [
        [word[0].upper(), int(word[1:]), *(["crew"] if word[0].islower() else [])] for word in words.split()
    ]
    case = {
        "expect": [], "activities": activities, "rule": rule, "start_offset_min": offset,
        "origin_utc": "2026-01-05T00:00:00Z", "id": "worked",
    }  # fmt: skip
    return [tuple(found[name] for name in FIELDS[rule]) for found in evaluate_case(case)["findings"]]


def day(driving: int, length: int = DAY) -> str:
    """Drive so many minutes with a break after each 4 h 30, and rest until the day is over."""
    words, left, used = [], driving, 0
    while left > 270:
        words += ["D270", "R45"]
        left, used = left - 270, used + 315
    return " ".join([*words, f"D{left}", f"R{length - used - left}"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("D269 R660", []),
        ("D270 R660", []),
        ("D271 R660", [(271, 1, "MI", 270)]),
        ("D299 R660", [(299, 29, "MI", 270)]),
        ("D300 R660", [(300, 30, "SI", 270)]),
        ("D359 R660", [(359, 89, "SI", 270)]),
        ("D360 R660", [(360, 90, "VSI", 270)]),
        ("D900 R660", [(900, 630, "VSI", 270)]),
        ("D270 R44 D1 R660", [(271, 1, "MI", 314)]),
        ("D270 R45 D270 R660", []),
        ("D270 R15 R30 D1 R660", []),
        ("D200 R15 D70 R30 D270 R660", []),
        ("D200 R15 D70 R29 D1 R660", [(271, 1, "MI", 314)]),
        ("D200 R30 D70 R15 D1 R660", [(271, 1, "MI", 315)]),
        ("D200 R30 D70 R30 D270 R660", []),
        ("D90 R15 D90 R15 D90 R15 D1 R660", [(271, 1, "MI", 315)]),
        ("D90 R15 D90 R15 D90 R30 D270 R660", []),
        ("D200 R14 R1 D70 R30 D1 R660", []),
        ("D200 R15 D71 R30 D1 R660", [(271, 1, "MI", 285)]),
        ("D240 R15 D60 R30 D270 R660", [(300, 30, "SI", 285)]),
        ("R15 D270 R30 D1 R660", [(271, 1, "MI", 315)]),
        ("R45 D270 R660", []),
        ("D270 W45 D1 R660", [(271, 1, "MI", 315)]),
        ("D270 A45 D1 R660", [(271, 1, "MI", 315)]),
        ("D135 W600 D135 R660", []),
        ("D135 W600 D136 R660", [(271, 1, "MI", 870)]),
        ("D200 R15 W60 D70 R30 D270 R660", []),
        ("D200 R15 W60 R29 W1 R30 D70 R660", []),
        ("d270 a45 d270 R660", []),
        ("d270 a44 d1 R660", [(271, 1, "MI", 314)]),
        ("d200 a15 d70 a30 d1 R660", [(271, 1, "MI", 315)]),
        ("d200 R15 d70 a30 d1 R660", [(271, 1, "MI", 315)]),
        ("d200 a30 a15 d270 R660", []),
        ("d200 a30 A15 d71 R660", [(271, 1, "MI", 315)]),
        ("D270 U45 D270 R660", []),
        ("D200 U15 D70 R30 D270 R660", []),
        ("D271 R45 D271 R45 D1 R660", [(271, 1, "MI", 270), (271, 1, "MI", 586)]),
        ("D271", [(271, 1, "MI", 270)]),
        ("D100 D170 R45", []),
        ("D100 D171 R45", [(271, 1, "MI", 270)]),
        ("W0 D270 R0 D1 R45", [(271, 1, "MI", 270)]),
    ],
)  # fmt: skip
def test_break(words: str, expected: Expected) -> None:
    assert solve("BREAK", words) == expected


# With both extensions free the limit is 10 h; after two days beyond 9 h it is 9 h.
TWO_LONG = f"{day(541)} {day(541)}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (day(540), []),
        (day(541), []),
        (day(600), []),
        (day(601), [(601, 600, "MI", 0)]),
        (day(659), [(659, 600, "MI", 0)]),
        (day(660), [(660, 600, "SI", 0)]),
        ("D719 R660", [(719, 600, "SI", 0)]),
        ("D720 R660", [(720, 600, "VSI", 0)]),
        ("D899 R541", [(899, 600, "VSI", 0)]),
        ("D900 R540", [(900, 600, "MSI", 0)]),
        (f"{TWO_LONG} {day(540)}", []),
        (f"{TWO_LONG} {day(541)}", [(541, 540, "MI", 2880)]),
        (f"{TWO_LONG} {day(599)}", [(599, 540, "MI", 2880)]),
        (f"{TWO_LONG} {day(600)}", [(600, 540, "SI", 2880)]),
        (f"{TWO_LONG} {day(659)}", [(659, 540, "SI", 2880)]),
        (f"{TWO_LONG} {day(660)}", [(660, 540, "VSI", 2880)]),
        (f"{TWO_LONG} D809 R631", [(809, 540, "VSI", 2880)]),
        (f"{TWO_LONG} D810 R630", [(810, 540, "MSI", 2880)]),
        (f"{day(615)} {day(615)} {day(615)}", [(615, 600, "MI", 0), (615, 600, "MI", 1440), (615, 540, "SI", 2880)]),
        # 8 h 59 of rest do not end the day, 9 h do.
        ("D300 R539 D301 R660", [(601, 600, "MI", 0)]),
        ("D300 R540 D301 R660", []),
        ("W60 D300 A120 D301 R660", [(601, 600, "MI", 0)]),
        ("R300 W60 D601 R660", [(601, 600, "MI", 300)]),
        ("D300 U540 D301 R660", []),
        # 24 h after it began the day is over, rest or not: 700 minutes of driving are 400 and 300.
        ("D400 W1040 D300 R660", []),
        ("D400 W980 D300 R660", []),
        ("D550 W840 D200 R660", []),
    ],
)  # fmt: skip
def test_daily_driving(words: str, expected: Expected) -> None:
    assert solve("DAILY_DRIVING", words) == expected


def test_extensions_are_of_the_week_in_which_the_day_starts() -> None:
    """Friday and Saturday take both; Sunday has none; a day that starts Sunday 23:59 is still Sunday's week."""
    friday = 4 * DAY
    assert solve("DAILY_DRIVING", " ".join([day(541)] * 3), friday) == [(541, 540, "MI", friday + 2 * DAY)]
    assert solve("DAILY_DRIVING", " ".join([day(541)] * 4), friday) == [(541, 540, "MI", friday + 2 * DAY)]
    late = f"{day(541)} {day(541, 2 * DAY - 1)} {day(541)}"
    assert solve("DAILY_DRIVING", late, friday) == [(541, 540, "MI", 7 * DAY - 1)]
    monday = f"{day(541)} {day(541, 2 * DAY)} {day(541)}"
    assert solve("DAILY_DRIVING", monday, friday) == []


def week(total: int) -> str:
    """Six days that come to so much driving, none above 12 h, and a day off."""
    share, rest = divmod(total, 6)
    return " ".join([*(day(share + (place < rest)) for place in range(6)), f"R{DAY}"])


@pytest.mark.parametrize(
    ("minutes", "severity"),
    [
        (3360, None), (3361, "MI"), (3599, "MI"), (3600, "SI"), (3899, "SI"), (3900, "VSI"), (4199, "VSI"),
        (4200, "MSI"),
    ],
)  # fmt: skip
def test_weekly_driving(minutes: int, severity: str | None) -> None:
    expected = [("WEEKLY_DRIVING", 0, minutes, 3360, severity)] if severity else []
    assert solve("WEEKLY", week(minutes)) == expected


@pytest.mark.parametrize(
    ("second", "both", "severity"),
    [
        (2700, 5400, None), (2701, 5401, "MI"), (3299, 5999, "MI"), (3300, 6000, "SI"), (3599, 6299, "SI"),
        (3600, 6300, "VSI"), (4049, 6749, "VSI"), (4050, 6750, "MSI"),
    ],
)  # fmt: skip
def test_two_weeks(second: int, both: int, severity: str | None) -> None:
    found = solve("WEEKLY", f"{week(2700)} {week(second)}")
    expected = [("FORTNIGHTLY_DRIVING", 1, both, 5400, severity)] if severity else []
    assert [one for one in found if one[0] == "FORTNIGHTLY_DRIVING"] == expected


def test_a_pair_of_weeks_rolls_and_a_free_week_ends_it() -> None:
    assert solve("WEEKLY", f"{week(3300)} {week(2100)} {week(3300)} {week(2101)}") == [
        ("FORTNIGHTLY_DRIVING", 3, 5401, 5400, "MI")
    ]
    assert solve("WEEKLY", f"{week(3360)} R{7 * DAY} {week(3360)}") == []


def test_driving_over_sunday_midnight_is_of_both_weeks() -> None:
    """3,240 min until Saturday; Sunday 22:00 to Monday 02:00: two hours of each week."""
    first = f"{' '.join([day(540)] * 6)} R1320 D{{}} R660"
    assert solve("WEEKLY", first.format(240)) == []
    assert solve("WEEKLY", first.format(120)) == []
    one_more = f"{' '.join([day(540)] * 6)} R1319 D240 R660"
    assert solve("WEEKLY", one_more) == [("WEEKLY_DRIVING", 0, 3361, 3360, "MI")]


def duty(minutes: int, rest: int) -> str:
    return f"W{minutes} R{rest}"


REDUCED = duty(840, 600)
THREE_REDUCED = " ".join([REDUCED] * 3)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("W780 R660 W60 R2700", []),
        ("W781 R659 W60 R2700", []),
        ("W900 R540 W60 R2700", []),
        ("W901 R539 W60 R2700", [("DAILY_REST", 0, 539, 540, "MI")]),
        ("W960 R480 W60 R2700", [("DAILY_REST", 0, 480, 540, "MI")]),
        ("W961 R479 W60 R2700", [("DAILY_REST", 0, 479, 540, "SI")]),
        ("W1020 R420 W60 R2700", [("DAILY_REST", 0, 420, 540, "SI")]),
        ("W1021 R419 W60 R2700", [("DAILY_REST", 0, 419, 540, "VSI")]),
        ("W1440 R2700", [("DAILY_REST", 0, 0, 540, "VSI")]),
        # Of a rest only what lies in the 24 h counts.
        ("W840 R660 W60 R2700", []),
        ("W901 R660 W60 R2700", [("DAILY_REST", 0, 539, 540, "MI")]),
        ("W1300 R2700", [("DAILY_REST", 0, 140, 540, "VSI")]),
        # 3 h and then 9 h; the other way round it is reduced; 2 h 59 are no part.
        (f"{THREE_REDUCED} W240 R180 W480 R540 W60 R2700", []),
        (f"{THREE_REDUCED} W240 R179 W481 R540 W60 R2700", [("DAILY_REST", 4320, 540, 660, "SI")]),
        (f"{THREE_REDUCED} W240 R540 W240 R180 W240 R2700", [("DAILY_REST", 4320, 540, 660, "SI")]),
        ("W240 R180 W540 R480 W60 R2700", [("DAILY_REST", 0, 480, 540, "MI")]),
        ("W240 R180 W541 R479 W60 R2700", [("DAILY_REST", 0, 479, 540, "SI")]),
        ("W240 R180 W601 R419 W60 R2700", [("DAILY_REST", 0, 419, 540, "VSI")]),
        ("W420 R240 W240 R540 W60 R2700", []),
        # Three reductions, and no fourth.
        (f"{THREE_REDUCED} W780 R660 W60 R2700", []),
        (f"{THREE_REDUCED} W781 R659 W60 R2700", [("DAILY_REST", 4320, 659, 660, "MI")]),
        (f"{THREE_REDUCED} {REDUCED} W60 R2700", [("DAILY_REST", 4320, 600, 660, "MI")]),
        (f"{THREE_REDUCED} W841 R599 W60 R2700", [("DAILY_REST", 4320, 599, 660, "SI")]),
        (f"{THREE_REDUCED} W930 R510 W60 R2700", [("DAILY_REST", 4320, 510, 660, "SI")]),
        (f"{THREE_REDUCED} W931 R509 W60 R2700", [("DAILY_REST", 4320, 509, 660, "VSI")]),
        # A weekly rest gives three more, and 23 h 59 do not.
        (f"{THREE_REDUCED} W60 R1440 {REDUCED} W60 R2700", []),
        (f"{THREE_REDUCED} W60 R1439 {REDUCED} W60 R2700", [("DAILY_REST", 5819, 600, 660, "MI")]),
        # A rest that failed takes none of the three.
        (f"W901 R539 W60 R660 {THREE_REDUCED} W60 R2700", [("DAILY_REST", 0, 539, 540, "MI")]),
        # After a window without a rest of 9 h the next begins where it ended.
        ("W1440 W780 R660 W60 R2700", [("DAILY_REST", 0, 0, 540, "VSI")]),
        ("W1440 W901 R539 W60 R2700", [("DAILY_REST", 0, 0, 540, "VSI"), ("DAILY_REST", 1440, 539, 540, "MI")]),
        # Unknown time counts as rest; availability does not.
        ("W780 U660 W60 R2700", []),
        ("W780 R300 U360 W60 R2700", []),
        ("W780 A660 W60 R2700", [("DAILY_REST", 0, 0, 540, "VSI")]),
        # Cut at midnight the rest is still one.
        ("W780 R300 R360 W60 R2700", []),
    ],
)  # fmt: skip
def test_daily_rest(words: str, expected: Expected) -> None:
    assert solve("DAILY_REST", words) == expected


CREW = "d270 a270 d270 a270 d{} R{} W60 R2700"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (CREW.format(180, 540), []),
        (CREW.format(181, 539), [("DAILY_REST_MULTI_MANNING", 0, 539, 540, "MI")]),
        (CREW.format(240, 480), [("DAILY_REST_MULTI_MANNING", 0, 480, 540, "MI")]),
        (CREW.format(241, 479), [("DAILY_REST_MULTI_MANNING", 0, 479, 540, "SI")]),
        (CREW.format(300, 420), [("DAILY_REST_MULTI_MANNING", 0, 420, 540, "SI")]),
        (CREW.format(301, 419), [("DAILY_REST_MULTI_MANNING", 0, 419, 540, "VSI")]),
        # Of the rest only what lies in the 30 h counts.
        (CREW.format(181, 660), [("DAILY_REST_MULTI_MANNING", 0, 539, 540, "MI")]),
        # Alone in the first hour, and a minute longer: then it is the 24 h of a single driver.
        ("D60 d210 a270 d270 a270 d180 R540 W60 R2700", []),
        (
            "D61 d209 a270 d270 a270 d180 R540 W60 R2700",
            [("DAILY_REST", 0, 180, 540, "VSI")],
        ),
        # A rest of 9 h to 11 h in the 30 h is one of the three reduced ones.
        (f"{THREE_REDUCED} {CREW.format(180, 540)}", [("DAILY_REST", 4320, 540, 660, "SI")]),
        (f"{THREE_REDUCED} {CREW.format(60, 660)}", []),
    ],
)  # fmt: skip
def test_multi_manning(words: str, expected: Expected) -> None:
    assert solve("MULTI_MANNING", words) == expected


SIX_DAYS = " ".join(["W780 R660"] * 5)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (1440, []),
        (1441, [(8640, 1, "MI")]),
        (1619, [(8640, 179, "MI")]),
        (1620, [(8640, 180, "SI")]),
        (2159, [(8640, 719, "SI")]),
        (2160, [(8640, 720, "VSI")]),
    ],
)
def test_six_days_between_weekly_rests(last: int, expected: Expected) -> None:
    assert solve("WEEKLY_REST", f"R2700 {SIX_DAYS} W{last} R2700", -2700) == expected
    assert solve("WEEKLY_REST", f"R1440 {SIX_DAYS} W{last} R1440", -1440) == expected


def test_23_h_59_are_no_weekly_rest() -> None:
    """Had it been one, the week after it would be in time."""
    assert solve("WEEKLY_REST", f"R2700 W60 R1439 {SIX_DAYS} W60 R2700", -2700) == [(8640, 119, "MI")]
    assert solve("WEEKLY_REST", f"R2700 W60 R1440 {SIX_DAYS} W60 R2700", -2700) == []


def rests_set(weeks: int, *rests: tuple[int, int]) -> Any:
    """Judge rests of (start, minutes)."""
    case = {
        "id": "set", "rule": "WEEKLY_REST_SET", "origin_utc": "2026-01-05T00:00:00Z", "weeks": weeks,
        "weekly_rests": [{"minutes": minutes, "start_min": start} for start, minutes in rests],
    }  # fmt: skip
    found = evaluate_case(case)["findings"]
    debts = [(debt["week"], debt["debt_min"], debt["due_min"], debt["settled"]) for debt in found["debts"]]
    return found["pattern"], debts


WEEK = 7 * DAY
SATURDAY = 5 * DAY


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ((2700, 2700), ("ok", [])),
        ((2700, 1440), ("ok", [(1, 1260, 5 * WEEK, False)])),
        ((2700, 2699), ("ok", [(1, 1, 5 * WEEK, False)])),
        ((2700, 1439), ("violation", [])),
        ((1440, 2700), ("ok", [(0, 1260, 4 * WEEK, False)])),
        ((2700, 1440, 2700), ("ok", [(1, 1260, 5 * WEEK, False)])),
        ((1440, 1440), ("needs_evidence", [(0, 1260, 4 * WEEK, False), (1, 1260, 5 * WEEK, False)])),
        ((2700, 0), ("violation", [])),
        # 45 h and 21 h at once: the debt is made up for. Of 20 h 59 it is not.
        ((2700, 1440, 3960), ("ok", [(1, 1260, 5 * WEEK, True)])),
        ((2700, 1440, 3959), ("ok", [(1, 1260, 5 * WEEK, False)])),
        # The third week after is the last.
        ((2700, 1440, 2700, 2700, 3960), ("ok", [(1, 1260, 5 * WEEK, True)])),
        ((2700, 1440, 2700, 2700, 2700, 3960), ("ok", [(1, 1260, 5 * WEEK, False)])),
        # Two debts at once need both.
        ((1500, 2700, 1500, 5100), ("ok", [(0, 1200, 4 * WEEK, True), (2, 1200, 6 * WEEK, True)])),
        ((1500, 2700, 1500, 5099), ("ok", [(0, 1200, 4 * WEEK, True), (2, 1200, 6 * WEEK, False)])),
    ],
)  # fmt: skip
def test_weekly_rests(lengths: tuple[int, ...], expected: Any) -> None:
    """Each rest ends on its Sunday at 24:00, so that all of it lies in its week."""
    rests = [
        ((place + 1) * WEEK - minutes, minutes) for place, minutes in enumerate(lengths) if minutes
    ]  # fmt: skip
    assert rests_set(len(lengths), *rests) == expected


def test_compensation_is_attached_to_another_rest_of_nine_hours() -> None:
    """21 h of debt with a daily rest of 9 h on a Wednesday: 30 h. One minute less, or in two pieces, is none."""
    regular = [(4 * WEEK - 2700, 2700)]
    base = [(WEEK - 2700, 2700), (2 * WEEK - 1440, 1440)]
    wednesday = 2 * WEEK + 2 * DAY
    sunday = [(3 * WEEK - 2700, 2700)]
    assert rests_set(4, *base, (wednesday, 1800), *sunday, *regular)[1] == [(1, 1260, 5 * WEEK, True)]
    assert rests_set(4, *base, (wednesday, 1799), *sunday, *regular)[1] == [(1, 1260, 5 * WEEK, False)]


def test_a_rest_over_two_weeks_counts_in_one() -> None:
    """From Saturday to Monday it is the first week's, though the second has no other."""
    assert rests_set(2, (SATURDAY, 3 * DAY))[0] == "violation"
    assert rests_set(2, (SATURDAY, 3 * DAY), (WEEK + SATURDAY, 2700))[0] == "ok"


def us(words: str, **more: Any) -> Expected:
    letters = {"D": "D", "N": "ON", "O": "OFF", "S": "SB"}
    case = {
        "id": "us", "rule": "US_PROPERTY", "start_utc": "2026-01-05T06:00:00Z",
        "activities": [[letters[word[0]], int(word[1:])] for word in words.split()], **more,
    }  # fmt: skip
    return [(one["type"], one["at"], one["over_min"]) for one in evaluate_case(case, "us")["findings"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("O600 D480 O30 D180 O600", []),
        ("O600 D480 O30 D181 O600", [("DRIVE_11", 1290, 1)]),
        ("O600 D480 O29 D1 O600", [("BREAK_30", 1109, 1)]),
        ("O600 D480 N30 D1 O600", []),
        ("O600 D480 S30 D1 O600", []),
        ("O600 D240 N15 S15 D480 O600", [("DRIVE_11", 1290, 60)]),
        ("O600 N839 D1 O600", []),
        ("O600 N840 D1 O600", [("SHIFT_14", 1440, 1)]),
        ("O600 N840 N60 O600", []),
        ("O600 N60 O599 D181 D1 O600", [("SHIFT_14", 1440, 1)]),
        ("O600 N60 O600 D180 O600", []),
        ("O600 D300 S420 D300 O180 D360 O600", []),
        ("O600 D300 S420 D300 O180 D361 O600", [("DRIVE_11", 2160, 1)]),
        ("O600 D300 O120 D300 S480 D360 O600", []),
        ("O600 D300 S450 D300 O150 D360 O600", []),
        ("O600 D300 S420 D120 O179 D60 O600", [("SHIFT_14", 1619, 60)]),
        ("O600 D300 S360 D120 O240 D60 O600", [("SHIFT_14", 1620, 60)]),
    ],
)  # fmt: skip
def test_us_shift(words: str, expected: Expected) -> None:
    assert us(words) == expected


SEVEN_DAYS = " ".join(["O600 N600"] * 7)


@pytest.mark.parametrize(
    ("words", "cycle", "expected"),
    [
        (f"{SEVEN_DAYS} O600 D1 O600", "70/8", [("CYCLE_70", 9000, 1)]),
        (f"{SEVEN_DAYS} O2040 D60 O600", "70/8", []),
        (f"{SEVEN_DAYS} O2039 D60 O600", "70/8", [("CYCLE_70", 10439, 60)]),
        (f"{' '.join(['O840 N600'] * 6)} O840 D1 O600", "60/7", [("CYCLE_60", 9480, 1)]),
        (f"{' '.join(['O840 N600'] * 6)} O840 N60 O600", "60/7", []),
    ],
)
def test_us_cycle(words: str, cycle: str, expected: Expected) -> None:
    assert us(words, cycle=cycle) == expected
