"""One driver's fold: from a kept state and what was reported since to findings, days, warnings, and new states.

A state is kept as of an instant: the start of a report, or a Monday 00:00 UTC. It tells of every report that starts
before then, and only of these. The engine's part of it ends two minutes earlier: a report can still change the minute
before the one it starts in (2016/799 Annex IC, req. 051). Reports that reach beyond that are carried beside it.

What is found becomes known with the start of the activity that made it certain. So what a state kept as of some time
has found already is what is known before that time's engine part ends, and the rest is found again by whoever goes on
from there: the same rows, whichever state is gone back to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from domain.driver_hours import codec
from domain.driver_hours.engine import Outcome, State
from domain.driver_hours.model import Activity, DriverDay, Finding, Kind, Minute, Origin, week_of, week_start
from domain.driver_hours.recorded import Faulty, Report, activities, sift
from domain.driver_hours.standing import Standing, phases
from domain.driver_hours.timeline import stretch_of
from domain.driver_hours.warned import Warned

FOLD = "driver_hours"
# Raised with the shape of what is kept here, or with codec.VERSION.
VERSION = 100 + codec.VERSION
_MINUTE = 60
_UNSETTLED_MINUTES = 2
_KINDS, _ORIGINS = tuple(Kind), tuple(Origin)


class Kept(NamedTuple):
    """A state to go on from, the second that it stands at, and the reports that reach beyond it."""

    as_of: int
    state: State
    carried: list[Report]


class Known(NamedTuple):
    """What was found, and from which minute on it was certain; `is_open`: only if nothing more follows."""

    known: Minute
    is_open: bool
    found: Finding | DriverDay | Warned


class Folded(NamedTuple):
    """What a driver's history comes to from the minute `since` on, and the states to keep.

    Faults are those that show from the second `faults_since` on; `head_at` is the second in which the newest report
    starts, `head` the standings from the last activity's end on.
    """

    since: Minute
    faults_since: int
    known: list[Known]
    faulty: list[Faulty]
    states: list[tuple[int, bytes]]
    head_at: int
    head: list[Standing]
    believed_until: Minute | None


def settled_minute(as_of: int) -> Minute:
    """Return the minute before which nothing changes any more by reports that start at a second or later."""
    return as_of // _MINUTE - _UNSETTLED_MINUTES


def pack(kept: Kept) -> bytes:
    """Return a state as bytes."""
    return msgspec.msgpack.encode([codec.dump(kept.state), [_plain(report) for report in kept.carried]])


def unpack(as_of: int, content: bytes) -> Kept:
    """Return the state that was packed.

    Raises:
        CodecError: the content is of another version.
    """
    state, reports = msgspec.msgpack.decode(content)
    return Kept(as_of, codec.load(state), [_report(row) for row in reports])


def _plain(report: Report) -> list[Any]:
    fields = report._asdict()
    fields |= {"kind": _KINDS.index(report.kind), "origin": _ORIGINS.index(report.origin)}
    return list(fields.values())


def _report(row: list[Any]) -> Report:
    return Report(*row)._replace(kind=_KINDS[row[2]], origin=_ORIGINS[row[4]])


def fold(kept: Kept | None, reports: Iterable[Report]) -> Folded:
    """Go on from a kept state, or from the beginning, over all reports that start since."""
    carried = kept.carried if kept else []
    sent = [*carried, *reports]
    sifted = sift(sent)
    starts = [report.start for report in sifted.reports]
    begin = kept.as_of if kept else min((report.start for report in sent), default=0)
    since, head = settled_minute(begin), max(starts, default=begin)
    line = [
        activity._replace(start=max(activity.start, since))
        for activity in activities(sifted.reports, (since - 1) * _MINUTE)
        if activity.end > since
    ]
    run = _Run(kept.state.snapshot() if kept else State(), sent, sifted.reports)
    run.go(line, list(_cuts(begin, head)))
    known = run.known + _still_open(run.state, max(since, head // _MINUTE, *(a.start for a in line[-1:])))
    standings, believed_until = phases(run.state)
    faulty = [fault for fault in sifted.faulty if kept is None or fault.known >= begin]
    return Folded(since, begin, known, faulty, run.states, head, standings, believed_until)


def _cuts(begin: int, head: int) -> Iterator[int]:
    """Return when to keep states: at each Monday 00:00 that was passed, and at the last report's start."""
    week = week_of(begin // _MINUTE) + 1
    while week_start(week) * _MINUTE < head:
        if week_start(week) * _MINUTE > begin:
            yield week_start(week) * _MINUTE
        week += 1
    yield head


class _Run:
    """The engine's way over a line of activities, with states kept at cuts."""

    def __init__(self, state: State, sent: Sequence[Report], counted: Sequence[Report]) -> None:
        self.state = state
        self.known: list[Known] = []
        self.states: list[tuple[int, bytes]] = []
        self._sent = {report.event_id: report for report in sent}
        self._counted = counted
        self._outcome = Outcome([], [], [])

    def go(self, line: Iterable[Activity], cuts: list[int]) -> None:
        """Add every activity; keep a state at each cut, before what lies beyond it."""
        for whole in line:
            activity = whole
            while cuts and settled_minute(cuts[0]) < activity.end:
                cut = settled_minute(cuts[0])
                if activity.start < cut:
                    self._add(activity._replace(end=cut))
                    activity = activity._replace(start=cut)
                self._keep(cuts.pop(0))
            self._add(activity)
        for cut in cuts:
            self._keep(cut)

    def _add(self, activity: Activity) -> None:
        outcome = self._outcome
        self.state.add(stretch_of(activity), outcome)
        if outcome.findings or outcome.days or outcome.warnings:
            self.known += _known(outcome, activity.start, is_open=False)
            self._outcome = Outcome([], [], [])

    def _keep(self, as_of: int) -> None:
        before = [report for report in self._counted if report.start < as_of]
        reach = (settled_minute(as_of) - 1) * _MINUTE
        last = before[-1].start if before else as_of
        carried = [
            self._sent[report.event_id]
            for report in before
            if report.end is None or report.end > reach or report.start == last
        ]
        self.states.append((as_of, pack(Kept(as_of, self.state, carried))))


def _known(outcome: Outcome, known: Minute, *, is_open: bool) -> list[Known]:
    found = (*outcome.findings, *outcome.days, *(outcome.warnings or ()))
    return [Known(known, is_open, one) for one in found]


def _still_open(state: State, known: Minute) -> list[Known]:
    outcome = Outcome([], [], [])
    state.snapshot().finish(outcome)
    return _known(outcome, known, is_open=True)
