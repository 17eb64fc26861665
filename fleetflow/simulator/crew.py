"""Drivers on shifts in their home city's local time, and the vehicles they drive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from fleetflow.simulator.atlas import CITIES
from fleetflow.simulator.network import DAY_MS, HOUR_MS, Clock, Network
from fleetflow.simulator.plan import seeded

FIRST_NAMES = (
    "Amina",
    "Anders",
    "Beatriz",
    "Bruno",
    "Carla",
    "Chen",
    "Daniel",
    "Dora",
    "Elif",
    "Emil",
    "Fatima",
    "Felix",
    "Giulia",
    "Hannah",
    "Hiro",
    "Ivan",
    "Jana",
    "Jonas",
    "Kofi",
    "Lena",
    "Luis",
    "Maria",
    "Marek",
    "Mei",
    "Nadia",
    "Noah",
    "Olga",
    "Omar",
    "Paula",
    "Pieter",
    "Quinn",
    "Rosa",
    "Sami",
    "Sofia",
    "Tomas",
    "Uma",
    "Viktor",
    "Wanda",
    "Yusuf",
    "Zoe",
)
LAST_NAMES = (
    "Adler",
    "Almeida",
    "Andersson",
    "Bakker",
    "Bauer",
    "Costa",
    "Dubois",
    "Eriksen",
    "Farkas",
    "Fischer",
    "Garcia",
    "Haas",
    "Hughes",
    "Ito",
    "Jansen",
    "Kaya",
    "Keller",
    "Kowalska",
    "Larsen",
    "Lopez",
    "Martin",
    "Mensah",
    "Meyer",
    "Moreau",
    "Murphy",
    "Nagy",
    "Novak",
    "Okafor",
    "Olsen",
    "Peeters",
    "Petrov",
    "Ricci",
    "Rossi",
    "Santos",
    "Sato",
    "Schmid",
    "Silva",
    "Smith",
    "Tan",
    "Wagner",
    "Walker",
    "Weber",
    "Wilson",
    "Yilmaz",
    "Zhang",
    "Zielinski",
)
DIAL = {
    "GB": "44",
    "IE": "353",
    "NL": "31",
    "BE": "32",
    "DE": "49",
    "CH": "41",
    "AT": "43",
    "FR": "33",
    "ES": "34",
    "PT": "351",
    "IT": "39",
    "DK": "45",
    "SE": "46",
    "NO": "47",
    "PL": "48",
    "CZ": "420",
    "HU": "36",
    "US": "1",
    "JP": "81",
    "SG": "65",
    "AU": "61",
}
VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


@dataclass(frozen=True, slots=True)
class VehicleKind:
    """A class of vehicle; consumption in litres per 100 km."""

    name: str
    models: tuple[tuple[str, str], ...]
    capacity_kg: int
    tank_l: int
    consumption: float
    town_kmh: float
    road_kmh: float
    licence: tuple[str, ...]


KINDS = (
    VehicleKind(
        "van",
        (("Ford", "Transit"), ("Mercedes-Benz", "Sprinter"), ("Renault", "Master")),
        1_200,
        80,
        9.5,
        42.0,
        102.0,
        ("B", "B", "C1"),
    ),
    VehicleKind(
        "truck",
        (("MAN", "TGL"), ("Iveco", "Eurocargo"), ("Volvo", "FL")),
        7_000,
        200,
        19.0,
        38.0,
        82.0,
        ("C", "CE"),
    ),
    VehicleKind(
        "tractor",
        (("Scania", "R450"), ("Volvo", "FH"), ("DAF", "XG")),
        24_000,
        600,
        29.5,
        36.0,
        84.0,
        ("CE",),
    ),
)


@dataclass(slots=True)
class Driver:
    """A driver; the shift begins at `shift_ms` after local midnight and lasts `length_ms`."""

    number: int
    driver_id: str
    city: int
    vehicle: int
    shift_ms: int
    length_ms: int
    active: bool

    def on_shift(self, clock: Clock, at_ms: int) -> bool:
        """Whether the shift runs at that moment."""
        return (clock.local_ms(self.city, at_ms) - self.shift_ms) % DAY_MS < self.length_ms


@dataclass(slots=True)
class Vehicle:
    """A vehicle and the drivers who share it."""

    number: int
    vehicle_id: str
    city: int
    kind: VehicleKind
    drivers: tuple[int, ...]
    in_workshop: bool


@dataclass(frozen=True, slots=True)
class Crew:
    """The drivers and vehicles, and who is at home in which city."""

    drivers: tuple[Driver, ...]
    vehicles: tuple[Vehicle, ...]
    by_city: tuple[tuple[int, ...], ...]

    def choose(self, rng: Random, clock: Clock, city: int, at_ms: int) -> Driver:
        """Some driver of the city (or of the next one that has any), on shift then if four draws find one."""
        crew = next(
            self.by_city[(city + n) % len(CITIES)]
            for n in range(len(CITIES))
            if self.by_city[(city + n) % len(CITIES)]
        )
        driver = self.drivers[crew[int(rng.random() * len(crew))]]
        for _ in range(3):
            if driver.on_shift(clock, at_ms):
                break
            driver = self.drivers[crew[int(rng.random() * len(crew))]]
        return driver


def build_crew(network: Network, drivers: int, vehicles: int, seed: int) -> Crew:
    """Spread vehicles and drivers over the cities; vehicle n and its drivers live in the same one."""
    shared: list[list[int]] = [[] for _ in range(vehicles)]
    people: list[Driver] = []
    rng = seeded("crew", seed)
    for number in range(drivers):
        vehicle = number % vehicles
        # The second driver of a vehicle begins when the first is done; one in eight vehicles runs at night.
        early = 21 if vehicle % 8 == 7 else 6 + rng.randrange(3)
        begin = (early + 9 * (number // vehicles)) % 24
        city = vehicle % len(CITIES)
        active = number % 97 != 13
        if active and not _in_workshop(vehicle):
            shared[vehicle].append(number)
        driver_id = f"{network.prefix}DRV-{number + 1:06d}"
        people.append(Driver(number, driver_id, city, vehicle, begin * HOUR_MS, 9 * HOUR_MS, active))
    fleet = tuple(
        Vehicle(
            n,
            f"{network.prefix}VEH-{n + 1:06d}",
            n % len(CITIES),
            _kind(n),
            tuple(shared[n]),
            _in_workshop(n),
        )
        for n in range(vehicles)
    )
    at_home: list[list[int]] = [[] for _ in CITIES]
    for driver in people:
        if driver.active and not _in_workshop(driver.vehicle):
            at_home[driver.city].append(driver.number)
    return Crew(tuple(people), fleet, tuple(map(tuple, at_home)))


def _in_workshop(vehicle: int) -> bool:
    return vehicle % 89 == 17


def _kind(number: int) -> VehicleKind:
    # Mixed by position among the vehicles of a city: six vans, two trucks, two tractors.
    place = (number // len(CITIES) + number) % 10
    return KINDS[0] if place < 6 else KINDS[1] if place < 8 else KINDS[2]


def driver_row(network: Network, crew: Crew, driver: Driver, seed: int) -> tuple[object, ...]:
    """The driver's row for the order database, without updated_at; name, phone and licence are invented."""
    rng = seeded("driver", seed, driver.number)
    country = CITIES[driver.city].country
    phone = f"+{DIAL[country]} {rng.randrange(10**8, 10**9)}"
    licence = f"{country}{network.prefix}{driver.number:06d}{rng.randrange(10**4):04d}"
    return (
        driver.driver_id,
        network.tenant,
        f"{rng.choice(FIRST_NAMES)} {rng.choice(LAST_NAMES)}",
        phone,
        licence,
        rng.choice(crew.vehicles[driver.vehicle].kind.licence),
        network.sites[network.hubs[driver.city]].site_id,
        "active" if driver.active else "inactive",
        date(2012, 1, 1) + timedelta(days=rng.randrange(5_000)),
    )


def vehicle_row(network: Network, vehicle: Vehicle, seed: int, began: date | None) -> tuple[object, ...]:
    """The vehicle's row for the order database, without updated_at; in service since `began`, or since any day."""
    rng = seeded("vehicle", seed, vehicle.number)
    make, model = rng.choice(vehicle.kind.models)
    if began is None:
        began = date(rng.randrange(2014, 2026), 1, 1) + timedelta(days=rng.randrange(365))
    vin = "".join(rng.choices(VIN_LETTERS, k=11)) + f"{vehicle.number % 1_000_000:06d}"
    return (
        vehicle.vehicle_id,
        network.tenant,
        f"{CITIES[vehicle.city].country}-{network.prefix}{vehicle.number:06d}",
        vin,
        make,
        model,
        began.year,
        vehicle.kind.name,
        vehicle.kind.capacity_kg,
        vehicle.kind.tank_l,
        network.sites[network.hubs[vehicle.city]].site_id,
        "workshop" if vehicle.in_workshop else "active",
        began,
    )
