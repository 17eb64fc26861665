"""The engine against a reference that walks an array of minutes: slow, obvious, and written from the rules' text.

The reference knows no intervals, no state and no table of limits: for each rule it looks at every minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.driver_hours import Activity, Finding, Kind, Rule, evaluate

# Monday 2026-01-05T00:00Z.
MONDAY = 29_459_520
WEEK = 7 * 24 * 60
KINDS = {
    "D": (Kind.DRIVING, False), "d": (Kind.DRIVING, True), "W": (Kind.OTHER_WORK, False),
    "A": (Kind.AVAILABILITY, False), "a": (Kind.AVAILABILITY, True), "R": (Kind.REST, False),
}  # fmt: skip
Row = tuple[str, int]

# Lengths on, just below and just above what the rules know.
BOUNDS = (1, 14, 15, 29, 30, 31, 44, 45, 60, 61, 120, 179, 180, 240, 269, 270, 271)
RESTS = (
    30,
    45,
    179,
    180,
    420,
    479,
    480,
    539,
    540,
    541,
    599,
    600,
    659,
    660,
    750,
    1439,
    1440,
    1500,
    2699,
    2700,
)
ACTIVE = st.tuples(st.sampled_from("DDDDdddWAa"), st.sampled_from(BOUNDS) | st.integers(1, 300))
SHORT = st.tuples(st.just("R"), st.sampled_from((14, 15, 29, 30, 45, 60)))
LONG = st.tuples(st.just("R"), st.sampled_from(RESTS) | st.integers(1, 3_000))
WEEKS = st.lists(st.one_of(ACTIVE, ACTIVE, SHORT, LONG), min_size=1, max_size=70)
# A crew drives by turns, which drawing letter by letter hardly ever gives.
CREW_DAY = st.tuples(
    st.sampled_from((0, 30, 59, 60, 61, 90)), st.lists(st.sampled_from((45, 240, 270, 300)), min_size=4, max_size=8),
    st.sampled_from(RESTS),
).map(
    lambda day: [("D", day[0]), *[("da"[place % 2], length) for place, length in enumerate(day[1])], ("R", day[2])]
)  # fmt: skip
SINGLE_DAY = st.tuples(
    st.sampled_from((0, 60)), st.sampled_from((180, 270)), st.sampled_from((45, 180)), st.sampled_from((240, 270, 271)),
    st.sampled_from((30, 45)), st.sampled_from((0, 60, 61, 120)), st.sampled_from(RESTS),
).map(lambda day: list(zip("WDRDRDR", day, strict=True)))  # fmt: skip
# Days that fill 24 h to the minute, or all but.
EXACT_DAY = st.tuples(
    st.sampled_from((780, 840, 840, 841, 900, 930, 960, 1440)), st.sampled_from((0, 0, 0, 1, 1440))
).map(lambda day: [("W", day[0]), ("R", max(600 if day[0] == 1440 else 0, 1440 - day[0]) + day[1])])
DUTY_WEEKS = st.lists(st.one_of(CREW_DAY, SINGLE_DAY, EXACT_DAY, EXACT_DAY), min_size=1, max_size=16).map(
    lambda days: [row for day in days for row in day]
)
OFTEN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def activities(rows: Sequence[Row], offset: int = 0) -> list[Activity]:
    """Lay rows one after the other."""
    laid, now = [], MONDAY + offset
    for letter, minutes in rows:
        kind, crew = KINDS[letter]
        laid.append(Activity(now, now + minutes, kind, crew))
        now += minutes
    return laid


def minutes_of(rows: Sequence[Row]) -> str:
    return "".join(letter * minutes for letter, minutes in rows)


def found(rows: Sequence[Row], *rules: Rule, offset: int = 0) -> list[tuple[str, int, int, int, str | None]]:
    """Return what the engine finds of some rules, times from Monday."""
    findings = evaluate(activities(rows, offset)).findings
    return [told(finding) for finding in findings if finding.rule in rules]


def told(finding: Finding) -> tuple[str, int, int, int, str | None]:
    severity = finding.severity.value if finding.severity else None
    return (finding.rule.value, finding.at - MONDAY, finding.measured, finding.limit, severity)


def band(value: int, *bounds: tuple[str, float]) -> str:
    """Return the last class whose bound, in hours, the value reaches."""
    return [name for name, hours in bounds if value >= hours * 60][-1]


def rest_band(value: int, serious_below: float, very_serious_below: float) -> str:
    if value < very_serious_below * 60:
        return "VSI"
    return "SI" if value < serious_below * 60 else "MI"


def rest_starting(line: str, minute: int) -> int:
    """Return how long the rest that starts at a minute lasts; 0 if none starts there."""
    if line[minute] != "R" or (minute and line[minute - 1] == "R"):
        return 0
    end = minute
    while end < len(line) and line[end] == "R":
        end += 1
    return end - minute


# --- Art. 7 ---


def reference_breaks(line: str) -> list[tuple[str, int, int, int, str]]:
    reports, stint, half, at, resting, aside = [], 0, False, 0, 0, 0

    def report() -> None:
        if stint > 270:
            severity = band(stint, ("MI", 0), ("SI", 5), ("VSI", 6))
            reports.append(("BREAK", at, stint, 270, severity))

    for minute, letter in enumerate(line + "W"):
        if letter != "R" and resting >= 15 and stint > 0:
            half = True
        resting = resting + 1 if letter == "R" else 0
        aside = aside + 1 if letter == "a" else 0
        if letter in "Dd" and minute < len(line):
            stint += 1
            if stint == 271:
                at = minute
        if resting == 45 or (resting == 30 and half) or aside == 45:
            report()
            stint, half = 0, False
    report()
    return reports


@OFTEN
@given(rows=WEEKS | DUTY_WEEKS)
def test_breaks(rows: list[Row]) -> None:
    assert found(rows, Rule.BREAK) == reference_breaks(minutes_of(rows))


# --- Art. 6(1), 8(2) to 8(5) ---


def is_crew(line: str, start: int) -> bool:
    """Art. 4(o), from the first activity of a period to its rest of 9 h or its 30th hour."""
    seen, duty = False, None
    for minute in range(start, min(len(line), start + 30 * 60)):
        if rest_starting(line, minute) >= 540:
            break
        if duty is None and line[minute] != "R":
            duty = minute
        if line[minute] == "d" and (seen or minute < start + 24 * 60):
            seen = True
        if line[minute] == "D" and duty is not None and minute >= duty + 60:
            return False
    return seen


def periods(line: str) -> list[tuple[int, int, int, int, bool]]:
    """Return (start, window end, end of its driving, length of the rest that ended it, crew) of ended periods."""
    ended, minute, start = [], 0, None
    while minute < len(line):
        if start is None:
            if line[minute] == "R":
                minute += 1
                continue
            start = minute
        crew = is_crew(line, start)
        window = start + (30 if crew else 24) * 60
        rest = next((m for m in range(start, min(window, len(line))) if rest_starting(line, m) >= 540), None)
        if rest is not None:
            length = rest_starting(line, rest)
            if set(line[start:rest]) - {"R"}:
                ended.append((start, window, rest, length, crew))
            start, minute = None, rest + length
        elif window <= len(line):
            ended.append((start, window, window, 0, crew))
            start = minute = window
        else:
            ended.append((start, window, len(line), -1, crew))
            break
    return ended


def weekly_rests(line: str) -> list[tuple[int, int]]:
    return [(m, m + rest_starting(line, m)) for m in range(len(line)) if rest_starting(line, m) >= 1440]


def rests_inside(line: str, start: int, end: int) -> list[int]:
    return [len(list(run)) for letter, run in groupby(line[start:end]) if letter == "R"]


def short_rest(
    start: int, longest: int, crew: bool, split: bool, none_left: bool
) -> tuple[str, int, int, int, str]:
    if longest < 540 and crew:
        return ("DAILY_REST_MULTI_MANNING", start, longest, 540, rest_band(longest, 8, 7))
    if none_left and (longest >= 540 or not split):
        return ("DAILY_REST", start, longest, 660, rest_band(longest, 10, 8.5))
    return ("DAILY_REST", start, longest, 540, rest_band(longest, 8, 7))


def reference_daily_rests(line: str) -> list[tuple[str, int, int, int, str]]:
    reports, reduced, weekly = [], 0, weekly_rests(line)
    for start, window, _, ending, crew in periods(line):
        if any(start == rest_end for _, rest_end in weekly):
            reduced = 0
        if ending == -1:
            continue
        rests = rests_inside(line, start, window)
        longest = max(rests, default=0)
        split = any(rest >= 180 for rest in rests[: rests.index(longest)]) if rests else False
        if longest >= 660 or (longest >= 540 and split):
            continue
        if longest >= 540 and reduced < 3:
            reduced += 1
        elif longest < 540 or ending < 1440:
            reports.append(short_rest(start, longest, crew, split, reduced == 3))
        if ending >= 1440:
            reduced = 0
    return reports


@OFTEN
@given(rows=WEEKS | DUTY_WEEKS)
def test_daily_rests(rows: list[Row]) -> None:
    expected = reference_daily_rests(minutes_of(rows))
    assert found(rows, Rule.DAILY_REST, Rule.DAILY_REST_MULTI_MANNING) == expected


def reference_daily_driving(line: str, offset: int) -> list[tuple[str, int, int, int, str]]:
    reports, extended = [], dict[int, int]()
    for start, _, end, _, _ in periods(line):
        driving = sum(letter in "Dd" for letter in line[start:end])
        week = (start + offset) // WEEK
        free = extended.get(week, 0) < 2
        if driving > 540:
            extended[week] = extended.get(week, 0) + 1
        if free and driving > 600:
            severity = band(driving, ("MI", 0), ("SI", 11), ("VSI", 12), ("MSI", 15))
            reports.append(("DAILY_DRIVING", start + offset, driving, 600, severity))
        if not free and driving > 540:
            severity = band(driving, ("MI", 0), ("SI", 10), ("VSI", 11), ("MSI", 13.5))
            reports.append(("DAILY_DRIVING", start + offset, driving, 540, severity))
    return reports


@OFTEN
@given(rows=WEEKS | DUTY_WEEKS, offset=st.integers(0, WEEK - 1))
def test_daily_driving(rows: list[Row], offset: int) -> None:
    expected = reference_daily_driving(minutes_of(rows), offset)
    assert found(rows, Rule.DAILY_DRIVING, offset=offset) == expected


# --- Art. 6(2), 6(3) ---


def reference_weekly_driving(line: str, offset: int) -> list[tuple[str, int, int, int, str]]:
    weeks: dict[int, int] = {}
    for minute, letter in enumerate(line):
        if letter in "Dd":
            week = (minute + offset) // WEEK
            weeks[week] = weeks.get(week, 0) + 1
    reports = []
    for week in range(0, (len(line) + offset) // WEEK + 1):
        one, two = weeks.get(week, 0), weeks.get(week - 1, 0) + weeks.get(week, 0)
        if one > 56 * 60:
            severity = band(one, ("MI", 0), ("SI", 60), ("VSI", 65), ("MSI", 70))
            reports.append(("WEEKLY_DRIVING", week * WEEK, one, 3360, severity))
        if two > 90 * 60:
            severity = band(two, ("MI", 0), ("SI", 100), ("VSI", 105), ("MSI", 112.5))
            reports.append(("FORTNIGHTLY_DRIVING", week * WEEK, two, 5400, severity))
    return reports


HARD_DAY = st.tuples(st.integers(400, 900), st.sampled_from((60, 300, 660))).map(
    lambda day: [("D", day[0]), ("R", day[1])]
)
HARD_WEEKS = st.lists(HARD_DAY, min_size=6, max_size=30).map(
    lambda days: [row for day in days for row in day]
)


@OFTEN
@given(rows=HARD_WEEKS, offset=st.integers(0, WEEK - 1))
def test_weekly_and_fortnightly_driving(rows: list[Row], offset: int) -> None:
    expected = reference_weekly_driving(minutes_of(rows), offset)
    assert found(rows, Rule.WEEKLY_DRIVING, Rule.FORTNIGHTLY_DRIVING, offset=offset) == expected


# --- Art. 8(6) ---


def reference_spacing(line: str) -> list[tuple[str, int, int, int, str]]:
    reports, last = [], None
    open_end = len(line.rstrip("R")) if line.endswith("R") else len(line)
    for start, end in [*weekly_rests(line), (open_end, None)]:
        if last is not None and start - last > 144 * 60:
            late = start - last - 144 * 60
            severity = band(late, ("MI", 0), ("SI", 3), ("VSI", 12))
            reports.append(("WEEKLY_REST_SPACING", last + 144 * 60, start - last, 144 * 60, severity))
        last = end
    return reports


@OFTEN
@given(rows=DUTY_WEEKS)
def test_spacing_of_weekly_rests(rows: list[Row]) -> None:
    assert found(rows, Rule.WEEKLY_REST_SPACING) == reference_spacing(minutes_of(rows))


def reference_short_pairs(line: str) -> list[int]:
    """Return the first week of each pair of whole weeks with fewer than two weekly rests; of runs only the first."""
    rests = [(start // WEEK, (end - 1) // WEEK) for start, end in weekly_rests(line)]
    counted: dict[int, int] = {}
    for first, last in rests:
        week = next((w for w in range(first, last + 1) if not counted.get(w)), first)
        counted[week] = counted.get(week, 0) + 1
    whole = len(line) // WEEK
    for start, end in weekly_rests(line):
        if any(set(line[w * WEEK : (w + 1) * WEEK]) == {"R"} for w in range(-(-start // WEEK), end // WEEK)):
            for week in range(whole):
                if min(end, (week + 1) * WEEK) - max(start, week * WEEK) >= 1440:
                    counted[week] = max(1, counted.get(week, 0))
    short = [week for week in range(whole - 1) if counted.get(week, 0) + counted.get(week + 1, 0) < 2]
    return [week * WEEK for week in short if week - 1 not in short]


@OFTEN
@given(
    rows=st.lists(
        st.tuples(st.sampled_from((1000, 5000, 9000)), st.sampled_from((*RESTS, 12_000, 25_000))), max_size=12
    )
)
def test_two_weekly_rests_in_two_weeks(rows: list[tuple[int, int]]) -> None:
    line = [row for work, rest in rows for row in (("W", work), ("R", rest))]
    pairs = [at for _, at, _, limit, _ in found(line, Rule.WEEKLY_REST_PATTERN) if limit == 1440]
    assert pairs == reference_short_pairs(minutes_of(line))
