"""The words of driver hours: activities, stretches, findings, days, and the UTC minute grid they lie on.

A time is a whole minute since 1970-01-01T00:00Z, an `int`: every limit is a number of minutes, and comparing
whole minutes leaves nothing to round. Intervals are half-open, `[start, end)`. A week is Monday 00:00 to Sunday
24:00 UTC, as the tachograph counts it (Reg. 2016/799, Appendix 14, Addendum 2(k)), whatever the driver's zone
and daylight saving.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

Minute = int
MINUTES_OF_DAY = 1_440
MINUTES_OF_WEEK = 10_080
# Before every time that there is.
BEFORE_ALL: Minute = -(1 << 62)
# 1970-01-01 was a Thursday: the Monday before it lies three days back.
_FIRST_MONDAY = -3 * MINUTES_OF_DAY


class Kind(StrEnum):
    """What a driver does; the values are those of the driver_activity feed."""

    DRIVING = "driving"
    OTHER_WORK = "other_work"
    AVAILABILITY = "availability"
    REST = "rest"
    UNKNOWN = "unknown"


# Bound once: looking a member up in its class takes longer than comparing with it, and every stretch is compared.
DRIVING, OTHER_WORK, AVAILABILITY, REST, UNKNOWN = Kind


class Origin(StrEnum):
    """Who says so: the tachograph, the driver by manual entry, or a guess from positions."""

    TACHOGRAPH = "tachograph"
    MANUAL = "manual"
    INFERRED = "inferred"


class Severity(StrEnum):
    """Classes of Reg. 2016/403: minor, serious, very serious, most serious infringement."""

    MI = "MI"
    SI = "SI"
    VSI = "VSI"
    MSI = "MSI"


class Rule(StrEnum):
    """What a finding is about; the second block is never a violation by itself, but a question for evidence."""

    BREAK = "BREAK"
    DAILY_DRIVING = "DAILY_DRIVING"
    WEEKLY_DRIVING = "WEEKLY_DRIVING"
    FORTNIGHTLY_DRIVING = "FORTNIGHTLY_DRIVING"
    DAILY_REST = "DAILY_REST"
    DAILY_REST_MULTI_MANNING = "DAILY_REST_MULTI_MANNING"
    WEEKLY_REST_SPACING = "WEEKLY_REST_SPACING"
    WEEKLY_REST_PATTERN = "WEEKLY_REST_PATTERN"
    WEEKLY_REST_COMPENSATION = "WEEKLY_REST_COMPENSATION"

    UNPROVEN_REST = "UNPROVEN_REST"
    CREW_BREAK = "CREW_BREAK"
    FERRY_REST = "FERRY_REST"
    REDUCED_IN_WEEKLY_REST = "REDUCED_IN_WEEKLY_REST"
    WAY_HOME = "WAY_HOME"
    WEEKLY_REST_PLACE = "WEEKLY_REST_PLACE"
    RETURN_HOME = "RETURN_HOME"

    DRIVE_11 = "DRIVE_11"
    SHIFT_14 = "SHIFT_14"
    BREAK_30 = "BREAK_30"
    CYCLE_60 = "CYCLE_60"
    CYCLE_70 = "CYCLE_70"


class Activity(NamedTuple):
    """One reported activity of one driver.

    `crew`: a second driver's card was in the vehicle. `out_of_scope`: the vehicle was outside the regulation;
    driving counts as work then. `ferry`: on a ferry or train (Art. 9(1)).
    """

    start: Minute
    end: Minute
    kind: Kind
    crew: bool = False
    origin: Origin = Origin.TACHOGRAPH
    out_of_scope: bool = False
    ferry: bool = False


class Stretch(NamedTuple):
    """Contiguous time of one kind: never UNKNOWN, which counts as rest but proves nothing.

    `proven` is the longest run in it that was recorded or entered as such: unknown and inferred time breaks a
    run. `run` is the run that lasts until the end.
    """

    start: Minute
    end: Minute
    kind: Kind
    crew: bool
    ferry: bool
    proven: int
    run: int

    @property
    def minutes(self) -> int:
        """The length."""
        return self.end - self.start


class Finding(NamedTuple):
    """What a rule found.

    `at`: the instant from which the rule is broken: the minute that goes beyond the limit, the start of the
    period that lacks a rest, the deadline. `measured` and `limit` are minutes; below the limit is wrong for
    rests, above it for all else. `severity` is None where the regulation's table has no class.
    `needs_evidence`: the data alone does not prove it; `reason` then says what would.
    """

    rule: Rule
    article: str
    start: Minute
    end: Minute
    at: Minute
    measured: int
    limit: int
    severity: Severity | None = None
    needs_evidence: bool = False
    reason: str = ""

    @property
    def excess(self) -> int:
        """Minutes beyond the limit, or short of it."""
        return abs(self.measured - self.limit)


class DriverDay(NamedTuple):
    """A daily period: from the end of a daily or weekly rest to the next, or to its window's end.

    `rest` is the longest rest inside the 24 or 30 hours, `rest_kind` what it counts as: regular, split,
    reduced, weekly or missing. `limit` is the daily driving limit that held: 10 h while the week had an
    extension left.
    """

    start: Minute
    end: Minute
    driving: int
    other_work: int
    availability: int
    limit: int
    crew: bool
    rest: int
    rest_kind: str


def minute_of(moment: datetime) -> Minute:
    """Return the minute in which a moment lies.

    Raises:
        ValueError: the moment has no zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no zone")
    return int(moment.timestamp() // 60)


def moment_of(minute: Minute) -> datetime:
    """Return the start of a minute, in UTC."""
    return datetime.fromtimestamp(minute * 60, UTC)


def week_of(minute: Minute) -> int:
    """Return the number of the week in which a minute lies; week 0 holds 1970-01-01."""
    return (minute - _FIRST_MONDAY) // MINUTES_OF_WEEK


def week_start(week: int) -> Minute:
    """Return the first minute of a week: Monday 00:00 UTC."""
    return _FIRST_MONDAY + week * MINUTES_OF_WEEK
