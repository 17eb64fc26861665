"""Refills and drains: steps in what was kept, at rest and under way, with false ones told from true ones.

At rest a step is looked for among settled levels of one rest: parking on a slope shifts them all. Under way it is
looked for among levels in motion only, over the rests between: slosh goes into their median, and a slope lasts no
window. Each side is held against the other: what rest shows and driving before and after it does not was a tilt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from domain.fuel.level import Levels
from domain.fuel.rules import EventRules
from domain.fuel.windows import Windows, read_windows
from domain.tracks.table import Floats, Ints

_MINUTE_US = 60_000_000


class EventKind(StrEnum):
    """Which way the level went."""

    REFILL = "refill"
    DRAIN = "drain"


@dataclass(frozen=True)
class Event:
    """A refill or a drain.

    Attributes:
        vehicle: code.
        kind: refill or drain.
        start_us, end_us: the last minute before it and the first after it.
        volume_l: more than 0; burn meanwhile is accounted for.
        level_before_l, level_after_l: the plateaus on its sides.
        in_motion: under way.
        is_confirmed: driving before and after shows it too; None if there is too little of it.
        has_gap: no reading told how it went on; it may have taken less than from start to end.
        burn_is_measured: by counter or rate, not nominal.
        confidence: 0 to 1, see `_confidence`.
    """

    vehicle: int
    kind: EventKind
    start_us: int
    end_us: int
    volume_l: float
    level_before_l: float
    level_after_l: float
    in_motion: bool
    is_confirmed: bool | None
    has_gap: bool
    burn_is_measured: bool
    confidence: float = 0.0

    @property
    def signed_l(self) -> float:
        """The volume, negative for a drain."""
        return self.volume_l if self.kind is EventKind.REFILL else -self.volume_l

    @property
    def rate_l_min(self) -> float:
        """Litres a minute, at least: the time is known to a minute on each side."""
        return self.volume_l / max((self.end_us - self.start_us) / _MINUTE_US, 1.0)


@dataclass(frozen=True)
class Found:
    """Events, sorted by vehicle and start, and how many steps were none, by why."""

    events: tuple[Event, ...]
    false_steps: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Series:
    """The rows that a search looks at, their windows, and the least step of each."""

    row: Ints
    group: Ints
    at_us: Ints
    value: Floats
    windows: Windows
    least_l: Floats


@dataclass(frozen=True)
class _Step:
    """A step in a series: positions of the rows on its sides, and its plateaus."""

    first: int
    last: int
    before: float
    after: float
    error: float
    span_last: int

    @property
    def change(self) -> float:
        return self.after - self.before


def find_events(levels: Levels, rules: EventRules | None = None) -> Found:
    """Return the events of all vehicles. A drain under way is only told when driving after it has settled that."""
    rules = rules or EventRules()
    false: dict[str, int] = {}
    rests = _without_returns(_at_rest(levels, rules, false), levels, rules, false)
    rests = list(_held_against_driving(rests, levels, rules, false))
    rests, underway = _under_way(levels, rests, rules, false)
    events = sorted(
        [*rests, *underway],
        key=lambda one: (one.vehicle, one.start_us, one.end_us, one.kind),
    )
    tank = dict(zip(levels.vehicle.tolist(), levels.tank_l.tolist(), strict=True))
    return Found(
        tuple(replace(one, confidence=_confidence(one, tank[one.vehicle], rules)) for one in events), false
    )


def least_volume_l(tank_l: Floats, least_l: float, least_share: float) -> Floats:
    """Return the least volume of an event for tanks in litres."""
    return np.asarray(np.maximum(least_l, least_share * tank_l))


def _confidence(event: Event, tank_l: float, rules: EventRules) -> float:
    """Return how sure an event is: 0.5, more for volume, agreement and minute by minute readings, less under way."""
    share = rules.moving_min_share if event.in_motion else rules.rest_min_share
    litres = rules.moving_min_l if event.in_motion else rules.rest_min_l
    times = event.volume_l / max(litres, share * tank_l)
    sure = 0.5 + 0.1 * min(max(times - 1.0, 0.0), 2.0)
    sure += 0.2 if event.is_confirmed else 0.0
    sure += 0.0 if event.has_gap else 0.1
    sure -= 0.1 if event.in_motion else 0.0
    sure -= 0.0 if event.burn_is_measured or not event.in_motion else 0.1
    return round(min(max(sure, 0.05), 0.99), 2)


def _at_rest(levels: Levels, rules: EventRules, false: dict[str, int]) -> list[Event]:
    rows = np.flatnonzero(levels.is_quiet & ~np.isnan(levels.kept_l))
    group, at_us, value = levels.rest[rows], levels.at_us[rows], levels.kept_l[rows]
    windows = read_windows(group, at_us, value, rules.rest_window, int(rules.rest_span_s * 1e6))
    least = least_volume_l(levels.tank_l[rows], rules.rest_min_l, rules.rest_min_share)
    series = _Series(rows, group, at_us, value, windows, least)
    events = []
    for step in _find_steps(series, rules.rest_least, rules):
        event = _rest_event(step, series, levels, rules)
        if _takes_too_long(event, rules) or _goes_slowly(step, series, rules):
            _count(false, "slow")
        else:
            events.append(event)
    return events


def _find_steps(series: _Series, least_rows: int, rules: EventRules) -> Iterable[_Step]:
    """Return the steps: borders in a row across which the level changes one way, and by enough in all."""
    windows = series.windows
    change = windows.after - windows.before
    is_read = (windows.before_n >= least_rows) & (windows.after_n >= least_rows) & ~np.isnan(change)
    change = np.where(is_read, change, 0.0)
    way = np.where(np.abs(change) >= rules.slow_share * series.least_l[:-1], np.sign(change), 0.0)
    if not way.any():
        return
    edges = np.flatnonzero(np.diff(way, prepend=0.0, append=0.0))
    for first, after in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if way[first] == 0:
            continue
        last = after - 1
        before, behind = float(windows.before[first]), float(windows.after[last])
        error = float(np.sqrt(windows.before_var[first] + windows.after_var[last]))
        total = (behind - before) * way[first]
        is_enough = total >= max(float(series.least_l[first]), rules.noise_sigmas * error)
        if is_enough and _is_here(series, first, last + 1, before, behind, rules):
            yield _narrow(series, first, last + 1, before, behind, error, rules)


def _is_here(series: _Series, first: int, last: int, before: float, after: float, rules: EventRules) -> bool:
    """Say whether the rows next to a step are on its two sides: a window may reach back over an earlier step."""
    ahead = np.arange(max(first - rules.near_rows + 1, 0), first + 1)
    behind = np.arange(last, min(last + rules.near_rows, len(series.value)))
    ahead = ahead[series.group[ahead] == series.group[first]]
    behind = behind[series.group[behind] == series.group[last]]
    middle = (before + after) / 2
    way = np.sign(after - before)
    return bool(
        (np.median(series.value[ahead]) - middle) * way < 0 < (np.median(series.value[behind]) - middle) * way
    )


def _narrow(
    series: _Series, first: int, last: int, before: float, after: float, error: float, rules: EventRules
) -> _Step:
    """Return the step with its sides moved in to where the plateaus end."""
    done = (series.value[first : last + 1] - before) / (after - before)
    half = int(np.argmax(done > 0.5)) if bool((done > 0.5).any()) else len(done) - 1
    half = max(half, 1)
    old = np.flatnonzero(done[:half] <= rules.settled_share)
    new = np.flatnonzero(done[half:] >= 1 - rules.settled_share)
    start = first + (int(old[-1]) if len(old) else 0)
    end = first + half + (int(new[0]) if len(new) else len(done) - 1 - half)
    return _Step(start, end, before, after, error, last)


def _rest_event(step: _Step, series: _Series, levels: Levels, rules: EventRules) -> Event:
    first, last = int(series.row[step.first]), int(series.row[step.last])
    gaps = np.diff(series.at_us[step.first : step.last + 1])
    return Event(
        vehicle=int(levels.vehicle[first]),
        kind=EventKind.REFILL if step.change > 0 else EventKind.DRAIN,
        start_us=int(levels.at_us[first]),
        end_us=int(levels.at_us[last]),
        volume_l=abs(step.change),
        level_before_l=step.before - float(levels.burnt_l[first]),
        level_after_l=step.after - float(levels.burnt_l[last]),
        in_motion=False,
        is_confirmed=None,
        has_gap=bool(gaps.max(initial=0) > rules.parked_gap_s * 1e6),
        burn_is_measured=bool(levels.is_measured[first + 1 : last + 1].all()),
    )


def _takes_too_long(event: Event, rules: EventRules) -> bool:
    most = rules.most_refill_s if event.kind is EventKind.REFILL else rules.most_drain_s
    return not event.has_gap and event.end_us - event.start_us > most * 1e6


def _goes_slowly(step: _Step, series: _Series, rules: EventRules) -> bool:
    """Say whether a step over silences went on for longer than an event does, with none of them holding most of it.

    A device that reports each quarter of an hour at rest leaves nothing but silences, and tells a leak all the same.
    """
    at_us, kept = (one[step.first : step.last + 1] for one in (series.at_us, series.value))
    most = rules.most_refill_s if step.change > 0 else rules.most_drain_s
    if at_us[-1] - at_us[0] <= most * 1e6 or len(kept) < 2:
        return False
    values = np.concatenate([[step.before], kept[1:-1], [step.after]])
    return float(np.max(np.diff(values) / step.change)) < rules.sudden_share


def _without_returns(
    events: list[Event], levels: Levels, rules: EventRules, false: dict[str, int]
) -> list[Event]:
    """Leave out falls that come back to where they were while the vehicle stood: dropouts and tilts."""
    tank = dict(zip(levels.vehicle.tolist(), levels.tank_l.tolist(), strict=True))
    ordered = sorted(events, key=lambda one: (one.vehicle, one.start_us, one.end_us))
    kept: list[Event] = []
    for event in ordered:
        fall = kept[-1] if kept else None
        if (
            fall is not None
            and fall.vehicle == event.vehicle
            and (fall.kind, event.kind) == (EventKind.DRAIN, EventKind.REFILL)
            and event.start_us - fall.end_us <= rules.return_s * 1e6
            and abs(event.volume_l - fall.volume_l) <= rules.return_share * tank[event.vehicle]
        ):
            kept.pop()
            _count(false, "returned")
        else:
            kept.append(event)
    return kept


def _driving(levels: Levels, kept_l: Floats, rules: EventRules) -> _Series:
    rows = np.flatnonzero(levels.is_moving & ~levels.is_steep & ~np.isnan(kept_l))
    group, at_us, value = levels.vehicle[rows], levels.at_us[rows], kept_l[rows]
    windows = read_windows(group, at_us, value, rules.moving_window, int(rules.moving_span_s * 1e6))
    least = least_volume_l(levels.tank_l[rows], rules.moving_min_l, rules.moving_min_share)
    return _Series(rows, group, at_us, value, windows, least)


def _held_against_driving(
    events: list[Event], levels: Levels, rules: EventRules, false: dict[str, int]
) -> Iterable[Event]:
    """Confirm or refute what rests showed by driving before and after; all events between two drives together.

    Driving is read with all events taken out, so that a window may reach over another one.
    """
    driving = _driving(levels, without_events(levels, events), rules)
    by_border: dict[int, list[Event]] = {}
    for event in events:
        by_border.setdefault(_border_of(event, driving), []).append(event)
    for border, together in by_border.items():
        verdict = _driving_agrees(border, sum(one.signed_l for one in together), together[0], driving, rules)
        if verdict is False:
            _count(false, "refuted", len(together))
        else:
            yield from (replace(one, is_confirmed=verdict) for one in together)


def _border_of(event: Event, driving: _Series) -> int:
    """Return the border of the driving series in which the event lies; unique over all vehicles."""
    low, high = np.searchsorted(driving.group, [event.vehicle, event.vehicle + 1])
    return int(low + np.searchsorted(driving.at_us[low:high], event.end_us)) - 1


def _driving_agrees(
    border: int, net_l: float, event: Event, driving: _Series, rules: EventRules
) -> bool | None:
    windows = driving.windows
    if not 0 <= border < len(windows.before) or driving.group[border] != event.vehicle:
        return None
    enough = min(windows.before_n[border], windows.after_n[border]) >= rules.moving_least
    seen = net_l + float(windows.after[border] - windows.before[border])
    if not enough or np.isnan(seen) or net_l == 0:
        return None
    error = float(np.sqrt(windows.before_var[border] + windows.after_var[border]))
    if seen / net_l >= 1 - rules.returned_above:
        return True
    if seen / net_l < rules.refuted_below and abs(seen - net_l) > rules.noise_sigmas * error:
        return False
    return None


def _under_way(
    levels: Levels, known: list[Event], rules: EventRules, false: dict[str, int]
) -> tuple[list[Event], list[Event]]:
    """Return the known events, mended by what driving shows of them, and the steps that none of them explains."""
    kept = without_events(levels, known)
    series = _driving(levels, kept, rules)
    found = []
    for step in _find_steps(series, rules.moving_least, rules):
        event = _driving_event(step, series, levels, rules)
        same = next((one for one in known if _overlap(one, event) and one.kind is event.kind), None)
        if same is not None:
            known = [_mended(one, event, rules) if one is same else one for one in known]
        elif not any(_is_error_of(event, one, rules) for one in known):
            narrowed = _narrow_in_pause(event, step, levels, kept, rules)
            event_or_why = _judge_driving(narrowed, step, series, rules)
            if isinstance(event_or_why, Event):
                found.append(_with_plateaus_of(event_or_why, known))
            else:
                _count(false, event_or_why)
    return known, found


def _with_plateaus_of(event: Event, known: Iterable[Event]) -> Event:
    """Return an event, found where the known ones had been taken out, with its plateaus as the tank had them."""
    mine = [one for one in known if one.vehicle == event.vehicle]
    before = sum(one.signed_l for one in mine if one.end_us <= event.start_us)
    after = sum(one.signed_l for one in mine if one.end_us <= event.end_us)
    return replace(
        event, level_before_l=event.level_before_l + before, level_after_l=event.level_after_l + after
    )


def _judge_driving(event: Event, step: _Step, series: _Series, rules: EventRules) -> Event | str:
    """Return the event as far as driving after it confirms it, or why it is none; nobody refuels under way."""
    if event.in_motion and event.kind is EventKind.REFILL:
        return "rise_in_motion"
    if _takes_too_long(event, rules):
        return "slow"
    stays = _stays(step, series, rules)
    if stays is False:
        return "returned"
    if stays is None and event.in_motion:
        return "unsettled"
    return replace(event, is_confirmed=stays)


def _overlap(one: Event, other: Event) -> bool:
    return one.vehicle == other.vehicle and one.start_us <= other.end_us and other.start_us <= one.end_us


def _mended(event: Event, more: Event, rules: EventRules) -> Event:
    """Return an event that rest saw only in part, with what driving shows beyond it; small differences are error."""
    if more.volume_l < rules.same_event_share * event.volume_l:
        return event
    return replace(
        event,
        volume_l=event.volume_l + more.volume_l,
        level_after_l=event.level_after_l + more.signed_l,
        end_us=max(event.end_us, more.end_us),
        has_gap=True,
    )


def without_events(levels: Levels, events: Iterable[Event]) -> Floats:
    """Return what was kept with the events' steps taken out, each from the event's end on."""
    kept = levels.kept_l.copy()
    for event in events:
        low, high = np.searchsorted(levels.vehicle, [event.vehicle, event.vehicle + 1])
        since = low + int(np.searchsorted(levels.at_us[low:high], event.end_us))
        kept[since:high] -= event.signed_l
    return kept


def _driving_event(step: _Step, series: _Series, levels: Levels, rules: EventRules) -> Event:
    """Return the event of a step; where it fell into a pause, the event is that whole pause.

    A pause is a time without motion: minutes under way whose level is not read, as on a steep road, are none.
    """
    rows = np.arange(series.row[step.first], series.row[step.last] + 1)
    moving = rows[levels.is_moving[rows]]
    pauses = np.diff(levels.at_us[moving])
    longest = int(np.argmax(pauses))
    if pauses[longest] <= rules.parked_gap_s * 1e6:
        return replace(_rest_event(step, series, levels, rules), in_motion=True)
    before = int(np.searchsorted(series.row, moving[longest], side="right")) - 1
    return _rest_event(replace(step, first=before, last=before + 1), series, levels, rules)


def _narrow_in_pause(event: Event, step: _Step, levels: Levels, kept_l: Floats, rules: EventRules) -> Event:
    """Return an event of a pause told to where most of it happened; if no two levels hold most of it, it went slowly.

    That may be before the first settled level, as who stops at a pump is quick, or in a silence.
    """
    if event.in_motion:
        return event
    low, high = np.searchsorted(levels.vehicle, [event.vehicle, event.vehicle + 1])
    rows = low + np.flatnonzero((levels.is_quiet & ~np.isnan(kept_l))[low:high])
    rows = rows[(levels.at_us[rows] > event.start_us) & (levels.at_us[rows] < event.end_us)]
    at_us = np.concatenate([[event.start_us], levels.at_us[rows], [event.end_us]])
    values = np.concatenate([[step.before], kept_l[rows], [step.after]])
    jumps = np.diff(values) / step.change
    largest = int(np.argmax(jumps))
    start, end = int(at_us[largest]), int(at_us[largest + 1])
    if jumps[largest] < rules.sudden_share:
        return replace(event, has_gap=False)
    return replace(event, start_us=start, end_us=end, has_gap=end - start > rules.parked_gap_s * 1e6)


def _is_error_of(event: Event, other: Event, rules: EventRules) -> bool:
    """Say whether a step is only how much driving and rest differ in an event that is known already."""
    return _overlap(event, other) and event.volume_l < rules.same_event_share * other.volume_l


def _stays(step: _Step, series: _Series, rules: EventRules) -> bool | None:
    """Say whether the level stayed where the step brought it, by the driving after the window that found it."""
    later = np.arange(step.span_last + rules.moving_window, step.span_last + 2 * rules.moving_window)
    later = later[later < len(series.value)]
    later = later[series.group[later] == series.group[step.first]] if len(later) else later
    if len(later) < rules.moving_least:
        return None
    came_back = (step.after - float(np.median(series.value[later]))) / step.change
    return came_back < rules.returned_above


def _count(false: dict[str, int], why: str, many: int = 1) -> None:
    false[why] = false.get(why, 0) + many
