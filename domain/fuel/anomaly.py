"""Anomalies: what happened, how far it stands out, how grave it is, and what may have caused it, in words.

No flag says "theft". Each possible cause gets points for what speaks for it and against it, and the points a word.
Reasons stand beside, so that who reads it can weigh them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.fuel.baseline import Baseline, Profile
from domain.fuel.consumption import Method, TripFuel
from domain.fuel.events import Event, EventKind
from domain.fuel.losses import DAY_US, Leak
from domain.fuel.purchases import Finding, Mismatch
from domain.fuel.rules import AnomalyRules, LeakRules


class Kind(StrEnum):
    """What an anomaly is of."""

    DRAIN_PARKED = "drain_parked"
    DRAIN_MOVING = "drain_moving"
    LEAK = "leak"
    PURCHASE_OVER_TANK = "purchase_over_tank"
    PURCHASE_ELSEWHERE = "purchase_elsewhere"
    PURCHASE_WITHOUT_RISE = "purchase_without_rise"
    RISE_WITHOUT_PURCHASE = "rise_without_purchase"
    CONSUMPTION_HIGH = "consumption_high"
    SENSOR = "sensor"


class Severity(StrEnum):
    """By litres at stake and how sure it is that they are."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Source(StrEnum):
    """What may be behind an anomaly."""

    THEFT = "theft"
    LEAK = "leak"
    MECHANICAL = "mechanical"
    SENSOR = "sensor"
    WEATHER = "weather"
    LOAD = "load"


class Word(StrEnum):
    """How sure a cause is, in words."""

    UNLIKELY = "unlikely"
    POSSIBLE = "possible"
    LIKELY = "likely"
    VERY_LIKELY = "very likely"


_WORDS = (Word.UNLIKELY, Word.POSSIBLE, Word.LIKELY, Word.VERY_LIKELY)


@dataclass(frozen=True)
class Cause:
    """A possible cause, its word, and what speaks for and against it."""

    cause: Source
    confidence: Word
    why: str

    def as_json(self) -> dict[str, str]:
        """Return it as it stands in the mart."""
        return {"cause": str(self.cause), "confidence": str(self.confidence), "why": self.why}


@dataclass(frozen=True)
class Anomaly:
    """One anomaly of one vehicle.

    Attributes:
        vehicle: code.
        kind: what it is of.
        occurred_us, ended_us: when.
        volume_l: litres at stake; None where there is none to tell.
        score: 0 to 1: how far it stands out from what sensors and trips do anyway.
        severity: by volume and score.
        causes: likeliest first.
    """

    vehicle: int
    kind: Kind
    occurred_us: int
    ended_us: int
    volume_l: float | None
    score: float
    severity: Severity
    causes: tuple[Cause, ...]


class _Weighing:
    """Points for and against causes, with reasons."""

    def __init__(self) -> None:
        self._points: dict[Source, int] = {}
        self._why: dict[Source, list[str]] = {}

    def add(self, cause: Source, points: int, why: str) -> None:
        self._points[cause] = self._points.get(cause, 0) + points
        self._why.setdefault(cause, []).append(why)

    def causes(self) -> tuple[Cause, ...]:
        order = sorted(self._points, key=lambda one: (-self._points[one], one))
        return tuple(
            Cause(one, _WORDS[min(max(self._points[one], 0), 3)], "; ".join(self._why[one])) for one in order
        )


def judge_drain(
    event: Event, *, rules: AnomalyRules | None = None, temperature_c: float | None = None
) -> Anomaly:
    """Return the anomaly of a drain."""
    if event.kind is not EventKind.DRAIN:
        raise ValueError(f"{event.kind} of vehicle {event.vehicle} at {event.start_us} us, expected a drain")
    weighing = _Weighing()
    minutes = (event.end_us - event.start_us) / 60e6
    if event.has_gap:
        weighing.add(
            Source.THEFT, 1, f"{event.volume_l:.0f} l less after {minutes / 60:.1f} h without a reading"
        )
        weighing.add(Source.LEAK, 1, "no reading tells how fast it went")
    else:
        weighing.add(
            Source.THEFT, 2, f"{event.volume_l:.0f} l within {minutes:.0f} min, faster than any engine"
        )
        weighing.add(Source.LEAK, 0, "too quick for anything but a burst line or tank")
    if event.in_motion:
        weighing.add(Source.THEFT, -1, "it was under way")
        weighing.add(Source.LEAK, 1, "a line may break under way")
        weighing.add(Source.MECHANICAL, 1, "a return line may run out under way")
        weighing.add(Source.SENSOR, 1, "levels under way slosh")
    if event.is_confirmed:
        weighing.add(Source.THEFT, 1, "driving before and after shows it too")
        weighing.add(Source.SENSOR, 0, "driving before and after shows it too")
    else:
        weighing.add(Source.SENSOR, 1, "there is no driving yet that shows it too")
    if temperature_c is not None and temperature_c < LeakRules.cold_c and event.has_gap:
        weighing.add(Source.WEATHER, 1, f"at {temperature_c:.0f} degC a parking heater may have run")
    kind = Kind.DRAIN_MOVING if event.in_motion else Kind.DRAIN_PARKED
    return _anomaly(
        event.vehicle, kind, event.start_us, event.end_us, event.volume_l, event.confidence, weighing, rules
    )


def judge_leak(leak: Leak, *, rules: AnomalyRules | None = None, leaks: LeakRules | None = None) -> Anomaly:
    """Return the anomaly of a slow loss."""
    leaks, weighing = leaks or LeakRules(), _Weighing()
    days = leak.last_day - leak.first_day + 1
    if leak.is_parked:
        weighing.add(
            Source.LEAK, 2, f"{leak.parked_l:.0f} l in {leak.parked_h:.0f} h of standing, a little at a time"
        )
        weighing.add(Source.THEFT, 0, "no step in the level")
        weighing.add(Source.MECHANICAL, 0, "it goes while the engine is off")
    else:
        weighing.add(Source.LEAK, 1, f"{leak.litres:.0f} l in {days} days that the counter did not see")
        weighing.add(Source.MECHANICAL, 1, "it goes while the engine runs: a return line, an injector")
        weighing.add(Source.THEFT, 1, "a tapped line takes fuel under way")
        weighing.add(Source.SENSOR, 1, "counter and level may be at odds")
    if leak.is_measured:
        weighing.add(Source.LEAK, 1 if leak.is_parked else 0, "burn is measured")
    else:
        weighing.add(Source.SENSOR, 1, "burn is not measured")
    if leak.coldest_c is not None and leak.coldest_c < leaks.cold_c and leak.is_parked:
        heater = leak.parked_lph <= leaks.heater_lph
        weighing.add(
            Source.WEATHER, 2 if heater else 1, f"down to {leak.coldest_c:.0f} degC; {leak.parked_lph:.1f} l/h "
            + ("is what a parking heater burns" if heater else "is more than a parking heater burns"),
        )  # fmt: skip
        weighing.add(Source.LEAK, -1 if heater else 0, "it is cold")
    score = round(min(0.5 + 0.1 * days + (0.1 if leak.is_parked else 0.0), 0.95), 2)
    return _anomaly(
        leak.vehicle, Kind.LEAK, leak.first_day * DAY_US, (leak.last_day + 1) * DAY_US, leak.litres, score,
        weighing, rules,
    )  # fmt: skip


def judge_mismatch(vehicle: int, mismatch: Mismatch, *, rules: AnomalyRules | None = None) -> Anomaly:
    """Return the anomaly of a purchase, or of a rise without one."""
    weighing = _Weighing()
    litres = mismatch.volume_l
    match mismatch.finding:
        case Finding.OVER_TANK:
            weighing.add(Source.THEFT, 3, f"{litres:.0f} l more than the tank had room for")
            weighing.add(
                Source.SENSOR, 0 if mismatch.event is None else 1, "unless the level before is wrong"
            )
        case Finding.ELSEWHERE:
            weighing.add(
                Source.THEFT,
                3 if mismatch.event is None else 1,
                f"the vehicle was {mismatch.km:.1f} km away at least",
            )
            weighing.add(Source.SENSOR, 0 if mismatch.event is None else 2, _place_doubt(mismatch))
        case Finding.WITHOUT_RISE:
            part = "of it " if mismatch.event is not None else ""
            weighing.add(Source.THEFT, 2, f"{litres:.0f} l {part}paid for and not seen in the tank")
            weighing.add(Source.SENSOR, 1, "unless the level sensor missed it")
        case Finding.RISE_WITHOUT:
            weighing.add(Source.SENSOR, 1, f"the level rose by {litres:.0f} l that no card paid for")
            weighing.add(Source.THEFT, 0, "fuel came in, none went")
    kind = Kind(str(mismatch.finding))
    sure = {
        Finding.OVER_TANK: 0.9,
        Finding.ELSEWHERE: 0.8,
        Finding.WITHOUT_RISE: 0.7,
        Finding.RISE_WITHOUT: 0.4,
    }
    score = sure[mismatch.finding] - (0.2 if _is_doubtful(mismatch) else 0.0)
    until = mismatch.visit.until_us if mismatch.visit else (mismatch.event or _none(mismatch)).end_us
    return _anomaly(
        vehicle, kind, mismatch.at_us, max(until, mismatch.at_us), litres, round(score, 2), weighing, rules,
        most=Severity.LOW if kind is Kind.RISE_WITHOUT_PURCHASE else Severity.HIGH,
    )  # fmt: skip


def _none(mismatch: Mismatch) -> Event:
    raise ValueError(f"{mismatch.finding} at {mismatch.at_us} us has neither visit nor rise, expected one")


def _is_doubtful(mismatch: Mismatch) -> bool:
    return mismatch.finding is Finding.ELSEWHERE and mismatch.event is not None


def _place_doubt(mismatch: Mismatch) -> str:
    if mismatch.event is None:
        return "no level rose then either"
    return "the level rose then: the station's place may be wrong"


def judge_consumption(
    vehicle: int,
    started_us: int,
    ended_us: int,
    km: float,
    fuel: TripFuel,
    baseline: Baseline,
    profile: Profile,
    *,
    high_before: int = 0,
    rules: AnomalyRules | None = None,
) -> Anomaly | None:
    """Return the anomaly of a trip that burnt more than expected; None if it did not.

    `high_before`: how many of the vehicle's last five trips were above their baseline too.
    """
    rules = rules or AnomalyRules()
    if fuel.l_100km is None or km <= 0:
        return None
    above = baseline.deviation(fuel.l_100km)
    share = fuel.l_100km / baseline.centre_l_100km - 1
    if above < rules.consumption_sigmas or share < rules.consumption_share:
        return None
    weighing = _Weighing()
    weighing.add(
        Source.MECHANICAL, 1, f"{fuel.l_100km:.1f} l/100 km where {baseline.centre_l_100km:.1f} are usual"
    )
    if high_before >= rules.repeat:
        weighing.add(Source.MECHANICAL, 2, f"{high_before} of the last 5 trips were high too")
    _weigh_conditions(weighing, profile)
    _weigh_methods(weighing, fuel, rules)
    extra = (fuel.l_100km - baseline.centre_l_100km) * km / 100
    score = round(min(1 - 1 / above**0.5 + 0.05 * min(baseline.own, 5), 0.99), 2)
    return _anomaly(vehicle, Kind.CONSUMPTION_HIGH, started_us, ended_us, extra, score, weighing, rules)


def _weigh_conditions(weighing: _Weighing, profile: Profile) -> None:
    if profile.load == "unknown":
        weighing.add(Source.LOAD, 2, "how heavy it was is not known")
    else:
        weighing.add(Source.LOAD, 0, f"it is held against trips of the same load ({profile.load})")
    if profile.temperature == "unknown":
        weighing.add(Source.WEATHER, 1, "neither wind nor temperature is known")
    elif profile.temperature in ("cold", "hot"):
        weighing.add(Source.WEATHER, 1, f"it was {profile.temperature}; wind is not known")
    else:
        weighing.add(Source.WEATHER, 0, f"it was {profile.temperature}; wind is not known")


def _weigh_methods(weighing: _Weighing, fuel: TripFuel, rules: AnomalyRules) -> None:
    if fuel.method is Method.LEVEL:
        weighing.add(Source.THEFT, 1, "told by the level alone, which falls by any loss")
        weighing.add(Source.LEAK, 1, "told by the level alone, which falls by any loss")
        weighing.add(Source.SENSOR, 1, "told by the level alone")
    elif (
        fuel.by_level_l is not None
        and fuel.litres is not None
        and _differ(fuel.litres, fuel.by_level_l, fuel, rules)
    ):
        weighing.add(
            Source.SENSOR,
            1,
            f"the level fell by {fuel.by_level_l:.0f} l, {fuel.method} says {fuel.litres:.0f}",
        )
    else:
        weighing.add(Source.THEFT, 0, "the engine burnt it")


def judge_methods(
    vehicle: int, started_us: int, ended_us: int, fuel: TripFuel, *, rules: AnomalyRules | None = None
) -> Anomaly | None:
    """Return the anomaly of a trip whose ways of telling disagree beyond their errors; None if they do not."""
    rules = rules or AnomalyRules()
    pairs = [
        (Method.TOTAL, fuel.by_total_l, Method.RATE, fuel.by_rate_l),
        (Method.TOTAL, fuel.by_total_l, Method.LEVEL, fuel.by_level_l),
        (Method.RATE, fuel.by_rate_l, Method.LEVEL, fuel.by_level_l),
    ]
    for one, litres, other, beside in pairs:
        if litres is None or beside is None or not _differ(litres, beside, fuel, rules, of=other):
            continue
        weighing = _Weighing()
        weighing.add(Source.SENSOR, 2, f"{one} says {litres:.0f} l, {other} {beside:.0f} l")
        if other is Method.LEVEL and beside > litres:
            weighing.add(Source.THEFT, 1, "the tank lost more than was burnt")
            weighing.add(Source.LEAK, 1, "the tank lost more than was burnt")
        score = round(min(0.4 + abs(litres - beside) / max(litres, beside) / 2, 0.9), 2)
        return _anomaly(
            vehicle, Kind.SENSOR, started_us, ended_us, abs(litres - beside), score, weighing, rules,
            most=Severity.MEDIUM,
        )  # fmt: skip
    return None


def _differ(
    litres: float, beside: float, fuel: TripFuel, rules: AnomalyRules, of: Method = Method.LEVEL
) -> bool:
    error = 3 * (fuel.level_error_l or 0.0) if of is Method.LEVEL else 0.0
    least = max(rules.disagree_l, rules.disagree_share * max(litres, beside), error)
    return abs(litres - beside) > least


def judge_stuck(
    vehicle: int, first_us: int, last_us: int, burnt_l: float, *, rules: AnomalyRules | None = None
) -> Anomaly:
    """Return the anomaly of a level that stood still while fuel was burnt."""
    weighing = _Weighing()
    weighing.add(Source.SENSOR, 3, f"the level did not move while {burnt_l:.0f} l were burnt")
    return _anomaly(
        vehicle,
        Kind.SENSOR,
        first_us,
        last_us,
        None,
        0.9,
        weighing,
        rules,
        most=Severity.MEDIUM,
        least=Severity.LOW,
    )


def _anomaly(
    vehicle: int, kind: Kind, first_us: int, last_us: int, volume_l: float | None, score: float, weighing: _Weighing,
    rules: AnomalyRules | None, *, most: Severity = Severity.HIGH, least: Severity = Severity.INFO,
) -> Anomaly:  # fmt: skip
    rules, order = rules or AnomalyRules(), list(Severity)
    place = 0
    if volume_l is not None:
        place = 1 + (volume_l >= rules.medium_l) + (volume_l >= rules.high_l)
        place -= score < rules.doubtful_below
    place = min(max(place, order.index(least)), order.index(most))
    return Anomaly(vehicle, kind, first_us, last_us, volume_l, score, order[place], weighing.causes())


def sort_anomalies(anomalies: Sequence[Anomaly]) -> list[Anomaly]:
    """Return them by vehicle, time and kind."""
    return sorted(anomalies, key=lambda one: (one.vehicle, one.occurred_us, one.kind, one.ended_us))
