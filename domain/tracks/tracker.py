"""From raw fixes to segments, batch after batch: what to hand over between batches, and what late fixes may change.

For each vehicle there is a time up to which it is settled: its newest fix less the lateness. Fixes behind it are
settled once, in order; newer ones wait, raw. So any split and any order of arrival gives the same segments, as long
as no fix comes later than the lateness; one that does is counted as LATE and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from domain.tracks.cleaning import LAST_US, US, Track, count_rules, judge_rows, judge_tracks
from domain.tracks.days import Midnights
from domain.tracks.fixes import Fixes, order
from domain.tracks.legs import Carry, make_legs
from domain.tracks.rules import CleaningRules, Rule, TripRules
from domain.tracks.segments import Parts, make_parts, resolve
from domain.tracks.table import Flags, Ints, Table, starts_of


@dataclass(frozen=True)
class Settled(Table):
    """The time up to which each vehicle is settled, inclusive; one row a vehicle, sorted."""

    vehicle: Ints
    until_us: Ints


@dataclass(frozen=True)
class State:
    """What a tracker hands over from batch to batch: plain tables, all of bounded size but `waiting`.

    Attributes:
        settled: how far each vehicle is settled.
        waiting: raw fixes that are newer than that.
        candidates: settled in time, but not yet trusted (at most `jump_confirm` - 1 a vehicle).
        carry: the last trusted fix of each vehicle.
        parts: the open end of each vehicle's segments.
        counts: settled fixes by rule, since the start.
    """

    settled: Settled = field(default_factory=Settled.empty)
    waiting: Fixes = field(default_factory=Fixes.empty)
    candidates: Fixes = field(default_factory=Fixes.empty)
    carry: Carry = field(default_factory=Carry.empty)
    parts: Parts = field(default_factory=Parts.empty)
    counts: dict[str, int] = field(default_factory=lambda: count_rules(np.empty(0, np.int64)))


@dataclass(frozen=True)
class Verdicts(Table):
    """What became of fixes: the `Rule` of each, `KEPT` among them."""

    vehicle: Ints
    fixed_at_us: Ints
    rule: Ints


@dataclass(frozen=True)
class Step:
    """What one batch settled: final parts, trusted fixes and verdicts, each handed out once; and the state after it."""

    state: State
    parts: Parts
    track: Track
    verdicts: Verdicts


@dataclass(frozen=True)
class Tracker:
    """The rules and the calendar by which tracks are followed."""

    midnights: Midnights
    cleaning: CleaningRules = field(default_factory=CleaningRules)
    trips: TripRules = field(default_factory=TripRules)

    def advance(self, state: State, fixes: Fixes, *, closing: bool = False) -> Step:
        """Take a batch of fixes, in any order, and settle what is older than the lateness.

        `closing` says that nothing follows, for any vehicle: everything is settled, and the state's end is final.

        Raises:
            ValueError: a settled fix lies outside of the midnights' days.
        """
        rule = judge_rows(fixes, self.cleaning)
        good = rule == Rule.KEPT
        rule[good & (fixes.fixed_at_us <= _until(state.settled, fixes.vehicle))] = Rule.LATE
        waiting = Fixes.concat([state.waiting, fixes.take(rule == Rule.KEPT)])
        settled = self._settle_times(state.settled, waiting, closing)
        due = waiting.fixed_at_us <= _until(settled, waiting.vehicle)
        removed = _verdicts(fixes, rule, rule != Rule.KEPT)
        counts = _added(state.counts, count_rules(removed.rule))
        state = replace(state, settled=settled, waiting=waiting.take(~due), counts=counts)
        step = self._settle(state, waiting.take(due), closing)
        return replace(step, verdicts=Verdicts.concat([removed, step.verdicts]))

    def view(self, state: State) -> Parts:
        """Return the open parts as they stand, with everything that waits; each later batch may replace all of them."""
        return self.advance(state, Fixes.empty(), closing=True).parts

    def _settle_times(self, settled: Settled, waiting: Fixes, closing: bool) -> Settled:
        if not len(waiting):
            return settled
        at = np.argsort(waiting.vehicle, kind="stable")
        vehicles = waiting.vehicle[at]
        starts = starts_of(vehicles)
        newest = np.maximum.reduceat(waiting.fixed_at_us[at], starts)
        until = newest if closing else newest - int(self.trips.lateness_s * US)
        known = Settled.concat([settled, Settled(vehicles[starts], until)])
        # The later row of a vehicle that has two is the new one; time never goes back.
        known = known.take(np.lexsort((known.until_us, known.vehicle)))
        last = np.append(known.vehicle[1:] != known.vehicle[:-1], True)
        return known.take(last)

    def _settle(self, state: State, due: Fixes, closing: bool) -> Step:
        rows = Fixes.concat([state.candidates, due])
        rows = rows.take(order(rows))
        judged = judge_tracks(rows, state.carry, self.cleaning, closing=closing)
        decided = np.ones(len(rows), np.bool_)
        decided[judged.undecided] = False
        legs, carry = make_legs(judged.track, state.carry, self.cleaning, self.trips)
        parts = Parts.concat([state.parts, make_parts(legs, self.midnights)])
        parts = parts.take(np.lexsort((parts.start_us, parts.vehicle))) if len(state.parts) else parts
        resolved = resolve(parts, self.trips, closing=closing)
        state = replace(
            state,
            candidates=rows.take(judged.undecided),
            carry=carry,
            parts=resolved.open,
            counts=_added(state.counts, count_rules(judged.rule[decided])),
        )
        return Step(state, resolved.final, judged.track, _verdicts(rows, judged.rule, decided))


def _until(settled: Settled, vehicle: Ints) -> Ints:
    """Return the time up to which each of these vehicles is settled; before all times, if it was never seen."""
    if not len(settled):
        return np.full(len(vehicle), -LAST_US)
    at = np.minimum(np.searchsorted(settled.vehicle, vehicle), len(settled) - 1)
    return np.where(settled.vehicle[at] == vehicle, settled.until_us[at], -LAST_US)


def _verdicts(fixes: Fixes, rule: Ints, known: Flags) -> Verdicts:
    return Verdicts(fixes.vehicle[known], fixes.fixed_at_us[known], rule[known])


def _added(counts: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    return {name: counts[name] + more[name] for name in counts}
