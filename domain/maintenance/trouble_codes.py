"""Open trouble codes: spells, severity and recurrence, from what ECUs report as active.

A report is the whole list of active codes of one ECU at one time (DM1 of J1939, or the confirmed codes of OBD-II
service 03): a code that an ECU no longer lists is gone. Lists of past, pending or permanent codes (DM2, services 07
and 0A) are none of these and do not belong here. Everything is computed from all reports of a vehicle, sorted by time
first, so that neither their order nor repeats matter.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum

SAME_SPELL = timedelta(hours=1)
"""A code that is gone for less long flickers (a loose contact): it is the same spell, interrupted."""
SILENT_AFTER = timedelta(days=14)
"""An ECU that reports nothing for longer does not say that its codes are still there."""


class Severity(IntEnum):
    """What a code asks for; ordered, the worst highest."""

    NOTE = 1
    PLAN = 2
    SOON = 3
    STOP = 4


class Lamp(StrEnum):
    """The lamps that a report switches on (SAE J1939-73, 5.7.1)."""

    MALFUNCTION = "malfunction_indicator_lamp"
    RED_STOP = "red_stop_lamp"
    AMBER_WARNING = "amber_warning_lamp"
    PROTECT = "protect_lamp"


@dataclass(frozen=True, slots=True, order=True)
class Code:
    """A trouble code: SPN and FMI of J1939, or the text of OBD-II (P0301); what is not there is -1 or empty."""

    spn: int = -1
    fmi: int = -1
    text: str = ""

    def __str__(self) -> str:
        return self.text or f"SPN {self.spn} FMI {self.fmi}"


@dataclass(frozen=True, slots=True)
class Report:
    """The active codes of one ECU (its source address) at one time, with their occurrence counts, and the lit lamps.

    `codes` may be empty: all clear. `listing` tells an ECU's lists apart (dm1, service_03): one says nothing of the
    other's codes. Reports of one list at one time count as one with all of their codes. One that was repeated unchanged
    up to `until` may be given once, with how many `times` in all.
    """

    vehicle_id: str
    ecu: int
    at: datetime
    codes: tuple[tuple[Code, int | None], ...] = ()
    lamps: frozenset[Lamp] = frozenset()
    listing: str = "dm1"
    until: datetime | None = None
    times: int = 1

    def ends(self) -> Iterator[Report]:
        """Yield the first and the last of the repeated reports, the first standing for all but the last."""
        if self.until is None or self.until <= self.at:
            yield replace(self, until=None)
        else:
            yield replace(self, until=None, times=max(1, self.times - 1))
            yield replace(self, at=self.until, until=None, times=1)


@dataclass(frozen=True, slots=True)
class SeverityRule:
    """A code that matches all that is named has this severity at least; None matches anything."""

    name: str
    severity: Severity
    spns: frozenset[int] | None = None
    fmis: frozenset[int] | None = None
    lamp: Lamp | None = None

    def matches(self, code: Code, lamps: frozenset[Lamp]) -> bool:
        """Tell whether the rule applies to a code of a report with these lamps lit."""
        return (
            (self.spns is None or code.spn in self.spns)
            and (self.fmis is None or code.fmi in self.fmis)
            and (self.lamp is None or self.lamp in lamps)
        )


_HIGH, _LOW = frozenset({0}), frozenset({1})
_VITAL = frozenset({98, 100, 110, 111, 117, 118, 175, 190, 521, 563, 1807})
"""Oil level and pressure, coolant temperature and level, brake circuits 1 and 2, oil temperature, engine speed, pedal,
ABS, steering angle: SPNs of SAE J1939-71."""
RULES: tuple[SeverityRule, ...] = (
    SeverityRule("red_stop_lamp", Severity.STOP, lamp=Lamp.RED_STOP),
    SeverityRule("amber_warning_lamp", Severity.SOON, lamp=Lamp.AMBER_WARNING),
    SeverityRule("malfunction_indicator_lamp", Severity.SOON, lamp=Lamp.MALFUNCTION),
    SeverityRule("protect_lamp", Severity.PLAN, lamp=Lamp.PROTECT),
    SeverityRule(
        "oil_or_coolant_or_brake_pressure_very_low", Severity.STOP, frozenset({98, 100, 111, 117, 118}), _LOW
    ),
    SeverityRule(
        "coolant_or_oil_or_engine_speed_very_high", Severity.STOP, frozenset({110, 175, 190}), _HIGH
    ),
    SeverityRule("vital_system", Severity.SOON, _VITAL),
    SeverityRule("out_of_range_most_severe", Severity.SOON, fmis=frozenset({0, 1})),
    SeverityRule("out_of_range_moderately", Severity.PLAN, fmis=frozenset({16, 18})),
    SeverityRule(
        "electrical_or_mechanical",
        Severity.PLAN,
        fmis=frozenset({2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 19}),
    ),
    SeverityRule("any_code", Severity.NOTE),
)
"""The worst rule that matches counts, the first of equals. Lamps belong to the report and raise each of its codes:
J1939-73 does not say which one lit them, and to understate is worse. What FMIs mean is of J1939-73, appendix A (0 and
1 most severe, 16 and 18 moderately, 15 and 17 least, 2 to 14 and 19 the circuit, the mechanics or the data); what
each then asks for is ours."""


class SpellState(StrEnum):
    """How a spell stands: open, closed by a report without the code, or open in a report too old to say so still."""

    OPEN = "open"
    CLOSED = "closed"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Spell:
    """One time that a code was active: from its first report to the first one without it (`closed_at`, None: none yet).

    `recurrence`: how many spells of this code came before. `interruptions`: how often it was gone for less than an
    hour. `occurrences`: the highest count that the ECU gave itself. `rule`: the one that the severity comes from.
    """

    vehicle_id: str
    ecu: int
    listing: str
    code: Code
    opened_at: datetime
    last_seen_at: datetime
    closed_at: datetime | None
    state: SpellState
    severity: Severity
    rule: str
    reports: int
    interruptions: int
    recurrence: int
    occurrences: int | None

    def age(self, now: datetime) -> timedelta:
        """Return how long it has been, or was, active; never negative."""
        return max(timedelta(0), (self.closed_at or now) - self.opened_at)


@dataclass(slots=True)
class _Sighting:
    """One instant at which an ECU listed a code, or did not (`severity` None)."""

    at: datetime
    severity: tuple[Severity, str] | None
    occurrences: int | None
    reports: int


_Lists = tuple[str, int, str]
"""Vehicle, ECU and which of its lists."""


def find_spells(
    reports: Iterable[Report], now: datetime, rules: Sequence[SeverityRule] = RULES
) -> list[Spell]:
    """Return every spell up to `now`, by vehicle, ECU, list, code and time; later reports are passed over.

    Raises:
        ValueError: no rule matches a code; a table ends with one that matches any.
    """
    by_ecu: dict[_Lists, dict[datetime, list[Report]]] = defaultdict(lambda: defaultdict(list))
    for report in itertools.chain.from_iterable(one.ends() for one in reports):
        if report.at <= now:
            by_ecu[report.vehicle_id, report.ecu, report.listing][report.at].append(report)
    return [spell for lists in sorted(by_ecu) for spell in _spells_of(lists, by_ecu[lists], now, rules)]


def _spells_of(
    lists: _Lists,
    instants: dict[datetime, list[Report]],
    now: datetime,
    rules: Sequence[SeverityRule],
) -> Iterator[Spell]:
    times = sorted(instants)
    merged = {at: _merged(instants[at]) for at in times}
    is_silent = now - times[-1] > SILENT_AFTER
    for code in sorted({code for codes, _ in merged.values() for code in codes}):
        sightings = []
        for at in times:
            codes, lamps = merged[at]
            severity = judge_severity(code, lamps, rules) if code in codes else None
            times_listed = max(one.times for one in instants[at])
            sightings.append(_Sighting(at, severity, codes.get(code), times_listed))
        for recurrence, group in enumerate(_groups(sightings)):
            yield _spell(lists, code, group, recurrence, is_silent)


def _merged(reports: Sequence[Report]) -> tuple[dict[Code, int | None], frozenset[Lamp]]:
    """Return all codes of one instant with their highest counts, and all lamps."""
    codes: dict[Code, int | None] = {}
    for report in reports:
        for code, count in report.codes:
            codes[code] = max((one for one in (codes.get(code), count) if one is not None), default=None)
    return codes, frozenset().union(*(report.lamps for report in reports))


def judge_severity(
    code: Code, lamps: frozenset[Lamp], rules: Sequence[SeverityRule] = RULES
) -> tuple[Severity, str]:
    """Return a code's severity in a report with these lamps, and the name of the rule that it comes from."""
    matching = [rule for rule in rules if rule.matches(code, lamps)]
    if not matching:
        raise ValueError(f"no rule of severity for {code}")
    worst = max(matching, key=lambda rule: rule.severity)
    return worst.severity, worst.name


def _groups(sightings: Sequence[_Sighting]) -> Iterator[list[_Sighting]]:
    """Yield the sightings of each spell: from the first with the code to those without it that close it."""
    group: list[_Sighting] = []
    gone_at: datetime | None = None
    for one in sightings:
        if one.severity is None:
            if group:
                group.append(one)
                gone_at = gone_at or one.at
            continue
        if gone_at is not None and one.at - gone_at >= SAME_SPELL:
            yield group
            group = []
        group.append(one)
        gone_at = None
    if group:
        yield group


def _spell(lists: _Lists, code: Code, group: Sequence[_Sighting], recurrence: int, is_silent: bool) -> Spell:
    seen = [one for one in group if one.severity is not None]
    last = group.index(seen[-1])
    closed_at = group[last + 1].at if last + 1 < len(group) else None
    severity, rule = max((one.severity for one in seen if one.severity), key=lambda pair: pair[0])
    gaps = sum(
        before.severity is not None and after.severity is None
        for before, after in itertools.pairwise(group[: last + 1])
    )
    open_state = SpellState.SILENT if is_silent else SpellState.OPEN
    return Spell(
        vehicle_id=lists[0],
        ecu=lists[1],
        listing=lists[2],
        code=code,
        opened_at=group[0].at,
        last_seen_at=seen[-1].at,
        closed_at=closed_at,
        state=open_state if closed_at is None else SpellState.CLOSED,
        severity=severity,
        rule=rule,
        reports=sum(one.reports for one in seen),
        interruptions=gaps,
        recurrence=recurrence,
        occurrences=max((one.occurrences for one in seen if one.occurrences is not None), default=None),
    )
