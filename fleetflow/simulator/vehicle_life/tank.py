"""The tank: what is burnt, filled in, stolen or lost, what the sensor says of it, and what the fuel card was charged.

Seconds since 1970 and litres. Every planted event is a ramp of the true level, or a purchase that the level belies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.crew import Vehicle
from fleetflow.simulator.geo import Point, offset
from fleetflow.simulator.vehicle_life.diary import Diary, Stand
from fleetflow.simulator.vehicle_life.samples import Samples, thirstier

Floats = npt.NDArray[np.float64]
HOUR_S = 3600.0
# Nobody fills up a tank that is fuller: a rise of a few litres is beyond what a level tells.
FILL_UP_BELOW, MOST_LEVEL = 0.34, 0.8
LEAST_STOP_MINUTES = 14
NOISE, SLOSH, TILT = 0.25, 1.1, 30.0
FAR_KM = 160.0
STUCK_SHARE, STUCK_LEAST_L = 0.15, 25.0
THIRST = 1.7
# What is usual shows in so many trips; warming up and lights tell more of a shorter one than the engine does.
USUAL_TRIPS, THIRSTY_TRIPS, TELLING_KM = 9, 3, 8.0
DAY_S = 86_400


class Mischief(StrEnum):
    """What is planted with a vehicle's fuel or odometer."""

    NOTHING = "nothing"
    THEFT_PARKED = "drain_parked"
    THEFT_MOVING = "drain_moving"
    LEAK = "leak"
    OVER_TANK = "purchase_over_tank"
    ELSEWHERE = "purchase_elsewhere"
    NO_RISE = "purchase_without_rise"
    ROLLBACK = "odometer_rollback"
    STUCK = "sensor"
    THIRST = "consumption_high"


TURNS = (
    Mischief.THEFT_PARKED, Mischief.LEAK, Mischief.NO_RISE, Mischief.THEFT_MOVING, Mischief.OVER_TANK,
    Mischief.STUCK, Mischief.THEFT_PARKED, Mischief.ELSEWHERE, Mischief.ROLLBACK, Mischief.THEFT_PARKED,
    Mischief.LEAK, Mischief.OVER_TANK, Mischief.NO_RISE, Mischief.ELSEWHERE, Mischief.STUCK,
    # Tried more often than wanted: not all of these have been driven enough before and after.
    Mischief.THIRST, Mischief.THIRST, Mischief.THIRST, Mischief.NOTHING, Mischief.THIRST, Mischief.THIRST,
    Mischief.NOTHING, Mischief.THIRST,
)  # fmt: skip


class Ramp(NamedTuple):
    """Litres that come (or, below nought, go) evenly between two moments."""

    start_s: float
    end_s: float
    litres: float


class Purchase(NamedTuple):
    """One line of the fuel card's bill; the place is the station's."""

    vehicle_id: str
    driver_id: str | None
    at_s: float
    product: str
    litres: float
    place: Point
    country: str
    odometer_km: float


class FuelEvent(NamedTuple):
    """What is true of a vehicle's fuel: what happened, from when until when, how many litres.

    `is_hard`: nobody need see it.
    """

    kind: str
    start_s: float
    end_s: float
    litres: float
    is_hard: bool = False


@dataclass(frozen=True)
class Tank:
    """A tank's life: true level and sensor's percentage at each sample, events and purchases."""

    level_l: Floats
    sensor_pct: Floats
    events: tuple[FuelEvent, ...]
    purchases: tuple[Purchase, ...]


@dataclass
class _Book:
    """What is gathered while the tank's life goes on."""

    ramps: list[Ramp] = field(default_factory=list)
    events: list[FuelEvent] = field(default_factory=list)
    purchases: list[Purchase] = field(default_factory=list)

    def level(self, at_s: Floats | float) -> Floats:
        """Return what all ramps have added up to then."""
        total = np.zeros_like(np.asarray(at_s, dtype=np.float64))
        for start, end, litres in self.ramps:
            total += litres * np.clip((np.asarray(at_s) - start) / (end - start), 0, 1)
        return total


class Plan(NamedTuple):
    """What is planted, and where of the diary: a stand (by its place), a trip, or a time."""

    mischief: Mischief
    stand: int = -1
    start_s: float = 0.0
    end_s: float = 0.0
    share: float = 0.0


def plan_mischief(mischief: Mischief, diary: Diary, start_s: float, rng: Random) -> Plan:
    """Choose where to plant; nothing is planted where the diary has no room for it."""
    begin_s = diary.stands[0].start * 60.0
    if mischief is Mischief.LEAK:
        return Plan(
            mischief, -1, begin_s + rng.uniform(10, 20) * HOUR_S, start_s - rng.uniform(2, 6) * HOUR_S, 0.004
        )
    if mischief is Mischief.STUCK:
        return _stuck_sensor(diary, begin_s, start_s, rng)
    if mischief is Mischief.THIRST:
        return _thirst(diary, begin_s, start_s)
    if mischief is Mischief.ROLLBACK:
        at_s = begin_s + rng.uniform(20, 30) * HOUR_S
        return Plan(mischief, -1, at_s, at_s + 30 * HOUR_S)
    if mischief is Mischief.THEFT_MOVING:
        return _moving_theft(diary, begin_s, start_s, rng)
    if mischief is Mischief.ELSEWHERE:
        trips = [
            t for t in diary.trips if t.start * 60 > begin_s + 6 * HOUR_S and t.end * 60 < start_s - HOUR_S
        ]
        if not trips:
            return Plan(Mischief.NOTHING)
        trip = rng.choice(trips)
        at_s = 30.0 * (trip.start + trip.end)
        return Plan(mischief, -1, at_s, at_s, rng.uniform(0.4, 0.6))
    wants_off = mischief is Mischief.THEFT_PARKED
    places = [
        place
        for place, stand in enumerate(diary.stands[1:-1], 1)
        if stand.is_off == wants_off
        and stand.end - stand.start >= (120 if wants_off else LEAST_STOP_MINUTES)
        and stand.start * 60 > begin_s + 6 * HOUR_S
        and stand.end * 60 < start_s - HOUR_S
    ]
    if not places:
        return Plan(Mischief.NOTHING)
    share = rng.uniform(0.14, 0.26) if wants_off else rng.uniform(0.4, 0.5)
    return Plan(mischief, rng.choice(places), share=share)


def _stuck_sensor(diary: Diary, begin_s: float, start_s: float, rng: Random) -> Plan:
    """It hangs from early in a trip on, for as long as so much of the tank takes: at rest all levels stand."""
    kind, chosen = diary.vehicle.kind, []
    ended = [trip for trip in diary.trips if trip.end * 60 < start_s - HOUR_S]
    for place, trip in enumerate(ended):
        litres = 0.0
        for later in ended[place:]:
            litres += later.path.length_km * kind.consumption / 100
            if (
                litres >= max(STUCK_SHARE * kind.tank_l, STUCK_LEAST_L)
                and trip.start * 60 > begin_s + 6 * HOUR_S
            ):
                chosen.append((trip.start * 60.0 + 300, later.end * 60.0))
                break
    return Plan(Mischief.STUCK, -1, *rng.choice(chosen)) if chosen else Plan(Mischief.NOTHING)


def _thirst(diary: Diary, begin_s: float, start_s: float) -> Plan:
    """From the last midnight on (UTC) that has enough trips on both sides."""
    trips = [trip for trip in diary.trips if trip.path.length_km >= TELLING_KM]
    for midnight in np.arange(start_s // DAY_S * DAY_S, begin_s, -DAY_S).tolist():
        before = sum(trip.end * 60 < midnight for trip in trips)
        after = sum(trip.start * 60 >= midnight and trip.end * 60 < start_s - HOUR_S for trip in trips)
        if after >= THIRSTY_TRIPS:
            enough = before >= USUAL_TRIPS
            return (
                Plan(Mischief.THIRST, -1, midnight, start_s, THIRST - 1) if enough else Plan(Mischief.NOTHING)
            )
    return Plan(Mischief.NOTHING)


def _moving_theft(diary: Diary, begin_s: float, start_s: float, rng: Random) -> Plan:
    trips = [
        trip
        for trip in diary.trips
        if trip.end - trip.start >= 60 and begin_s + 6 * HOUR_S < trip.start * 60 < start_s - 4 * HOUR_S
    ]
    if not trips:
        return Plan(Mischief.NOTHING)
    at_s = rng.choice(trips).start * 60.0 + 1200
    return Plan(Mischief.THEFT_MOVING, -1, at_s, at_s + 900, rng.uniform(0.11, 0.15))


def fill_and_burn(diary: Diary, samples: Samples, plan: Plan, start_s: float, rng: Random) -> Tank:
    """Live the tank's life: burn, fill up where it runs low and there is time, and what is planned besides."""
    vehicle, book = diary.vehicle, _Book()
    tank = float(vehicle.kind.tank_l)
    first = rng.uniform(0.5, 0.92) * tank
    used = samples.used_l - samples.used_l[0]
    if plan.mischief in (Mischief.LEAK, Mischief.THEFT_MOVING):
        hours = (plan.end_s - plan.start_s) / HOUR_S
        litres = plan.share * tank * (hours if plan.mischief is Mischief.LEAK else 1.0)
        book.ramps.append(Ramp(plan.start_s, plan.end_s, -litres))
        book.events.append(FuelEvent(plan.mischief, plan.start_s, plan.end_s, litres))
    for place, stand in enumerate(diary.stands[:-1]):
        if place == 0:
            continue
        at_s = stand.start * 60.0
        level = first - float(samples.at(at_s, used)) + float(book.level(at_s))
        if plan.mischief is Mischief.OVER_TANK and plan.stand == place and level > MOST_LEVEL * tank:
            plan = plan._replace(stand=_next_long_stop(diary, place, start_s))
        _stop(book, diary, samples, place, level, plan, start_s, rng)
    if plan.mischief is Mischief.ELSEWHERE:
        _bought_elsewhere(book, vehicle, samples, plan, rng)
    level_l = np.clip(first - used + book.level(samples.at_s), 0.0, tank)
    sensor = _sensor(level_l, samples, tank, np.random.default_rng(rng.getrandbits(64)))
    if plan.mischief is Mischief.STUCK:
        sensor = _stuck(sensor, samples, plan, book)
    if plan.mischief is Mischief.ROLLBACK:
        book.events.append(FuelEvent(plan.mischief, plan.start_s, plan.start_s, 0.0))
    if plan.mischief is Mischief.THIRST:
        book.events += _thirsty_trips(diary, samples, plan)
    return Tank(level_l, sensor, tuple(sorted(book.events, key=lambda e: e.start_s)), tuple(book.purchases))


def _next_long_stop(diary: Diary, place: int, start_s: float) -> int:
    """The place of the next stand in a shift that is long enough to fill up; -1 if there is none."""
    later = enumerate(diary.stands[place + 1 : -1], place + 1)
    fit = (
        n
        for n, stand in later
        if not stand.is_off
        and stand.end - stand.start >= LEAST_STOP_MINUTES
        and stand.end * 60 < start_s - HOUR_S
    )
    return next(fit, -1)


def _stop(
    book: _Book,
    diary: Diary,
    samples: Samples,
    place: int,
    level: float,
    plan: Plan,
    start_s: float,
    rng: Random,
) -> None:
    stand, vehicle = diary.stands[place], diary.vehicle
    tank = float(vehicle.kind.tank_l)
    planted = plan.mischief if plan.stand == place else Mischief.NOTHING
    if planted is Mischief.THEFT_PARKED:
        at_s = rng.uniform(stand.start + 40, stand.end - 40) * 60
        litres = min(plan.share * tank, 0.5 * level)
        end_s = at_s + rng.uniform(300, 720)
        book.ramps.append(Ramp(at_s, end_s, -litres))
        book.events.append(FuelEvent(planted, at_s, end_s, litres))
        return
    paid_s = (stand.start + 10) * 60.0
    if planted is Mischief.NO_RISE:
        litres = plan.share * tank
        book.purchases.append(_bought(vehicle, stand, samples, paid_s, litres, rng))
        book.events.append(FuelEvent(planted, paid_s, paid_s, litres))
        return
    due = level < FILL_UP_BELOW * tank and not stand.is_off and stand.end - stand.start >= LEAST_STOP_MINUTES
    if not due and planted is Mischief.NOTHING:
        return
    litres = rng.uniform(0.93, 0.97) * tank - level
    start = stand.start * 60.0 + 240
    book.ramps.append(Ramp(start, start + 300, litres))
    book.events.append(FuelEvent("refill", start, start + 300, litres))
    if paid_s >= start_s - 300:  # the card's file of that day is not written yet
        return
    billed = litres * rng.uniform(0.995, 1.005)
    if planted is Mischief.OVER_TANK:
        billed = tank * rng.uniform(1.25, 1.6)
        book.events.append(FuelEvent(planted, paid_s, paid_s, billed))
    book.purchases.append(_bought(vehicle, stand, samples, paid_s, billed, rng))
    if vehicle.kind.name != "van" and rng.random() < 0.3:
        adblue = _bought(vehicle, stand, samples, paid_s, rng.uniform(15, 40), rng)
        book.purchases.append(adblue._replace(product="AdBlue", at_s=paid_s + 60))


def _bought(
    vehicle: Vehicle, stand: Stand, samples: Samples, at_s: float, litres: float, rng: Random
) -> Purchase:
    return Purchase(
        vehicle.vehicle_id, stand.driver_id, at_s, "Diesel", litres,
        offset(stand.site.point, rng.uniform(0, 360), 0.05), CITIES[stand.site.city].country,
        float(samples.at(at_s, samples.odometer_km)),
    )  # fmt: skip


def _bought_elsewhere(book: _Book, vehicle: Vehicle, samples: Samples, plan: Plan, rng: Random) -> None:
    here = Point(*(float(samples.at(plan.start_s, axis)) for axis in (samples.lat, samples.lon)))
    there = offset(here, rng.uniform(0, 360), FAR_KM + rng.uniform(0, 80))
    litres = plan.share * vehicle.kind.tank_l
    odometer = float(samples.at(plan.start_s, samples.odometer_km))
    country = CITIES[vehicle.city].country
    bought = Purchase(vehicle.vehicle_id, None, plan.start_s, "Diesel", litres, there, country, odometer)
    book.purchases.append(bought)
    book.events.append(FuelEvent(plan.mischief, plan.start_s, plan.start_s, litres))


def _sensor(level_l: Floats, samples: Samples, tank: float, rng: np.random.Generator) -> Floats:
    """A float in a tank: noise at rest, waves and tilt in motion; percent of the tank."""
    n = len(level_l)
    waves = np.convolve(rng.standard_normal(n + 2), [0.5, 0.7, 0.5], mode="valid")
    moving = samples.speed_kmh > 3
    noise = np.where(moving, SLOSH * waves + TILT * samples.slope, NOISE * rng.standard_normal(n))
    return np.clip(100 * level_l / tank + noise, 0.0, 100.0)


def _stuck(sensor: Floats, samples: Samples, plan: Plan, book: _Book) -> Floats:
    held = (samples.at_s >= plan.start_s) & (samples.at_s < plan.end_s)
    if not held.any():
        return sensor
    book.events.append(FuelEvent(plan.mischief, plan.start_s, plan.end_s, 0.0))
    return np.where(held, sensor[int(np.argmax(held))], sensor)


def _thirsty_trips(diary: Diary, samples: Samples, plan: Plan) -> Iterator[FuelEvent]:
    """Each trip that burnt too much, with the litres that were too many."""
    for trip in diary.trips:
        if trip.start * 60 >= plan.start_s:
            start_s, end_s = trip.start * 60.0, trip.end * 60.0
            burnt = float(np.diff(samples.at(np.array([start_s, end_s]), samples.used_l))[0])
            extra = burnt * plan.share / (1 + plan.share)
            yield FuelEvent(plan.mischief, start_s, end_s, extra, trip.path.length_km < TELLING_KM)


def burn_more(samples: Samples, plan: Plan) -> Samples:
    """Let the engine burn more from the planted moment on."""
    return (
        samples if plan.mischief is not Mischief.THIRST else thirstier(samples, plan.start_s, 1 + plan.share)
    )


def roll_back(samples: Samples, plan: Plan, km: float) -> Samples:
    """Let the odometer fall by so many kilometres at the planted moment."""
    if plan.mischief is not Mischief.ROLLBACK:
        return samples
    fallen = np.where(samples.at_s >= plan.start_s, km, 0.0)
    return replace(samples, odometer_km=samples.odometer_km - fallen)
