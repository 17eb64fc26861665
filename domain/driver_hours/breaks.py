"""Art. 7: after 4 h 30 of driving a break of 45 min, or of 15 min followed by one of 30 min.

Only rest is a break. Other work never is; availability only as the co-driver's 45 unbroken minutes of
multi-manning, never as a part of a split break, and listed (CREW_BREAK), because the data cannot show that he
did not assist. A break of 15 min before any driving is no first part. One stint, from break to break, gives one
finding at most: all its driving, from the minute that goes beyond 4 h 30; a split break completed too late
closes it.
"""

from __future__ import annotations

from copy import copy

from domain.driver_hours import limits
from domain.driver_hours.model import AVAILABILITY, DRIVING, REST, Finding, Minute, Rule, Stretch

_LIMIT = limits.UNINTERRUPTED_DRIVING


class Breaks:
    """The running stint: driving minutes since the last complete break, and whether a first part was taken."""

    __slots__ = ("assumed", "end", "has_first_part", "over_at", "start", "stint")

    def __init__(self) -> None:
        self.stint = 0
        self.start: Minute = 0
        self.end: Minute = 0
        self.over_at: Minute = 0
        self.has_first_part = False
        self.assumed = False

    def take(self, stretch: Stretch, found: list[Finding]) -> None:
        """Go on by one stretch."""
        start, end, kind, crew, _, proven, _ = stretch
        length = end - start
        if kind is DRIVING:
            if not self.stint:
                self.start = start
            if self.stint <= _LIMIT.minutes:
                self.over_at = start + _LIMIT.minutes - self.stint
            self.stint += length
            self.end = end
            self.assumed = self.assumed or proven < length
        elif kind is REST:
            if length >= limits.FULL_BREAK or (self.has_first_part and length >= limits.SECOND_PART_OF_BREAK):
                self._reset(found)
            elif length >= limits.FIRST_PART_OF_BREAK and self.stint:
                self.has_first_part = True
        elif self.stint and kind is AVAILABILITY and crew and length >= limits.FULL_BREAK:
            self._reset(found)
            found.append(_crew_break(stretch))
        elif self.stint and proven < length:
            self.assumed = True

    def still_open(self, found: list[Finding]) -> None:
        """Report what would be found if a break began now."""
        copy(self)._reset(found)

    def _reset(self, found: list[Finding]) -> None:
        if self.stint > _LIMIT.minutes:
            found.append(
                Finding(
                    Rule.BREAK, _LIMIT.article, self.start, self.end, self.over_at, self.stint,
                    _LIMIT.minutes, _LIMIT.severity(self.stint), self.assumed,
                    "driving, or what broke up a break, is inferred in part" if self.assumed else "",
                )
            )  # fmt: skip
        self.stint = 0
        self.has_first_part = self.assumed = False


def _crew_break(stretch: Stretch) -> Finding:
    return Finding(
        Rule.CREW_BREAK, "7, third paragraph", stretch.start, stretch.end, stretch.start, stretch.minutes,
        limits.FULL_BREAK, needs_evidence=True,
        reason="co-driver's availability taken as the break: he must not have assisted the driver",
    )  # fmt: skip
