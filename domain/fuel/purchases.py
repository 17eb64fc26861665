"""Purchases by card held against the tank: one visit to one rise, in a window of time, the same in any order.

What goes into another tank (AdBlue), is no fuel by the litre (electricity, gas), or was given back, is no purchase for
the tank. Purchases at one station within minutes are one visit: two tanks, two pumps, two receipts, one rise.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from domain.fuel.events import Event, EventKind
from domain.fuel.rules import PurchaseRules
from domain.tracks.geo import distance_m


class Skipped(StrEnum):
    """Why a purchase is not held against the tank."""

    REPEATED = "repeated"
    NOT_TANK_FUEL = "not_tank_fuel"
    REFUND = "refund"
    REFUNDED = "refunded"
    REFUND_WITHOUT_PURCHASE = "refund_without_purchase"
    VOLUME_UNKNOWN = "volume_unknown"
    VOLUME_INVALID = "volume_invalid"


class Finding(StrEnum):
    """What a purchase, or a rise, does not agree with."""

    OVER_TANK = "purchase_over_tank"
    ELSEWHERE = "purchase_elsewhere"
    WITHOUT_RISE = "purchase_without_rise"
    RISE_WITHOUT = "rise_without_purchase"


@dataclass(frozen=True, order=True)
class Purchase:
    """One line of a card's bill. Money in minor units, negative for a refund; volume in litres."""

    at_us: int
    purchase_id: str
    transaction_id: str
    fuel: str
    volume_l: float | None
    amount_minor: int | None = None
    lat: float | None = None
    lon: float | None = None
    station_id: str | None = None


@dataclass(frozen=True)
class Visit:
    """Purchases of one vehicle at one station within minutes, sorted."""

    purchases: tuple[Purchase, ...]

    @property
    def at_us(self) -> int:
        """When the first was booked."""
        return self.purchases[0].at_us

    @property
    def until_us(self) -> int:
        """When the last was booked."""
        return self.purchases[-1].at_us

    @property
    def volume_l(self) -> float:
        """Litres of all."""
        return sum(one.volume_l or 0.0 for one in self.purchases)


@dataclass(frozen=True)
class Position:
    """Where the vehicle was."""

    at_us: int
    lat: float
    lon: float


@dataclass(frozen=True)
class Mismatch:
    """A finding on a visit or a rise.

    Attributes:
        finding: which.
        at_us: of the visit, or of the rise's start.
        volume_l: litres too many, missing in the tank, or risen without a purchase; all of them for `ELSEWHERE`.
        visit: the visit; None for a rise.
        event: the rise that was matched, or is alone; None without.
        km: how far the vehicle was from the station at least, for `ELSEWHERE`.
        level_is_known: levels around the visit were there to be seen.
    """

    finding: Finding
    at_us: int
    volume_l: float
    visit: Visit | None
    event: Event | None
    km: float | None = None
    level_is_known: bool = True


@dataclass(frozen=True)
class Reconciled:
    """All of a vehicle's purchases and refills: matched, mismatched, or left out by why. Counts add up."""

    matches: tuple[tuple[Visit, Event], ...]
    mismatches: tuple[Mismatch, ...]
    visits: tuple[Visit, ...]
    skipped: tuple[tuple[Purchase, Skipped], ...]


def reconcile(
    purchases: Iterable[Purchase],
    events: Iterable[Event],
    tank_l: float | None,
    *,
    levels_seen: Callable[[int, int], bool] = lambda first_us, last_us: True,
    positions: Sequence[Position] = (),
    from_us: int | None = None,
    until_us: int | None = None,
    rules: PurchaseRules | None = None,
) -> Reconciled:
    """Hold one vehicle's purchases against its refills.

    `levels_seen` says whether levels were read on both sides of a stretch of time, near enough to have shown a rise
    in it: only then is a purchase without a rise a finding. `positions` are sorted by time. `from_us` and `until_us`
    bound the time whose levels have been seen: outside of it nothing is said of missing rises, nor of rises whose
    purchase may still come.
    """
    rules = rules or PurchaseRules()
    tank = tank_l if tank_l is not None and isfinite(tank_l) and tank_l > 0 else None
    bought, skipped = _for_the_tank(purchases, rules)
    visits = _visits(bought, rules)
    rises = sorted(
        (one for one in events if one.kind is EventKind.REFILL), key=lambda one: (one.start_us, one.end_us)
    )
    matches = _match(visits, rises, rules)
    found: list[Mismatch] = []
    by_visit = {visit.purchases: rise for visit, rise in matches}
    for visit in visits:
        rise = by_visit.get(visit.purchases)
        found += _judge_volume(visit, rise, tank, rules)
        found += _judge_place(visit, rise, positions, rules)
        if rise is None and _is_seen(visit, from_us, until_us, rules):
            found += _missing_rise(visit, tank, levels_seen, rules)
    taken = {id(rise) for _, rise in matches}
    found += [
        Mismatch(Finding.RISE_WITHOUT, rise.start_us, rise.volume_l, None, rise)
        for rise in rises
        if id(rise) not in taken and (until_us is None or rise.end_us + rules.after_s * 1e6 <= until_us)
    ]
    found.sort(key=lambda one: (one.at_us, one.finding, one.visit.purchases if one.visit else ()))
    return Reconciled(tuple(matches), tuple(found), tuple(visits), tuple(skipped))


def _for_the_tank(
    purchases: Iterable[Purchase], rules: PurchaseRules
) -> tuple[list[Purchase], list[tuple[Purchase, Skipped]]]:
    skipped: list[tuple[Purchase, Skipped]] = []
    kept: dict[tuple[object, ...], Purchase] = {}
    refunds: list[Purchase] = []
    for one in sorted(purchases, key=_in_order):
        same = one.transaction_id, one.at_us, one.fuel, one.volume_l, one.amount_minor
        if one.fuel not in rules.tank_fuels:
            skipped.append((one, Skipped.NOT_TANK_FUEL))
        elif one.amount_minor is not None and one.amount_minor < 0:
            refunds.append(one)
        elif one.volume_l is None:
            skipped.append((one, Skipped.VOLUME_UNKNOWN))
        elif not isfinite(one.volume_l) or one.volume_l <= 0:
            skipped.append((one, Skipped.VOLUME_INVALID))
        elif same in kept:
            skipped.append((one, Skipped.REPEATED))
        else:
            kept[same] = one
    bought = list(kept.values())
    for refund in refunds:
        _give_back(refund, bought, skipped, rules)
    return bought, skipped


def _in_order(one: Purchase) -> tuple[int, str, str, str, float, int]:
    volume = -1.0 if one.volume_l is None or one.volume_l != one.volume_l else one.volume_l
    return one.at_us, one.purchase_id, one.transaction_id, one.fuel, volume, one.amount_minor or 0


def _give_back(
    refund: Purchase, bought: list[Purchase], skipped: list[tuple[Purchase, Skipped]], rules: PurchaseRules
) -> None:
    """Cancel the latest purchase before the refund whose amount, and volume where given, it gives back."""
    oldest = refund.at_us - rules.refund_days * 86_400e6
    cancelled = [
        one
        for one in bought
        if one.fuel == refund.fuel
        and oldest <= one.at_us <= refund.at_us
        and one.amount_minor == -(refund.amount_minor or 0)
        and (not refund.volume_l or refund.volume_l == one.volume_l)
    ]
    if not cancelled:
        skipped.append((refund, Skipped.REFUND_WITHOUT_PURCHASE))
        return
    skipped += [(cancelled[-1], Skipped.REFUNDED), (refund, Skipped.REFUND)]
    bought.remove(cancelled[-1])


def _visits(bought: Sequence[Purchase], rules: PurchaseRules) -> list[Visit]:
    groups: list[list[Purchase]] = []
    for one in sorted(bought, key=_in_order):
        for group in reversed(groups):
            if one.at_us - group[0].at_us <= rules.visit_s * 1e6 and _same_station(one, group[0], rules):
                group.append(one)
                break
        else:
            groups.append([one])
    return [Visit(tuple(group)) for group in groups]


def _same_station(one: Purchase, other: Purchase, rules: PurchaseRules) -> bool:
    if one.station_id is not None and other.station_id is not None:
        return one.station_id == other.station_id
    here, there = _place(one), _place(other)
    return here is None or there is None or distance_m(*here, *there) <= rules.near_km * 1000


def _place(one: Purchase) -> tuple[float, float] | None:
    if one.lat is None or one.lon is None or not (isfinite(one.lat) and isfinite(one.lon)):
        return None
    return one.lat, one.lon


def _match(
    visits: Sequence[Visit], rises: Sequence[Event], rules: PurchaseRules
) -> list[tuple[Visit, Event]]:
    """Return the pairing of most pairs and, of those, of least cost; both in the order of time, so that none cross.

    The alignment of two sequences (Needleman and Wunsch 1970): best[i][j] is of the first i visits and j rises.
    """
    best = [[(0, 0.0)] * (len(rises) + 1) for _ in range(len(visits) + 1)]
    for i, visit in enumerate(visits, 1):
        for j, rise in enumerate(rises, 1):
            cost = _cost(visit, rise, rules)
            choices = [best[i - 1][j], best[i][j - 1]]
            if cost is not None:
                pairs, spent = best[i - 1][j - 1]
                choices.append((pairs - 1, spent + cost))
            best[i][j] = min(choices)
    found: list[tuple[Visit, Event]] = []
    i, j = len(visits), len(rises)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found.append((visits[i], rises[j]))
    return found[::-1]


def _cost(visit: Visit, rise: Event, rules: PurchaseRules) -> float | None:
    """Return how badly a visit fits a rise; None if not at all. In whole thousandths, so that sums are exact."""
    before_us, after_us = rules.before_s * 1e6, rules.after_s * 1e6
    if not rise.start_us - before_us <= visit.at_us <= rise.end_us + after_us:
        return None
    away_us = max(rise.start_us - visit.until_us, visit.at_us - rise.end_us, 0)
    differs = abs(visit.volume_l - rise.volume_l) / max(visit.volume_l, rise.volume_l)
    return float(round(1000 * (away_us / after_us + 2 * differs)))


def agrees_within_l(volume_l: float, tank_l: float | None, rules: PurchaseRules) -> float:
    """Return by how many litres a purchase and a rise may differ."""
    return max(rules.volume_l, rules.volume_share * volume_l, rules.tank_share * (tank_l or 0.0))


def _judge_volume(
    visit: Visit, rise: Event | None, tank: float | None, rules: PurchaseRules
) -> list[Mismatch]:
    """Hold the volume against what was free in the tank (all of it, where no rise tells the level) and the rise."""
    found = []
    if tank is not None:
        free = tank - max(rise.level_before_l, 0.0) if rise else tank
        too_much = visit.volume_l - free - rules.tank_share * tank
        if too_much > 0:
            found.append(
                Mismatch(
                    Finding.OVER_TANK, visit.at_us, too_much, visit, rise, level_is_known=rise is not None
                )
            )
    if rise is not None:
        missing = visit.volume_l - rise.volume_l
        if missing > agrees_within_l(visit.volume_l, tank, rules):
            found.append(Mismatch(Finding.WITHOUT_RISE, visit.at_us, missing, visit, rise))
        elif -missing > agrees_within_l(rise.volume_l, tank, rules):
            found.append(Mismatch(Finding.RISE_WITHOUT, rise.start_us, -missing, visit, rise))
    return found


def _is_seen(visit: Visit, from_us: int | None, until_us: int | None, rules: PurchaseRules) -> bool:
    """Say whether the time in which the rise should lie has been seen."""
    return (from_us is None or visit.at_us - rules.after_s * 1e6 >= from_us) and (
        until_us is None or visit.until_us + rules.before_s * 1e6 <= until_us
    )


def _missing_rise(
    visit: Visit, tank: float | None, levels_seen: Callable[[int, int], bool], rules: PurchaseRules
) -> list[Mismatch]:
    """Return the finding, if levels before and after were there and the volume is one that they would show."""
    if visit.volume_l <= agrees_within_l(visit.volume_l, tank, rules):
        return []
    first_us, last_us = visit.at_us - int(rules.after_s * 1e6), visit.until_us + int(rules.before_s * 1e6)
    if not levels_seen(first_us, last_us):
        return []
    return [Mismatch(Finding.WITHOUT_RISE, visit.at_us, visit.volume_l, visit, None)]


def _judge_place(
    visit: Visit, rise: Event | None, positions: Sequence[Position], rules: PurchaseRules
) -> list[Mismatch]:
    place = next((at for at in map(_place, visit.purchases) if at is not None), None)
    if place is None:
        return []
    away = _away_km(visit, place, positions, rules)
    if away is None or away <= rules.near_km:
        return []
    return [Mismatch(Finding.ELSEWHERE, visit.at_us, visit.volume_l, visit, rise, km=away)]


def _away_km(
    visit: Visit, place: tuple[float, float], positions: Sequence[Position], rules: PurchaseRules
) -> float | None:
    """Return how far from the station the vehicle stayed at least; None if its positions do not tell.

    Between two positions it may have been to the station, no faster than `most_kmh`: what of the way it cannot have
    driven is how far it stayed. Positions must lie on both sides of the time in question.
    """
    first, last = visit.at_us - rules.near_s * 1e6, visit.until_us + rules.near_s * 1e6
    inside = [one for one in positions if first <= one.at_us <= last]
    nearest = min((distance_m(*place, one.lat, one.lon) / 1000 for one in inside), default=None)
    if nearest is not None and nearest <= rules.near_km:
        return 0.0
    # Each stretch between neighbours in which the window lies: could the station have been visited in it?
    edges = [one for one in positions if one.at_us < first][-1:] + inside
    edges += [one for one in positions if one.at_us > last][:1]
    if not edges or edges[0].at_us > first or edges[-1].at_us < last:
        return None
    least = min(_detour_km(a, b, place, rules) for a, b in itertools.pairwise(edges))
    return least if nearest is None else min(least, nearest)


def _detour_km(a: Position, b: Position, place: tuple[float, float], rules: PurchaseRules) -> float:
    """Return how near to the station it can have come between two positions, as the slack of the way over it."""
    there = distance_m(*place, a.lat, a.lon) / 1000
    back = distance_m(*place, b.lat, b.lon) / 1000
    reach = rules.most_kmh * (b.at_us - a.at_us) / 3.6e9
    return max((there + back - reach) / 2, 0.0)
