"""Which vehicles live a whole life, who drives them, and on which shifts; what is planted with whom.

Vehicles are taken from Europe, where Regulation (EC) 561/2006 holds and roads lead from city to city. A quarter of
them have two drivers: half of those pairs share the vehicle in turn, twelve hours apart, the others drive as a crew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.crew import Crew, Vehicle
from fleetflow.simulator.network import Network
from fleetflow.simulator.plan import PlanError

EUROPE = frozenset(("uk-ireland", "benelux", "dach", "france", "iberia", "italy", "nordics", "east-europe"))
SHARES = {"tractor": 0.42, "truck": 0.25, "van": 0.33}
HALF_DAY = 720
SATURDAY = 5


class Scenario(StrEnum):
    """What is planted with a driver; `LAWFUL` is nothing."""

    LAWFUL = "lawful"
    NO_BREAK = "no_break"
    LONG_DAY = "long_day"
    SHORT_REST = "short_rest"
    HEAVY_WEEK = "heavy_week"
    HEAVY_FORTNIGHT = "heavy_fortnight"
    NO_WEEKLY_REST = "no_weekly_rest"
    SHORT_WEEKLY_RESTS = "short_weekly_rests"
    REST_WITHOUT_RECORD = "rest_without_record"
    CREW_LONG_DAY = "crew_long_day"
    CREW_SHORT_REST = "crew_short_rest"


# Weeks count from Monday, so what breaks a weekly rule is planted with who is off on Saturday and Sunday.
WEEKLY = frozenset(
    (
        Scenario.HEAVY_WEEK,
        Scenario.HEAVY_FORTNIGHT,
        Scenario.NO_WEEKLY_REST,
        Scenario.SHORT_WEEKLY_RESTS,
    )
)
# The drivers of vans make too many stops to drive so long.
ENDURING = frozenset((Scenario.HEAVY_WEEK, Scenario.HEAVY_FORTNIGHT, Scenario.LONG_DAY))
TURNS = (
    Scenario.HEAVY_WEEK, Scenario.HEAVY_FORTNIGHT, Scenario.LONG_DAY, Scenario.NO_BREAK, Scenario.SHORT_REST,
    Scenario.NO_WEEKLY_REST, Scenario.SHORT_WEEKLY_RESTS, Scenario.REST_WITHOUT_RECORD, Scenario.HEAVY_WEEK,
    Scenario.HEAVY_FORTNIGHT, Scenario.NO_BREAK, Scenario.NO_WEEKLY_REST, Scenario.SHORT_WEEKLY_RESTS,
    Scenario.SHORT_REST, Scenario.REST_WITHOUT_RECORD,
)  # fmt: skip
# The first crew breaks what crews may do, the second goes as far as they may.
CREWS = (Scenario.CREW_SHORT_REST, Scenario.CREW_LONG_DAY)


class Seat(StrEnum):
    """How a driver has the vehicle: alone, in turn with another, or as a crew of two."""

    ALONE = "alone"
    IN_TURN = "in_turn"
    FIRST = "first"
    SECOND = "second"


@dataclass(frozen=True, slots=True)
class Roster:
    """A driver's shifts begin at `begin`, a minute of the UTC day; `first_off` (0 Monday) and the day after are off."""

    driver: int
    driver_id: str
    vehicle: Vehicle
    begin: int
    first_off: int
    seat: Seat
    scenario: Scenario = Scenario.LAWFUL


def choose_vehicles(network: Network, crew: Crew, count: int) -> list[Vehicle]:
    """Choose vehicles by class; those with two drivers first.

    Raises:
        PlanError: fewer vehicles of the fleet have a driver and roads.
    """
    fit = sorted(
        (vehicle for vehicle in crew.vehicles if _has_roads(network, vehicle) and vehicle.drivers),
        key=lambda vehicle: (len(vehicle.drivers) < 2, vehicle.number),
    )
    if len(fit) < count:
        raise PlanError(
            f"telemetry_vehicles is at most {len(fit)}, the European vehicles with drivers; got {count}"
        )
    chosen: list[Vehicle] = []
    for name, share in SHARES.items():
        chosen += [vehicle for vehicle in fit if vehicle.kind.name == name][: round(count * share)]
    rest = [vehicle for vehicle in fit if vehicle not in chosen]
    return sorted((chosen + rest)[:count], key=lambda vehicle: vehicle.number)


def _has_roads(network: Network, vehicle: Vehicle) -> bool:
    return CITIES[vehicle.city].region in EUROPE and bool(network.road_hubs[vehicle.city])


def draw_rosters(vehicles: Sequence[Vehicle], crew: Crew, rng: Random) -> list[Roster]:
    """Give each vehicle its drivers and shifts; plant with most of those who drive alone, and with the first crews."""
    pairs = [vehicle for vehicle in vehicles if len(vehicle.drivers) > 1 and vehicle.kind.name != "van"]
    pairs = pairs[: len(vehicles) // 4]
    alone = [vehicle for vehicle in vehicles if vehicle not in pairs]
    rosters = list(_alone(alone, crew, rng))
    for place, vehicle in enumerate(pairs):
        begin, off, scenario = rng.randrange(1440), _first_off(rng), Scenario.LAWFUL
        one, two = (crew.drivers[number] for number in vehicle.drivers[:2])
        if place % 2:
            seats, begins = (Seat.FIRST, Seat.SECOND), (begin, begin)
            scenario = CREWS[place // 2] if place // 2 < len(CREWS) else scenario
        else:
            seats, begins = (Seat.IN_TURN, Seat.IN_TURN), (begin, (begin + HALF_DAY) % 1440)
        for driver, seat, at in zip((one, two), seats, begins, strict=True):
            rosters.append(Roster(driver.number, driver.driver_id, vehicle, at, off, seat, scenario))
    return rosters


def _first_off(rng: Random) -> int:
    """Any day but Monday: a weekly rest that begins about Sunday midnight would count in this week or in that."""
    return rng.randrange(1, 7)


def _alone(vehicles: Sequence[Vehicle], crew: Crew, rng: Random) -> Iterator[Roster]:
    scenarios = list(TURNS[: len(vehicles) * 5 // 6])
    hour = rng.randrange(24)
    for vehicle in sorted(vehicles, key=lambda one: (one.kind.name == "van", one.number)):
        driver = crew.drivers[vehicle.drivers[0]]
        fits = (one for one in scenarios if one not in ENDURING or vehicle.kind.name == "tractor")
        scenario = next(fits, Scenario.LAWFUL)
        if scenario is not Scenario.LAWFUL:
            scenarios.remove(scenario)
        # Somebody is on the road at any hour.
        hour = (hour + 7) % 24
        weekly = scenario in WEEKLY
        begin = rng.randrange(270, 400) if weekly else hour * 60 + rng.randrange(60)
        off = SATURDAY if weekly else _first_off(rng)
        yield Roster(driver.number, driver.driver_id, vehicle, begin, off, Seat.ALONE, scenario)
