"""The table of limits: each with its article, its severity bands and the source that was read.

Driving bands include their lower bound (60 h 00 in a week is serious). Rest bands are on the rest actually
taken, and a value on the bound stays in the milder class (8 h 00 of a reduced daily rest is minor). Source:
Reg. (EU) 2016/403 Annex I as amended by 2022/694; what is not from the wording itself says so in `source`.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.driver_hours.model import Rule, Severity

SI, VSI, MSI = Severity.SI, Severity.VSI, Severity.MSI
_HOUR = 60


class Limit(NamedTuple):
    """One row: `minutes` at most, or at least if `is_rest`.

    Beyond it is minor; each band names the class that begins at (driving), or below (rest), so many minutes.
    """

    rule: Rule
    name: str
    article: str
    minutes: int
    bands: tuple[tuple[Severity, int], ...]
    is_rest: bool
    source: str

    def broken(self, measured: int) -> bool:
        """Say whether so many minutes break the limit."""
        return measured < self.minutes if self.is_rest else measured > self.minutes

    def severity(self, measured: int) -> Severity:
        """Return the class of a measured value that breaks the limit."""
        found = Severity.MI
        for severity, bound in self.bands:
            if measured < bound if self.is_rest else measured >= bound:
                found = severity
        return found


UNINTERRUPTED_DRIVING = Limit(
    Rule.BREAK, "Driving without a break", "7", 270,
    ((SI, 5 * _HOUR), (VSI, 6 * _HOUR)), False, "2016/403 rows 14-15",
)  # fmt: skip
DAILY_DRIVING = Limit(
    Rule.DAILY_DRIVING, "Daily driving, no extension left", "6(1)", 9 * _HOUR,
    ((SI, 10 * _HOUR), (VSI, 11 * _HOUR), (MSI, 810)), False, "2016/403 rows 2-4",
)  # fmt: skip
EXTENDED_DAILY_DRIVING = Limit(
    Rule.DAILY_DRIVING, "Daily driving, extended", "6(1)", 10 * _HOUR,
    ((SI, 11 * _HOUR), (VSI, 12 * _HOUR), (MSI, 15 * _HOUR)), False, "2016/403 rows 5-7",
)  # fmt: skip
WEEKLY_DRIVING = Limit(
    Rule.WEEKLY_DRIVING, "Driving in a week", "6(2)", 56 * _HOUR,
    ((SI, 60 * _HOUR), (VSI, 65 * _HOUR), (MSI, 70 * _HOUR)), False, "2016/403 rows 8-10",
)  # fmt: skip
FORTNIGHTLY_DRIVING = Limit(
    Rule.FORTNIGHTLY_DRIVING, "Driving in two consecutive weeks", "6(3)", 90 * _HOUR,
    ((SI, 100 * _HOUR), (VSI, 105 * _HOUR), (MSI, 6_750)), False, "2016/403 rows 11-13",
)  # fmt: skip
REGULAR_DAILY_REST = Limit(
    Rule.DAILY_REST, "Daily rest, no reduction left", "8(2), 8(4)", 11 * _HOUR,
    ((SI, 10 * _HOUR), (VSI, 510)), True, "2016/403 rows 16-17, by rule profile and R3315-11",
)  # fmt: skip
REDUCED_DAILY_REST = Limit(
    Rule.DAILY_REST, "Daily rest, reduced", "8(2)", 9 * _HOUR,
    ((SI, 8 * _HOUR), (VSI, 7 * _HOUR)), True, "2016/403 rows 18-19, by rule profile and R3315-11",
)  # fmt: skip
SPLIT_DAILY_REST = Limit(
    Rule.DAILY_REST, "Daily rest, second part after 3 h", "4(g), 8(2)", 9 * _HOUR,
    ((SI, 8 * _HOUR), (VSI, 7 * _HOUR)), True, "2016/403 rows 20-21, by R3315-11; not re-read",
)  # fmt: skip
MULTI_MANNING_REST = Limit(
    Rule.DAILY_REST_MULTI_MANNING, "Daily rest, multi-manning", "8(5)", 9 * _HOUR,
    ((SI, 8 * _HOUR), (VSI, 7 * _HOUR)), True, "2016/403 rows 22-23, by rule profile and R3315-11",
)  # fmt: skip
REDUCED_WEEKLY_REST = Limit(
    Rule.WEEKLY_REST_PATTERN, "Weekly rest, reduced", "8(6)", 24 * _HOUR,
    ((SI, 22 * _HOUR), (VSI, 20 * _HOUR)), True, "2016/403 rows 24-25, by rule profile and R3315-11",
)  # fmt: skip
REGULAR_WEEKLY_REST = Limit(
    Rule.WEEKLY_REST_PATTERN, "Weekly rest, no reduction left", "8(6)", 45 * _HOUR,
    ((SI, 42 * _HOUR), (VSI, 36 * _HOUR)), True, "2016/403 rows 26-27, by rule profile and R3315-11",
)  # fmt: skip
WEEKLY_REST_SPACING = Limit(
    Rule.WEEKLY_REST_SPACING, "Between two weekly rests", "8(6)", 6 * 24 * _HOUR,
    ((SI, 147 * _HOUR), (VSI, 156 * _HOUR)), False, "rule profile (3 h, 12 h beyond six 24 h periods)",
)  # fmt: skip

LIMITS = (
    UNINTERRUPTED_DRIVING, DAILY_DRIVING, EXTENDED_DAILY_DRIVING, WEEKLY_DRIVING, FORTNIGHTLY_DRIVING,
    REGULAR_DAILY_REST, REDUCED_DAILY_REST, SPLIT_DAILY_REST, MULTI_MANNING_REST,
    REDUCED_WEEKLY_REST, REGULAR_WEEKLY_REST, WEEKLY_REST_SPACING,
)  # fmt: skip

# Breaks: Art. 7.
FULL_BREAK = 45
FIRST_PART_OF_BREAK = 15
SECOND_PART_OF_BREAK = 30
# Daily periods: Art. 6(1), 8(2), 8(4), 8(5), 4(g), 4(o).
EXTENSIONS_OF_WEEK = 2
REDUCTIONS_BETWEEN_WEEKLY_RESTS = 3
FIRST_PART_OF_DAILY_REST = 3 * _HOUR
DAILY_WINDOW = 24 * _HOUR
CREW_WINDOW = 30 * _HOUR
CREW_GRACE = 60
# Ferry or train: Art. 9(1).
FERRY_INTERRUPTIONS = 2
FERRY_INTERRUPTION_MINUTES = 60
# Compensation of a reduced weekly rest: Art. 8(6b), 8(7).
COMPENSATION_WEEKS = 3
COMPENSATION_BASE = 9 * _HOUR
# The way home: Art. 12.
WAY_HOME = 60
WAY_HOME_TO_REGULAR_REST = 120

# US: 49 CFR 395.3 and 395.1(g).
US_DRIVING = 11 * _HOUR
US_WINDOW = 14 * _HOUR
US_DAILY_OFF = 10 * _HOUR
US_DRIVING_WITHOUT_BREAK = 8 * _HOUR
US_BREAK = 30
US_RESTART = 34 * _HOUR
US_SPLIT_SHORT = 2 * _HOUR
US_SPLIT_BERTH = 7 * _HOUR
US_ADVERSE = 2 * _HOUR


class UsLimit(NamedTuple):
    """One row of 49 CFR 395.3: no severities there."""

    rule: Rule
    name: str
    article: str
    minutes: int


US_LIMITS = (
    UsLimit(Rule.DRIVE_11, "Driving since 10 h off duty", "395.3(a)(3)(i)", US_DRIVING),
    UsLimit(Rule.SHIFT_14, "Driving after the 14th hour since coming on duty", "395.3(a)(2)", US_WINDOW),
    UsLimit(Rule.BREAK_30, "Driving without 30 min of another status", "395.3(a)(3)(ii)", 480),
    UsLimit(Rule.CYCLE_60, "On duty in 7 days", "395.3(b)(1)", 60 * _HOUR),
    UsLimit(Rule.CYCLE_70, "On duty in 8 days", "395.3(b)(2)", 70 * _HOUR),
)


def eu_table() -> str:
    """Return the table of limits as Markdown, for the reference page."""
    head = "| rule | what | limit | MI | SI | VSI | MSI | article | source |\n|---|---|---|---|---|---|---|---|---|\n"
    return head + "".join(_row(limit) for limit in LIMITS)


def us_table() -> str:
    """Return the US limits as Markdown."""
    head = "| rule | what | limit | 49 CFR |\n|---|---|---|---|\n"
    rows = (f"| {row.rule} | {row.name} | {hours(row.minutes)} | {row.article} |\n" for row in US_LIMITS)
    return head + "".join(rows)


def hours(minutes: int) -> str:
    """Write minutes as the regulation does: `4 h 30`."""
    return f"{minutes // _HOUR} h" + (f" {minutes % _HOUR:02}" if minutes % _HOUR else "")


def _row(limit: Limit) -> str:
    sign = "<" if limit.is_rest else ">="
    bands = {severity: f"{sign} {hours(bound)}" for severity, bound in limit.bands}
    classes = " | ".join(bands.get(severity, "-") for severity in (SI, VSI, MSI))
    bound = "at least" if limit.is_rest else "at most"
    minor = "<" if limit.is_rest else ">"
    return (
        f"| {limit.rule} | {limit.name} | {bound} {hours(limit.minutes)} | {minor} {hours(limit.minutes)} "
        f"| {classes} | {limit.article} | {limit.source} |\n"
    )
