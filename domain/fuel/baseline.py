"""What a vehicle burns on such a route: robust centre and spread, shrunk to the wider group where samples are few."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median

from domain.fuel.losses import DAY_US
from domain.fuel.rules import BaselineRules

_NORMAL = 1.4826
_TERRAIN = ("flat", "rolling", "hilly", "mountain")
_LOAD = ("empty", "part", "full")
_TEMPERATURE = ("cold", "cool", "mild", "hot")
UNKNOWN = "unknown"


@dataclass(frozen=True, order=True)
class Profile:
    """The bands of a trip's route; `unknown` is a band of its own."""

    terrain: str = UNKNOWN
    load: str = UNKNOWN
    temperature: str = UNKNOWN


@dataclass(frozen=True)
class TripSample:
    """A trip with litres: which vehicle and model, when it ended, what it burnt for 100 km, on which profile."""

    vehicle: str
    model: str
    ended_us: int
    l_100km: float
    profile: Profile


@dataclass(frozen=True)
class Baseline:
    """What is expected.

    Attributes:
        centre_l_100km: litres for 100 km.
        spread_l_100km: standard deviation, by MAD; never less than the floor, so that dividing by it is safe.
        own: trips of the vehicle on the profile.
        wider: trips of the model.
        basis: the narrowest group that has samples: 'vehicle_profile', 'vehicle', 'model_profile' or 'model'.
    """

    centre_l_100km: float
    spread_l_100km: float
    own: int
    wider: int
    basis: str

    def deviation(self, l_100km: float) -> float:
        """Return how many spreads a trip is above what is expected."""
        return (l_100km - self.centre_l_100km) / self.spread_l_100km


def profile_of(
    climb_m_km: float | None,
    load_share: float | None,
    temperature_c: float | None,
    rules: BaselineRules | None = None,
) -> Profile:
    """Return the bands; a value on a border is in the upper one; what is None or not finite is `unknown`."""
    rules = rules or BaselineRules()
    return Profile(
        _band(climb_m_km, rules.climb_m_km, _TERRAIN),
        _band(load_share, rules.load_share, _LOAD),
        _band(temperature_c, rules.temperature_c, _TEMPERATURE),
    )


def _band(value: float | None, borders: Sequence[float], names: Sequence[str]) -> str:
    return UNKNOWN if value is None or not isfinite(value) else names[bisect_right(borders, value)]


def climb_m(altitudes_m: Iterable[float], slack_m: float = BaselineRules.altitude_slack_m) -> float:
    """Return the metres climbed; a climb counts from its lowest point once it exceeds the slack. NaN is skipped."""
    total, low, high = 0.0, None, None
    for altitude in altitudes_m:
        if not isfinite(altitude):
            continue
        if low is None or high is None:
            low = high = altitude
        elif altitude > high:
            high = altitude
        elif high - altitude > slack_m or altitude < low:
            # The climb is over: what it gained counts if it was more than noise.
            total += high - low if high - low > slack_m else 0.0
            low = high = altitude
    return total + (high - low if low is not None and high is not None and high - low > slack_m else 0.0)


def make_baseline(
    samples: Iterable[TripSample],
    vehicle: str,
    model: str,
    profile: Profile,
    rules: BaselineRules | None = None,
) -> Baseline | None:
    """Return what is expected of a vehicle on a profile; None with fewer than the least samples of its model.

    `samples` are trips before the one that is to be judged, of any vehicle, in any order. The estimate goes from the
    model over the model on the profile and the vehicle to the vehicle on the profile; each group's median and variance
    count with n / (n + weight) beside what came before (James and Stein's shrinkage in its plainest form).
    """
    rules = rules or BaselineRules()
    book = BaselineBook((one for one in samples if one.model == model), rules)
    return book.baseline(vehicle, profile)


class BaselineBook:
    """The trips of one model before some day, grouped once, to be asked for any vehicle and profile."""

    def __init__(self, samples: Iterable[TripSample], rules: BaselineRules | None = None) -> None:
        """Group the samples; those that are not finite or not more than 0 do not count."""
        self._rules = rules or BaselineRules()
        self._groups: dict[tuple[str | None, Profile | None], list[float]] = {}
        self._known: dict[tuple[str | None, Profile | None], tuple[float, float]] = {}
        vehicle_days: set[tuple[str, int]] = set()
        for one in samples:
            if not isfinite(one.l_100km) or one.l_100km <= 0:
                continue
            vehicle_days.add((one.vehicle, one.ended_us // DAY_US))
            for key in ((None, None), (None, one.profile), (one.vehicle, None), (one.vehicle, one.profile)):
                self._groups.setdefault(key, []).append(one.l_100km)
        self._vehicle_days = len(vehicle_days)

    def baseline(self, vehicle: str, profile: Profile) -> Baseline | None:
        """Return what is expected; see `make_baseline`."""
        keys: dict[str, tuple[str | None, Profile | None]] = {
            "model": (None, None),
            "model_profile": (None, profile),
            "vehicle": (vehicle, None),
            "vehicle_profile": (vehicle, profile),
        }
        sizes = {name: len(self._groups.get(key, ())) for name, key in keys.items()}
        if sizes["model"] < max(self._rules.least_samples, 1):
            return None
        centre, spread, basis = 0.0, 0.0, ""
        for name, key in keys.items():
            if not sizes[name]:
                continue
            own_centre, own_spread = self._estimate(key)
            share = sizes[name] / (sizes[name] + self._rules.weight) if basis else 1.0
            # Of one or two trips a spread says nothing.
            spread_share = share if sizes[name] > 2 or not basis else 0.0
            centre += share * (own_centre - centre)
            spread = ((1 - spread_share) * spread**2 + spread_share * own_spread**2) ** 0.5
            basis = name
        if profile.load == UNKNOWN:
            # A few days may have been equally heavy by chance; the next is not. The load of a day is much the same.
            of_load = self._rules.load_unknown_share * centre
            share = self._rules.weight / (self._vehicle_days + self._rules.weight)
            spread = max(spread, ((1 - share) * spread**2 + share * of_load**2) ** 0.5)
        floor = max(self._rules.floor_share * centre, self._rules.floor_l_100km, 1e-9)
        return Baseline(centre, max(spread, floor), sizes["vehicle_profile"], sizes["model"], basis)

    def _estimate(self, key: tuple[str | None, Profile | None]) -> tuple[float, float]:
        """Return the median and the standard deviation by MAD of a group."""
        if key not in self._known:
            values = self._groups[key]
            centre = median(values)
            self._known[key] = centre, _NORMAL * median([abs(one - centre) for one in values])
        return self._known[key]
