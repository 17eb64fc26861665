"""Lines of activities for tests: words as `D270 R45`, one after the other from Monday 2026-01-05 00:00 UTC."""

from __future__ import annotations

from collections.abc import Iterable

from domain.driver_hours import Activity, Finding, Kind, Origin, Rule, evaluate

MONDAY = 29_459_520
HOUR = 60
DAY = 24 * HOUR
WEEK = 7 * DAY
KINDS = {
    "D": Kind.DRIVING, "W": Kind.OTHER_WORK, "A": Kind.AVAILABILITY, "R": Kind.REST, "U": Kind.UNKNOWN,
}  # fmt: skip


def line(words: str, offset: int = 0) -> list[Activity]:
    """Read words of letter, minutes and marks.

    A small letter is with a second driver; `!` is inferred, `~` on a ferry, `x` out of scope.
    """
    laid, now = [], MONDAY + offset
    for word in words.split():
        marks = word.lstrip("DWARUdwaru0123456789")
        letter, minutes = word[0], int(word[1 : len(word) - len(marks)])
        origin = Origin.INFERRED if "!" in marks else Origin.TACHOGRAPH
        kind = KINDS[letter.upper()]
        laid.append(
            Activity(now, now + minutes, kind, letter.islower(), origin, "x" in marks, "~" in marks)
        )  # fmt: skip
        now += minutes
    return laid


def of(words: str, *rules: Rule, offset: int = 0) -> list[Finding]:
    """Return the findings of some rules."""
    return [finding for finding in evaluate(line(words, offset)).findings if finding.rule in rules]


def short(findings: Iterable[Finding]) -> list[tuple[int, int, int, str | None]]:
    """Return (at from Monday, measured, limit, severity) of findings."""
    return [(f.at - MONDAY, f.measured, f.limit, f.severity.value if f.severity else None) for f in findings]
