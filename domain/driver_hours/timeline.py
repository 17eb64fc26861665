"""From what was reported to one line of time: order, overlaps, gaps, and the join of what belongs together.

What happens to each kind of disorder, and nothing else is changed:

- **ends before it starts, or empty**: left out and counted (Reg. 2016/799, Appendix 14: negative durations are
  ignored);
- **unordered, or the same twice**: sorted; a repeat changes nothing;
- **overlapping** (two cards, two sources): the better origin wins (tachograph, manual, inferred), among equals
  the more demanding kind (driving, other work, availability, rest, unknown): a contradiction never makes a
  rest. Counted;
- **a gap**: UNKNOWN. It counts as rest, so that missing data accuses nobody, and proves nothing
  (UNPROVEN_REST);
- **touching, of the same kind**: joined: a cut at midnight, at Sunday 24:00 or at any minute vanishes;
- **out of scope**: driving is other work;
- **inferred rest**: as UNKNOWN. Inferred driving and work count, and what rests on them needs evidence.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from domain.driver_hours.model import (
    AVAILABILITY,
    DRIVING,
    OTHER_WORK,
    REST,
    UNKNOWN,
    Activity,
    Kind,
    Minute,
    Origin,
    Stretch,
)

_INFERRED = Origin.INFERRED
_ORIGINS = (Origin.TACHOGRAPH, Origin.MANUAL, Origin.INFERRED)
_KINDS = (DRIVING, OTHER_WORK, AVAILABILITY, REST, UNKNOWN)
_ORIGIN_RANK = {origin: rank for rank, origin in enumerate(_ORIGINS)}
_KIND_RANK = {kind: rank for rank, kind in enumerate(_KINDS)}


class Tidied(NamedTuple):
    """Activities in order that neither overlap nor are empty, and how many were empty or cut."""

    activities: list[Activity]
    empty: int
    overlapping: int


def tidy(reported: Iterable[Activity]) -> Tidied:
    """Sort, drop what is empty, and settle overlaps; the order of arrival has no effect."""
    given = list(reported)
    kept = sorted(activity for activity in given if activity.start < activity.end)
    empty = len(given) - len(kept)
    if all(before.end <= after.start for before, after in itertools.pairwise(kept)):
        return Tidied(kept, empty, 0)
    unique = list(dict.fromkeys(kept))
    overlapping = _overlaps(unique)
    return Tidied(_settle(unique) if overlapping else unique, empty, overlapping)


def stretches(ordered: Iterable[Activity]) -> list[Stretch]:
    """Return tidy activities as stretches, joined, with gaps between them: what `join` of each `stretch_of` makes.

    Written out, because a history has three activities to a stretch, and a stretch costs more than all it is made from.
    """
    found: list[Stretch] = []
    begun = until = best = run = 0
    kind: Kind | None = None
    crew = ferry = False
    for start, end, what, with_crew, origin, out_of_scope, on_ferry in ordered:
        proven = 0 if origin is _INFERRED else end - start
        if what is REST or what is UNKNOWN:
            proven = proven if what is REST else 0
            what, with_crew, on_ferry = REST, False, False
        elif what is DRIVING and out_of_scope:
            what = OTHER_WORK
        if kind is not None and start > until:
            if kind is not REST:
                found.append(Stretch(begun, until, kind, crew, ferry, best, run))
                begun, kind, crew, ferry, best = until, REST, False, False, 0
            run = 0
        if what is kind and with_crew is crew and on_ferry is ferry:
            run = run + proven if proven else 0
            best = max(best, run)
        else:
            if kind is not None:
                found.append(Stretch(begun, start, kind, crew, ferry, best, run))
            begun, kind, crew, ferry, best, run = start, what, with_crew, on_ferry, proven, proven
        until = end
    if kind is not None:
        found.append(Stretch(begun, until, kind, crew, ferry, best, run))
    return found


def stretch_of(activity: Activity) -> Stretch:
    """Return the stretch that one activity makes alone."""
    start, end, kind, crew, origin, out_of_scope, ferry = activity
    length = end - start
    if kind is REST or kind is UNKNOWN:
        proven = length if kind is REST and origin is not _INFERRED else 0
        return Stretch(start, end, REST, False, False, proven, proven)
    if kind is DRIVING and out_of_scope:
        kind = OTHER_WORK
    proven = 0 if origin is _INFERRED else length
    return Stretch(start, end, kind, crew, ferry, proven, proven)


def gap(start: Minute, end: Minute) -> Stretch:
    """Return the stretch that a gap makes: rest without any proof."""
    return Stretch(start, end, REST, False, False, 0, 0)


def join(before: Stretch, after: Stretch) -> Stretch | None:
    """Return both as one stretch, or None if they are of different kinds; they must touch."""
    if before.kind is not after.kind or before.crew is not after.crew or before.ferry is not after.ferry:
        return None
    whole = after.proven == after.end - after.start
    bridged = before.run + (after.proven if whole else 0)
    run = bridged if whole else after.run
    return Stretch(
        before.start, after.end, before.kind, before.crew, before.ferry,
        max(before.proven, after.proven, bridged), run,
    )  # fmt: skip


def _overlaps(ordered: list[Activity]) -> int:
    return sum(before.end > after.start for before, after in itertools.pairwise(ordered))


def _settle(ordered: list[Activity]) -> list[Activity]:
    """Cut at every bound, and keep for each piece the activity that ranks first."""
    bounds = sorted({bound for activity in ordered for bound in (activity.start, activity.end)})
    settled, waiting, live = [], iter(ordered), list[Activity]()
    coming = next(waiting, None)
    for start, end in itertools.pairwise(bounds):
        while coming is not None and coming.start <= start:
            live.append(coming)
            coming = next(waiting, None)
        live = [activity for activity in live if activity.end > start]
        if live:
            settled.append(min(live, key=_rank)._replace(start=start, end=end))
    return settled


def _rank(activity: Activity) -> tuple[int, int, bool, bool, bool]:
    return (
        _ORIGIN_RANK[activity.origin], _KIND_RANK[activity.kind],
        activity.crew, activity.out_of_scope, activity.ferry,
    )  # fmt: skip
