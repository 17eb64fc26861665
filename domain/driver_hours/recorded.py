"""From what was sent, by the second and in any order, to activities on the minute grid.

A report is left out, by name, where its own times cannot be: `ends_before_start`, `before_tachographs` (clocks that
were reset: 1970), `in_future` (beyond the time at which it was sent). The same activity sent again, of the same start,
kind, origin and vehicle, replaces what was sent before: one with an end the one without, else the later sent one
(`sent_again`). That is how an open activity gets its end.

What overlaps an earlier start is kept and counted, as `in_two_vehicles` where both name a vehicle and not the same
one, else as `overlaps`; `timeline.tidy` settles who wins. An open activity goes on until the next one starts: unless
it is rest at most 24 h, since nobody works that long (`left_open`).

Every decision looks at reports that start no later than the one it is about, or at the start of the next: so a history
may be cut at any time, and what starts before the cut is judged alike without the rest.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from domain.driver_hours.model import DRIVING, REST, UNKNOWN, Activity, Kind, Origin
from domain.driver_hours.timeline import tidy

# 2006-05-01, the first day of digital tachographs (Reg. (EC) 561/2006, Art. 27).
FIRST_TACHOGRAPHS = 1_146_441_600
# Clocks of sender and equipment may differ by so much.
CLOCK_TOLERANCE_S = 600
LONGEST_OPEN_S = 86_400
_MINUTE = 60
_OPENLY_LONG = (REST, UNKNOWN)


class Fault(StrEnum):
    """What is wrong with a report; of the last three some or all of its time still counts."""

    ENDS_BEFORE_START = "ends_before_start"
    BEFORE_TACHOGRAPHS = "before_tachographs"
    IN_FUTURE = "in_future"
    SENT_AGAIN = "sent_again"
    LEFT_OPEN = "left_open"
    OVERLAPS = "overlaps"
    IN_TWO_VEHICLES = "in_two_vehicles"


LEFT_OUT = (Fault.ENDS_BEFORE_START, Fault.BEFORE_TACHOGRAPHS, Fault.IN_FUTURE, Fault.SENT_AGAIN)


class Report(NamedTuple):
    """One activity as it was sent; times are seconds since 1970-01-01T00:00Z, `end` is None while it goes on."""

    start: int
    end: int | None
    kind: Kind
    crew: bool
    origin: Origin
    recorded: int
    event_id: str
    vehicle_id: str | None


class Faulty(NamedTuple):
    """A report's fault, and from when it shows: its own start, or that of the report that reveals it."""

    event_id: str
    fault: Fault
    start: int
    known: int


class Sifted(NamedTuple):
    """Reports that count, by start, with how long each lasts, and what is wrong with others and some of them."""

    reports: list[Report]
    faulty: list[Faulty]


def sift(reports: Iterable[Report]) -> Sifted:
    """Leave out what cannot be or was replaced, close what was left open; by start."""
    faulty: list[Faulty] = []
    kept: list[Report] = []
    for report in sorted(reports, key=_rank):
        fault = _own_fault(report)
        if fault:
            faulty.append(Faulty(report.event_id, fault, report.start, report.start))
        elif kept and _is_same(kept[-1], report):
            faulty.append(Faulty(kept[-1].event_id, Fault.SENT_AGAIN, report.start, report.start))
            kept[-1] = report
        else:
            kept.append(report)
    closed = list(_closed(kept, faulty))
    _find_overlaps(closed, faulty)
    return Sifted(closed, faulty)


def activities(reports: Sequence[Report], begin: int | None = None) -> list[Activity]:
    """Return sifted reports as activities in whole minutes; see `to_minutes`."""
    lines = (Activity(r.start, _end(r), r.kind, r.crew, r.origin) for r in reports)
    return to_minutes(lines, begin)


def to_minutes(reported: Iterable[Activity], begin: int | None = None) -> list[Activity]:
    """Return activities whose times are seconds as ones whose times are minutes: Annex IC, req. 050 to 052.

    A minute takes its longest continuous activity, of equals the latest; one between two of driving is driving. Time
    that nothing was reported for takes part in that, and is left out of the answer. `begin`: a whole minute, in
    seconds; what lies before it is left out, and nothing reported from it on is such time.
    """
    base = _merged_minutes(_without_gaps(tidy(reported).activities, begin))
    found = []
    for place, (start, end, run) in enumerate(base):
        if end - start == 1 and 0 < place < len(base) - 1 and (run is None or run.kind is not DRIVING):
            before, after = base[place - 1][2], base[place + 1][2]
            if before is not None and after is not None and before.kind is DRIVING and after.kind is DRIVING:
                run = before
        if run is not None:
            found.append(run._replace(start=start, end=end))
    return found


# Start, end, and what was reported for it: None for a gap.
Run = tuple[int, int, Activity | None]


def _without_gaps(ordered: list[Activity], begin: int | None) -> Iterator[Run]:
    end = begin
    for run in ordered:
        start = run.start if begin is None else max(run.start, begin)
        if start >= run.end:
            continue
        if end is not None and start > end:
            yield end, start, None
        yield start, run.end, run
        end = run.end


def _merged_minutes(runs: Iterable[Run]) -> list[Run]:
    """Return runs of whole minutes, before requirement 051."""
    minutes: list[Run] = []
    parts: list[Run] = []
    for start, end, run in runs:
        if start % _MINUTE:
            cut = min(end, (start // _MINUTE + 1) * _MINUTE)
            parts.append((start, cut, run))
            start = cut
            if start % _MINUTE == 0:
                minutes.append(_longest(parts))
                parts = []
        last_whole = end // _MINUTE * _MINUTE
        if start < last_whole:
            minutes.append((start // _MINUTE, last_whole // _MINUTE, run))
            start = last_whole
        if start < end and start % _MINUTE == 0:
            parts = [(start, end, run)]
    if parts:
        minutes.append(_longest(parts))
    return minutes


def _longest(parts: list[Run]) -> Run:
    """Return the minute as its longest continuous kind has it."""
    joined: list[Run] = []
    for start, end, run in parts:
        if joined and _kind(joined[-1][2]) is _kind(run):
            joined[-1] = (joined[-1][0], end, run)
        else:
            joined.append((start, end, run))
    place = max(range(len(joined)), key=lambda one: (joined[one][1] - joined[one][0], one))
    minute = parts[0][0] // _MINUTE
    return minute, minute + 1, joined[place][2]


def _kind(run: Activity | None) -> Kind | None:
    return run.kind if run else None


def _rank(report: Report) -> tuple[int, Kind, Origin, str, bool, int, str]:
    """Order by start; of the same activity sent again the one that holds comes last."""
    return (
        report.start, report.kind, report.origin, report.vehicle_id or "", report.end is not None, report.recorded,
        report.event_id,
    )  # fmt: skip


def _is_same(before: Report, report: Report) -> bool:
    return _rank(before)[:4] == _rank(report)[:4]


def _own_fault(report: Report) -> Fault | None:
    if report.start < FIRST_TACHOGRAPHS:
        return Fault.BEFORE_TACHOGRAPHS
    if max(report.start, report.end or 0) > report.recorded + CLOCK_TOLERANCE_S:
        return Fault.IN_FUTURE
    if report.end is not None and report.end <= report.start:
        return Fault.ENDS_BEFORE_START
    return None


def _closed(kept: Sequence[Report], faulty: list[Faulty]) -> Iterator[Report]:
    """Close open reports at the next start; the last stays open."""
    for place, report in enumerate(kept):
        later = (
            after.start for after in itertools.islice(kept, place + 1, None) if after.start > report.start
        )
        following = None if report.end is not None else next(later, None)
        if following is None:
            yield report
            continue
        longest = report.start + LONGEST_OPEN_S
        if report.kind not in _OPENLY_LONG and following > longest:
            faulty.append(Faulty(report.event_id, Fault.LEFT_OPEN, report.start, following))
            following = longest
        yield report._replace(end=following)


def _end(report: Report) -> int:
    """Return the end; of what still goes on, when it was last heard of, and a minute at least."""
    if report.end is not None:
        return report.end
    heard = max(report.recorded, report.start + _MINUTE)
    return heard if report.kind in _OPENLY_LONG else min(heard, report.start + LONGEST_OPEN_S)


def _find_overlaps(closed: Sequence[Report], faulty: list[Faulty]) -> None:
    """Name each report that starts while an earlier one lasts."""
    lasting: list[Report] = []
    for report in closed:
        lasting = [before for before in lasting if _end(before) > report.start]
        if lasting:
            vehicles = {before.vehicle_id for before in lasting} - {None, report.vehicle_id}
            fault = Fault.IN_TWO_VEHICLES if vehicles and report.vehicle_id else Fault.OVERLAPS
            faulty.append(Faulty(report.event_id, fault, report.start, report.start))
        lasting.append(report)
