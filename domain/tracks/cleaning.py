"""Cleaning: raw fixes in, a track out, and for every fix the rule that removed it.

What a fix says by itself is judged first (`judge_rows`), then what it says beside the others of its vehicle
(`judge_tracks`): duplicates, jumps, drift. Drift takes a fix its place and not its time: it stays in the track, where
the vehicle stands, so that standing is not silence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.tracks.drift import Held, hold_still
from domain.tracks.fixes import UNKNOWN, Fixes, order
from domain.tracks.jumps import Reach, Verdicts, find_jumps
from domain.tracks.rules import CleaningRules, Rule
from domain.tracks.table import Flags, Floats, Ints, Table, sizes_of, starts_of

US = 1_000_000
# Beyond this, differences of two times could leave 64 bits.
LAST_US = 2**62


@dataclass(frozen=True)
class Track(Table):
    """Trusted fixes, sorted by vehicle and time; at most one a time unless the duplicate rule is off.

    `lat`, `lon` are where the vehicle counts as being, `seen_lat`, `seen_lon` what the receiver said; they differ in
    drift alone. `after_jump` marks the first fix at a place that no speed explains.
    """

    vehicle: Ints
    fixed_at_us: Ints
    lat: Floats
    lon: Floats
    seen_lat: Floats
    seen_lon: Floats
    after_jump: Flags
    speed_kmh: Floats
    odometer_km: Floats
    ignition: Ints
    driver: Ints
    zone: Ints


@dataclass(frozen=True)
class Cleaned:
    """A track, and the `Rule` of every input fix, in the order of the input."""

    track: Track
    rule: Ints

    @property
    def counts(self) -> dict[str, int]:
        """Fixes by rule; they add up to the input."""
        return count_rules(self.rule)


def count_rules(rule: Ints) -> dict[str, int]:
    """Count fixes by rule, every rule named."""
    counted = np.bincount(rule, minlength=len(Rule)).tolist()
    return {each.name.lower(): counted[each] for each in Rule}


def clean(fixes: Fixes, rules: CleaningRules | None = None) -> Cleaned:
    """Clean all that is known of some vehicles, at once.

    The order of the fixes changes nothing. If no `jump_confirm` fixes of a vehicle agree, the last ones that do are
    trusted: one fix is better than none.
    """
    rules = rules or CleaningRules()
    rule = judge_rows(fixes, rules)
    good = np.flatnonzero(rule == Rule.KEPT)
    at = good[order(fixes.take(good))]
    judged = judge_tracks(fixes.take(at), Track.empty(), rules, closing=True)
    rule[at] = judged.rule
    return Cleaned(judged.track, rule)


def judge_rows(fixes: Fixes, rules: CleaningRules) -> Ints:
    """Return the `Rule` that removes each fix for what it says by itself, or KEPT."""
    lat, lon, times = fixes.lat, fixes.lon, fixes.fixed_at_us
    # Differences as floats: times out of all range must not wrap around.
    age_s = (fixes.recorded_at_us.astype(np.float64) - times.astype(np.float64)) / US
    # NaN fails every comparison, so it is invalid too.
    valid = (np.abs(lat) <= 90) & (np.abs(lon) <= 180) & (times > -LAST_US) & (times < LAST_US)
    judged = [(~valid, Rule.INVALID)]
    if rules.future_after_s is not None:
        judged.append((-age_s > rules.future_after_s, Rule.FUTURE))
    if rules.outdated_after_s is not None:
        judged.append((age_s > rules.outdated_after_s, Rule.OUTDATED))
    if (near := rules.zero_within_deg) is not None:
        judged.append(((np.abs(lat) <= near) & (np.abs(lon) <= near), Rule.ZERO))
    if rules.accuracy_over_m is not None:
        judged.append((fixes.accuracy_m > rules.accuracy_over_m, Rule.ACCURACY))
    rule = np.full(len(fixes), int(Rule.KEPT), np.int64)
    for removed, name in reversed(judged):
        rule[removed] = int(name)
    return rule


@dataclass(frozen=True)
class Judged:
    """The rule of each fix that was handed in, the track that is left, and the rows that wait for others."""

    rule: Ints
    track: Track
    undecided: Ints


def judge_tracks(fixes: Fixes, known: Track, rules: CleaningRules, *, closing: bool) -> Judged:
    """Judge fixes, in their order, that follow on `known`, the last trusted fix of each vehicle already seen.

    `closing` says that nothing follows: the candidates of a vehicle without any trusted fix are trusted, others are
    jumps.
    Otherwise the candidates are undecided, and must be handed in again before what follows.
    """
    rule = np.full(len(fixes), int(Rule.KEPT), np.int64)
    if rules.duplicate:
        rule[_repeats(fixes)] = int(Rule.DUPLICATE)
    single = np.flatnonzero(rule == Rule.KEPT)
    rows, is_known = _behind(known, as_track(fixes.take(single)))
    starts = starts_of(rows.vehicle)
    verdicts = _jumps(starts, rows, is_known, rules)
    trusted, undecided = verdicts.trusted, verdicts.undecided
    if closing:
        trusted = trusted | _nothing_else(starts, verdicts)
        undecided = np.zeros(len(rows), np.bool_)
    kept = np.flatnonzero(trusted)
    track = rows.take(kept).with_columns(after_jump=verdicts.after_jump[kept])
    held = _held(track, rules)
    track = track.with_columns(lat=held.lat, lon=held.lon)
    judged = np.full(len(rows), int(Rule.JUMP), np.int64)
    judged[kept] = np.where(held.is_drift, int(Rule.STATIC), int(Rule.KEPT))
    new = ~is_known
    rule[single] = judged[new]
    return Judged(rule, track.take(new[kept]), single[undecided[new]])


def as_track(fixes: Fixes) -> Track:
    """Return sorted fixes as a track that nothing was held in; a speed that none can have is unknown."""
    speed = np.where((fixes.speed_kmh >= 0) & (fixes.speed_kmh < 1000), fixes.speed_kmh, np.nan)
    odometer = np.where((fixes.odometer_km >= 0) & (fixes.odometer_km < 1e9), fixes.odometer_km, np.nan)
    return Track(
        fixes.vehicle,
        fixes.fixed_at_us,
        fixes.lat,
        fixes.lon,
        fixes.lat,
        fixes.lon,
        np.zeros(len(fixes), np.bool_),
        speed,
        odometer,
        np.where((fixes.ignition == 0) | (fixes.ignition == 1), fixes.ignition, UNKNOWN),
        fixes.driver,
        fixes.zone,
    )


def _repeats(fixes: Fixes) -> Flags:
    repeats = np.zeros(len(fixes), np.bool_)
    repeats[1:] = (np.diff(fixes.vehicle) == 0) & (np.diff(fixes.fixed_at_us) == 0)
    return repeats


def _behind(known: Track, track: Track) -> tuple[Track, Flags]:
    """Put the known fix of each vehicle that goes on before its new ones."""
    known = known.take(np.isin(known.vehicle, track.vehicle))
    rows = Track.concat([known, track])
    is_known = np.arange(len(rows)) < len(known)
    if not len(known):
        return rows, is_known
    at = np.lexsort((~is_known, rows.vehicle))
    return rows.take(at), is_known[at]


def _jumps(starts: Ints, rows: Track, is_known: Flags, rules: CleaningRules) -> Verdicts:
    size = len(rows)
    if rules.jump_over_kmh is None or not size:
        return Verdicts(np.ones(size, np.bool_), np.zeros(size, np.bool_), np.zeros(size, np.bool_))
    reach = Reach(rules.jump_slack_m, rules.jump_over_kmh, rules.jump_confirm)
    return find_jumps(starts, rows.fixed_at_us, rows.seen_lat, rows.seen_lon, is_known, reach)


def _nothing_else(starts: Ints, verdicts: Verdicts) -> Flags:
    """Mark undecided rows of vehicles that have no trusted fix at all."""
    if not len(starts):
        return verdicts.undecided
    trusted = np.add.reduceat(verdicts.trusted.astype(np.int64), starts)
    alone: Flags = np.repeat(trusted == 0, sizes_of(starts, len(verdicts.trusted)))
    return verdicts.undecided & alone


def _held(track: Track, rules: CleaningRules) -> Held:
    if rules.static_within_m is None or not len(track):
        return Held(track.lat, track.lon, np.zeros(len(track), np.bool_))
    slow = track.speed_kmh <= rules.static_below_kmh
    still = np.where(np.isnan(track.speed_kmh), track.ignition == 0, slow)
    breaks = np.union1d(starts_of(track.vehicle), np.flatnonzero(track.after_jump))
    return hold_still(breaks, still, track.lat, track.lon, rules.static_within_m)
