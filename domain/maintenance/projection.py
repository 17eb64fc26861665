"""When a limit will be reached: a day and an interval, from the vehicle's own daily use.

Use differs by kind of day (Monday to Friday, Saturday, Sunday), and idle days count as use of nought. Per kind of day:

* a single day is cut at max(median + 3 * 1.4826 * MAD, 90th percentile) of the active days, so that a reading gone
  wrong does not move the date, while a vehicle that drives far on every fifth day keeps those days. 1.4826 makes the
  MAD the standard deviation of a normal sample (Rousseeuw and Croux, Alternatives to the median absolute deviation,
  JASA 88, 1993); cutting instead of dropping is winsorizing (Dixon, Annals of Mathematical Statistics 31, 1960).
* mean and variance shrink to those of the model, or of the whole fleet, with Z = n / (n + k) of n days (the
  credibility formula of Bühlmann, Experience rating and credibility, ASTIN Bulletin 4, 1967).

Use adds up and never falls, so that the limit is reached by day D if and only if the sum up to D is at least what is
left (the argument of Birnbaum and Saunders, A new family of life distributions, Journal of Applied Probability 6,
1969). The sum is taken as normal: mean the sum of the means, variance the sum of the variances of days that are
independent, and that of the means themselves, which errs the same way every day. Nothing is divided by a spread or by
a use, either of which may be nought.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from domain.maintenance.due import Due, Status
from domain.maintenance.meters import ODOMETER

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
WINDOW_DAYS = 56
"""Eight weeks: each day of the week eight times."""
IDLE_AFTER_DAYS = 28
"""Without an active day for so long a vehicle counts as standing still: it is not projected from what others do."""
_PRIOR_DAYS = 10
_HORIZON_DAYS = 1_096
_ACTIVE = 0.5
"""Km or hours a day below which a vehicle was idle: it was moved in the yard."""
_MAD_TO_SD = 1.4826
_NINE_IN_TEN = 1.2816
"""The normal quantile that leaves a tenth on each side: the interval holds the day in 80 cases of 100."""


class DayKind(IntEnum):
    """Kinds of days that differ in use."""

    WEEKDAY = 0
    SATURDAY = 1
    SUNDAY = 2


_KIND_OF_WEEKDAY = (*[DayKind.WEEKDAY] * 5, DayKind.SATURDAY, DayKind.SUNDAY)


def kind_of(day: date) -> DayKind:
    """Return the kind of a day."""
    return _KIND_OF_WEEKDAY[day.weekday()]


@dataclass(frozen=True, slots=True)
class KindUse:
    """Use on days of one kind: mean and variance a day, and how many days they rest on (km or hours)."""

    mean: float = 0.0
    variance: float = 0.0
    days: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """Use by kind of day (in the order of `DayKind`), and whose it is: own, own and others', others', or none."""

    kinds: tuple[KindUse, KindUse, KindUse]
    basis: str
    is_idle: bool = False

    @property
    def days(self) -> int:
        """How many days of the vehicle itself, or of those that it is likened to."""
        return sum(kind.days for kind in self.kinds)

    @property
    def a_week(self) -> float:
        """The use of an average week."""
        return 5 * self.kinds[0].mean + self.kinds[1].mean + self.kinds[2].mean


def observe(daily: Mapping[date, float], today: date) -> Use:
    """Return a vehicle's own use in the window up to today; a day that is not in `daily` is unknown, not idle.

    Negative use is left out, and what no meter can count in a day.
    """
    first = today - timedelta(days=WINDOW_DAYS)
    seen = {
        day: use for day, use in daily.items() if first < day <= today and 0 <= use <= ODOMETER.most_a_day
    }
    cut = _cut([use for use in seen.values() if use >= _ACTIVE])
    recent = [use for day, use in seen.items() if day > today - timedelta(days=IDLE_AFTER_DAYS)]
    is_idle = len(recent) >= IDLE_AFTER_DAYS // 2 and max(recent) < _ACTIVE
    uses: dict[DayKind, list[float]] = {kind: [] for kind in DayKind}
    for day, use in seen.items():
        uses[kind_of(day)].append(min(use, cut))
    kinds = [_kind_use(uses[kind]) for kind in DayKind]
    return Use((kinds[0], kinds[1], kinds[2]), "own" if seen else "none", is_idle)


def pool(uses: Iterable[Use]) -> Use:
    """Return the use of many vehicles together: a model's or the fleet's, every day of each counting alike."""
    given = list(uses)
    kinds = [_pooled([use.kinds[kind] for use in given]) for kind in DayKind]
    return Use((kinds[0], kinds[1], kinds[2]), "others" if any(kind.days for kind in kinds) else "none")


def shrink(own: Use, others: Use | None) -> Use:
    """Return the vehicle's use drawn towards that of its model or fleet, the more so the fewer days it has itself.

    A vehicle that stands still is left as it is.
    """
    if own.is_idle or others is None or not others.days:
        return own
    kinds = [_shrunk(mine, theirs) for mine, theirs in zip(own.kinds, others.kinds, strict=True)]
    return Use((kinds[0], kinds[1], kinds[2]), "own and others" if own.days else "others")


def _cut(active: Sequence[float]) -> float:
    if not active:
        return 0.0
    middle = statistics.median(active)
    spread = _MAD_TO_SD * statistics.median(abs(use - middle) for use in active)
    nine_tenths = sorted(active)[(9 * len(active)) // 10 - (len(active) % 10 == 0)]
    return max(middle + 3 * spread, nine_tenths)


def _kind_use(uses: Sequence[float]) -> KindUse:
    if not uses:
        return KindUse()
    ordered = sorted(uses)
    mean = statistics.fmean(ordered)
    return KindUse(mean, statistics.fmean((use - mean) ** 2 for use in ordered), len(uses))


def _pooled(kinds: Sequence[KindUse]) -> KindUse:
    days = sum(kind.days for kind in kinds)
    if not days:
        return KindUse()
    mean = sum(kind.mean * kind.days for kind in kinds) / days
    square = sum((kind.variance + kind.mean**2) * kind.days for kind in kinds) / days
    return KindUse(mean, max(0.0, square - mean**2), days)


def _shrunk(own: KindUse, others: KindUse) -> KindUse:
    if not others.days:
        return own
    z = own.days / (own.days + _PRIOR_DAYS)
    mean = z * own.mean + (1 - z) * others.mean
    variance = z * own.variance + (1 - z) * others.variance
    return KindUse(mean, variance, own.days)


@dataclass(frozen=True, slots=True)
class Projected:
    """When something is due: the expected day and the bounds of an interval that holds it in 80 cases of 100.

    None: not within three years, as far as can be told. `by`: the interval that comes first (months, odometer,
    engine_hours); `words`: what it rests on.
    """

    due_on: date | None
    not_before: date | None
    not_after: date | None
    by: str | None
    words: str


_Found = tuple[str, date | None, date | None, date | None, str]
"""By which limit; the expected, the early and the late day; and whose use it rests on."""


def project(due: Due, today: date, uses: Mapping[str, Use]) -> Projected:
    """Project when a task is due, by whichever limit comes first; `uses` has the use by `odometer` and `engine_hours`.

    A limit that was reached keeps the day on which it was. Of several limits the bounds are each the earliest: the late
    one holds at least as often as said, the early one a little less often.
    """
    if due.status is Status.RETIRED:
        return Projected(None, None, None, None, "retired")
    found: list[_Found] = []
    for limit in due.limits:
        if limit.due_on is not None:
            found.append((limit.by, limit.due_on, limit.due_on, limit.due_on, "fixed"))
        elif limit.left is not None and (use := uses.get(limit.by)) is not None:
            found.append((limit.by, *_reached(limit.left, today, use), use.basis))
    early, late = _ends(found)
    dated = [(one[1], one[0], one[4]) for one in found if one[1] is not None]
    if not dated:
        return Projected(None, early, late, None, _why_not(due, uses))
    day, by, basis = min(dated)
    return Projected(day, early, late, by, f"by {by.replace('_', ' ')}, {basis}")


def _ends(
    found: Sequence[_Found],
) -> tuple[date | None, date | None]:
    early = min((one[2] for one in found if one[2] is not None), default=None)
    return early, min((one[3] for one in found if one[3] is not None), default=None)


def _why_not(due: Due, uses: Mapping[str, Use]) -> str:
    missing = [f"{limit.by.replace('_', ' ')}: {limit.missing}" for limit in due.limits if limit.missing]
    idle = [by for by in uses if uses[by].is_idle]
    return "; ".join(missing) or (
        "the vehicle stands still" if idle else "not within three years, or use unknown"
    )


def _reached(left: float, today: date, use: Use) -> tuple[date | None, date | None, date | None]:
    """Return the expected, the early and the late day on which a sum of daily use reaches what is left."""
    steps = (int(np.searchsorted(line, left)) + 1 for line in _sums(use, today))
    expected, early, late = (
        today + timedelta(days=step) if step <= _HORIZON_DAYS else None for step in steps
    )
    return expected, early, late


@lru_cache(maxsize=16)
def _sums(use: Use, today: date) -> tuple[_Floats, _Floats, _Floats]:
    """Return the sum of daily use by each day from tomorrow on, expected, high and low, each at its highest so far.

    The tasks of a vehicle ask for the same ones, one after another.
    """
    kinds, counts = _kinds_from(today.weekday())
    mean, variance = (np.array([getattr(one, name) for one in use.kinds]) for name in ("mean", "variance"))
    total = np.cumsum(mean[kinds])
    # Of the days, and of the means being estimates, of each kind's own and prior days.
    days = np.array([one.days + _PRIOR_DAYS for one in use.kinds])
    of_means = counts**2 * variance[:, None] / days[:, None]
    margin = _NINE_IN_TEN * np.sqrt(np.cumsum(variance[kinds]) + of_means.sum(axis=0))
    return total, np.maximum.accumulate(total + margin), np.maximum.accumulate(total - margin)


@lru_cache(maxsize=7)
def _kinds_from(weekday: int) -> tuple[_Ints, _Ints]:
    """Return the kind of each day after one of this weekday, and how many days of each kind there are by then."""
    kinds = np.maximum(0, (weekday + np.arange(1, _HORIZON_DAYS + 1)) % 7 - 4)
    return kinds, np.cumsum(kinds == np.arange(len(DayKind))[:, None], axis=1)
