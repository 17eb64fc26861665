"""Cases in the shape of the shared example vectors: one rule each, times in minutes from the case's own origin.

A case names its `rule`; the others are not reported. `activities` are `[letter, minutes]` or `[letter, minutes,
flag, ...]`, one after the other from `start_offset_min`. The answer has the shape and the fields of the case's
`expect`. What data alone cannot prove is kept apart, under `needs_evidence`, and only where there is some.

Instead of such rows `activities` may be objects with the fields of the driver_activity feed, in any order and to the
second: `activity`, `started_at`, `ended_at` (none while it goes on), `crew`, `origin`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from domain.driver_hours import us
from domain.driver_hours.engine import evaluate
from domain.driver_hours.minute import whole_minutes
from domain.driver_hours.model import (
    Activity,
    Finding,
    Kind,
    Minute,
    Origin,
    Rule,
    minute_of,
    week_of,
    week_start,
)
from domain.driver_hours.recorded import Report, activities, sift
from domain.driver_hours.weekly_rest import WeeklyRests

Answer = dict[str, Any]
Named = TypeVar("Named")
_LETTERS = {
    "D": Kind.DRIVING, "W": Kind.OTHER_WORK, "A": Kind.AVAILABILITY, "R": Kind.REST, "U": Kind.UNKNOWN,
}  # fmt: skip
_LETTER_OF = {kind: letter for letter, kind in _LETTERS.items()}
_LETTERS["?"] = Kind.UNKNOWN
_NAMES = _LETTERS | {kind.value: kind for kind in Kind} | {"break": Kind.REST, "break/rest": Kind.REST}
_FLAGS: dict[str, dict[str, Any]] = {
    "single": {"crew": False},
    "crew": {"crew": True},
    "out_of_scope": {"out_of_scope": True},
    "ferry": {"ferry": True},
    "manual": {"origin": Origin.MANUAL},
    "inferred": {"origin": Origin.INFERRED},
}
_DUTIES = {"D": us.Duty.DRIVING, "ON": us.Duty.ON, "OFF": us.Duty.OFF, "SB": us.Duty.BERTH}
_CYCLES = {"60/7": us.SIXTY_IN_SEVEN, "70/8": us.SEVENTY_IN_EIGHT}
_DUTY_NAMES = _DUTIES | {duty.value: duty for duty in us.Duty}
_DAILY_RESTS = (Rule.DAILY_REST, Rule.DAILY_REST_MULTI_MANNING)
# What each rule of a case reports, and what it asks evidence for.
_FAMILIES: dict[str, tuple[tuple[Rule, ...], tuple[Rule, ...]]] = {
    "BREAK": ((Rule.BREAK,), (Rule.CREW_BREAK, Rule.UNPROVEN_REST)),
    "DAILY_DRIVING": ((Rule.DAILY_DRIVING,), (Rule.UNPROVEN_REST,)),
    "WEEKLY": ((Rule.WEEKLY_DRIVING, Rule.FORTNIGHTLY_DRIVING), ()),
    "DAILY_REST": (_DAILY_RESTS, (Rule.FERRY_REST, Rule.REDUCED_IN_WEEKLY_REST, Rule.UNPROVEN_REST)),
    "MULTI_MANNING": (_DAILY_RESTS, (Rule.FERRY_REST, Rule.REDUCED_IN_WEEKLY_REST, Rule.UNPROVEN_REST)),
    "WEEKLY_REST": ((Rule.WEEKLY_REST_SPACING,), (Rule.UNPROVEN_REST,)),
}
_LONGEST = 10 * 366 * 1_440
_SHOWN = 60


class CaseError(ValueError):
    """A case that cannot be evaluated; the message is one line and names what is wrong."""


def evaluate_case(case: Any, rules: str = "eu") -> Answer:
    """Evaluate the rule that a case names; return its id and findings.

    Raises:
        CaseError: the case is not of the shape, or its rule is not of `rules` (eu or us).
    """
    if not isinstance(case, dict):
        raise CaseError(f"a case is an object, not {type(case).__name__}")
    ident = case.get("id")
    if not isinstance(ident, str) or not ident:
        raise CaseError("`id` is missing or no text")
    known = _EVALUATORS[rules]
    rule = case.get("rule")
    if not isinstance(rule, str) or rule not in known:
        raise CaseError(f"`rule` {_shown(rule)} is not one of the {rules} rules: {', '.join(sorted(known))}")
    return {"id": ident, **known[rule](case)}


def _eu_rule(case: Mapping[str, Any]) -> Answer:
    origin = _moment(case, "origin_utc")
    violations, reviews = _FAMILIES[case["rule"]]
    found = evaluate(_activities(case, origin)).findings
    answer: Answer = {
        "findings": [
            _fields(finding, origin)
            for finding in found
            if finding.rule in violations and not finding.needs_evidence
        ]
    }
    doubtful = [
        {**_fields(finding, origin), "reason": finding.reason}
        for finding in found
        if finding.needs_evidence and finding.rule in violations + reviews
    ]
    return {**answer, "needs_evidence": doubtful} if doubtful else answer


def _fields(finding: Finding, origin: Minute) -> dict[str, Any]:
    """Return a finding's fields as the vectors have them: each rule has its own."""
    fields: dict[str, Any] = {"rule": finding.rule}
    at = finding.at - origin
    severity = {"severity": finding.severity} if finding.severity else {}
    match finding.rule:
        case Rule.BREAK:
            fields |= {"measured": finding.measured, "excess": finding.excess, **severity, "at": at}
        case Rule.DAILY_DRIVING:
            fields |= {"measured": finding.measured, "limit": finding.limit, **severity, "at": at}
        case Rule.WEEKLY_DRIVING | Rule.FORTNIGHTLY_DRIVING:
            week = week_of(finding.at) - week_of(origin)
            fields |= {"week": week, "measured": finding.measured, "limit": finding.limit, **severity}
        case Rule.WEEKLY_REST_SPACING:
            fields |= {"at": at, "late": finding.excess, **severity}
        case _:
            fields |= {"at": at, "measured": finding.measured, "required": finding.limit, **severity}
    return fields


def _weekly_rest_set(case: Mapping[str, Any]) -> Answer:
    """Judge listed weekly rests over so many weeks from the origin's Monday."""
    origin = week_start(week_of(_moment(case, "origin_utc")))
    weeks = _whole(case, "weeks", 1, 530)
    tracker, found = WeeklyRests(), list[Finding]()
    tracker.begin(origin)
    last = 0
    for start, minutes in _weekly_rests(case):
        last = start + minutes
        tracker.add(origin + start, origin + last, [])
    first = week_of(origin)
    while tracker.week is not None and tracker.week < max(first + weeks, week_of(origin + last) + 1):
        tracker.close_week(found if tracker.week < first + weeks else [])
    patterns = [finding for finding in found if finding.rule is Rule.WEEKLY_REST_PATTERN]
    if any(not finding.needs_evidence for finding in patterns):
        pattern = "violation"
    else:
        pattern = "needs_evidence" if patterns else "ok"
    debts = [
        {
            "week": debt.week - first, "debt_min": debt.minutes,
            "due_min": debt.due - origin, "settled": debt.settled,
        }
        for debt in tracker.debts
    ]  # fmt: skip
    return {"findings": {"pattern": pattern, "debts": debts}}


def _minutes(case: Mapping[str, Any]) -> Answer:
    runs: list[tuple[Kind, int]] = []
    for place, run in enumerate(_list(case, "seconds_rle")):
        runs.append(_pair(run, f"seconds_rle[{place}]", _NAMES))
    return {"findings": [_LETTER_OF[kind] for kind in whole_minutes(runs)]}


def _us_property(case: Mapping[str, Any]) -> Answer:
    origin = _moment(case, "start_utc")
    cycle = case.get("cycle", "70/8")
    if not isinstance(cycle, str) or cycle not in _CYCLES:
        raise CaseError(f"`cycle` {_shown(cycle)} is not one of {', '.join(_CYCLES)}")
    adverse = case.get("adverse_conditions", False)
    if not isinstance(adverse, bool):
        raise CaseError(f"`adverse_conditions` {_shown(adverse)} is neither true nor false")
    statuses, now = [], origin
    for place, row in enumerate(_list(case, "activities")):
        duty, minutes = _pair(row, f"activities[{place}]", _DUTY_NAMES)
        statuses.append(us.Status(now, now + minutes, duty))
        now += minutes
    found = us.evaluate_us(statuses, _CYCLES[cycle], _zone(case), adverse=adverse)
    return {
        "findings": [
            {"type": finding.rule, "at": finding.at - origin, "over_min": finding.excess} for finding in found
        ]
    }


def _activities(case: Mapping[str, Any], origin: Minute) -> list[Activity]:
    now = origin + _whole(case, "start_offset_min", -_LONGEST, _LONGEST, 0)
    rows = _list(case, "activities")
    if rows and all(isinstance(row, dict) for row in rows):
        return activities(
            sift(_report(row, f"activities[{place}]") for place, row in enumerate(rows)).reports
        )
    found = []
    for place, row in enumerate(rows):
        name = f"activities[{place}]"
        kind, minutes = _pair(row, name, _NAMES, flags=True)
        flags: dict[str, Any] = {}
        for flag in row[2:]:
            if not isinstance(flag, str) or flag not in _FLAGS:
                raise CaseError(f"`{name}` has the flag {_shown(flag)}: not one of {', '.join(_FLAGS)}")
            flags |= _FLAGS[flag]
        found.append(Activity(now, now + minutes, kind, **flags))
        now += minutes
    return found


def _report(row: Mapping[str, Any], name: str) -> Report:
    """Read an activity with the fields of the driver_activity feed."""
    start = _second(row, "started_at", name)
    end = None if row.get("ended_at") is None else _second(row, "ended_at", name)
    recorded = (
        max(start, end or start) if row.get("recorded_at") is None else _second(row, "recorded_at", name)
    )
    kind, origin = row.get("activity"), row.get("origin", "tachograph")
    if not isinstance(kind, str) or kind not in _NAMES:
        raise CaseError(f"`{name}` has the activity {_shown(kind)}: not one of {', '.join(Kind)}")
    if not isinstance(origin, str) or origin not in tuple(Origin):
        raise CaseError(f"`{name}` has the origin {_shown(origin)}: not one of {', '.join(Origin)}")
    if row.get("crew", "single") not in ("single", "crew", None):
        raise CaseError(f"`{name}` has the crew {_shown(row['crew'])}: not one of single, crew")
    return Report(start, end, _NAMES[kind], row.get("crew") == "crew", Origin(origin), recorded, name, None)


def _second(row: Mapping[str, Any], field: str, name: str) -> int:
    value = row.get(field)
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        if moment.tzinfo is not None:
            return int(moment.timestamp() // 1)
    except (ValueError, OverflowError):
        pass
    raise CaseError(f"`{name}.{field}` {_shown(value)} is no time with a zone, as 2026-01-05T00:00:00Z")


def _weekly_rests(case: Mapping[str, Any]) -> list[tuple[int, int]]:
    rests = []
    end = None
    for place, rest in enumerate(_list(case, "weekly_rests")):
        if not isinstance(rest, dict):
            raise CaseError(f"`weekly_rests[{place}]` is no object")
        start = _whole(rest, "start_min", -_LONGEST, _LONGEST)
        minutes = _whole(rest, "minutes", 1, _LONGEST)
        if end is not None and start < end:
            raise CaseError(f"`weekly_rests[{place}]` starts before the end of the one before")
        end = start + minutes
        rests.append((start, minutes))
    return rests


def _pair(row: Any, name: str, names: Mapping[str, Named], flags: bool = False) -> tuple[Named, int]:
    if not isinstance(row, list) or len(row) < 2 or (len(row) > 2 and not flags):
        raise CaseError(f"`{name}` is not [letter, length]")
    word, length = row[0], row[1]
    known = names.get(word, names.get(word.lower())) if isinstance(word, str) else None
    if known is None:
        raise CaseError(f"`{name}` has the activity {_shown(word)}: not one of {', '.join(names)}")
    if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= _LONGEST:
        raise CaseError(f"`{name}` has the length {_shown(length)}: not a whole number from 0 on")
    return known, length


def _list(case: Mapping[str, Any], name: str) -> list[Any]:
    value = case.get(name)
    if not isinstance(value, list):
        raise CaseError(f"`{name}` is missing or no list")
    return value


def _whole(case: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    value = case.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CaseError(f"`{name}` is {_shown(value)}: not a whole number from {low} to {high}")
    return value


def _moment(case: Mapping[str, Any], name: str) -> Minute:
    value = case.get(name)
    if not isinstance(value, str):
        raise CaseError(f"`{name}` is missing or no text")
    try:
        return minute_of(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        raise CaseError(f"`{name}` {_shown(value)} is no time with a zone, as 2026-01-05T00:00:00Z") from None


def _shown(value: Any) -> str:
    """Return a value as a message shows it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _zone(case: Mapping[str, Any]) -> ZoneInfo:
    name = case.get("zone", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise CaseError(f"`zone` {_shown(name)} is no IANA zone, as America/Chicago") from None


_EVALUATORS: dict[str, dict[str, Callable[[Mapping[str, Any]], Answer]]] = {
    "eu": {
        **dict.fromkeys(_FAMILIES, _eu_rule),
        "WEEKLY_REST_SET": _weekly_rest_set,
        "MINUTE": _minutes,
    },
    "us": {"US_PROPERTY": _us_property},
}
