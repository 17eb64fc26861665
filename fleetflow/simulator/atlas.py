"""The map: real cities (WGS 84 degrees, IANA time zones) where the simulated fleet has its hubs.

`inland` is the bearing (degrees) that points away from the sea; sites of a coastal city lie within 70 degrees
of it, so that no customer ends up in the water. None: land all around.
"""

from __future__ import annotations

from typing import NamedTuple


class City(NamedTuple):
    """One city of the map; `island` marks a city that has no road to the others of its region."""

    code: str
    name: str
    region: str
    country: str
    lat: float
    lon: float
    timezone: str
    inland: int | None = None
    island: bool = False


CITIES: tuple[City, ...] = (
    City("LON", "London", "uk-ireland", "GB", 51.5074, -0.1278, "Europe/London"),
    City("BHX", "Birmingham", "uk-ireland", "GB", 52.4862, -1.8904, "Europe/London"),
    City("MAN", "Manchester", "uk-ireland", "GB", 53.4808, -2.2426, "Europe/London", 110),
    City("GLA", "Glasgow", "uk-ireland", "GB", 55.8642, -4.2518, "Europe/London", 90),
    City("DUB", "Dublin", "uk-ireland", "IE", 53.3498, -6.2603, "Europe/Dublin", 270, island=True),
    City("RTM", "Rotterdam", "benelux", "NL", 51.9244, 4.4777, "Europe/Amsterdam", 90),
    City("ANR", "Antwerp", "benelux", "BE", 51.2194, 4.4025, "Europe/Brussels", 135),
    City("LGG", "Liege", "benelux", "BE", 50.6326, 5.5797, "Europe/Brussels"),
    City("FRA", "Frankfurt", "dach", "DE", 50.1109, 8.6821, "Europe/Berlin"),
    City("HAM", "Hamburg", "dach", "DE", 53.5511, 9.9937, "Europe/Berlin", 150),
    City("BER", "Berlin", "dach", "DE", 52.5200, 13.4050, "Europe/Berlin"),
    City("MUC", "Munich", "dach", "DE", 48.1351, 11.5820, "Europe/Berlin"),
    City("ZRH", "Zurich", "dach", "CH", 47.3769, 8.5417, "Europe/Zurich"),
    City("VIE", "Vienna", "dach", "AT", 48.2082, 16.3738, "Europe/Vienna"),
    City("PAR", "Paris", "france", "FR", 48.8566, 2.3522, "Europe/Paris"),
    City("LYS", "Lyon", "france", "FR", 45.7640, 4.8357, "Europe/Paris"),
    City("MRS", "Marseille", "france", "FR", 43.2965, 5.3698, "Europe/Paris", 10),
    City("LIL", "Lille", "france", "FR", 50.6292, 3.0573, "Europe/Paris", 150),
    City("MAD", "Madrid", "iberia", "ES", 40.4168, -3.7038, "Europe/Madrid"),
    City("BCN", "Barcelona", "iberia", "ES", 41.3874, 2.1686, "Europe/Madrid", 300),
    City("VLC", "Valencia", "iberia", "ES", 39.4699, -0.3763, "Europe/Madrid", 280),
    City("LIS", "Lisbon", "iberia", "PT", 38.7223, -9.1393, "Europe/Lisbon", 45),
    City("MIL", "Milan", "italy", "IT", 45.4642, 9.1900, "Europe/Rome"),
    City("BLQ", "Bologna", "italy", "IT", 44.4949, 11.3426, "Europe/Rome"),
    City("ROM", "Rome", "italy", "IT", 41.9028, 12.4964, "Europe/Rome", 60),
    City("CPH", "Copenhagen", "nordics", "DK", 55.6761, 12.5683, "Europe/Copenhagen", 260),
    City("GOT", "Gothenburg", "nordics", "SE", 57.7089, 11.9746, "Europe/Stockholm", 80),
    City("STO", "Stockholm", "nordics", "SE", 59.3293, 18.0686, "Europe/Stockholm", 280),
    City("OSL", "Oslo", "nordics", "NO", 59.9139, 10.7522, "Europe/Oslo", 20),
    City("WAW", "Warsaw", "east-europe", "PL", 52.2297, 21.0122, "Europe/Warsaw"),
    City("LCJ", "Lodz", "east-europe", "PL", 51.7592, 19.4560, "Europe/Warsaw"),
    City("PRG", "Prague", "east-europe", "CZ", 50.0755, 14.4378, "Europe/Prague"),
    City("BUD", "Budapest", "east-europe", "HU", 47.4979, 19.0402, "Europe/Budapest"),
    City("EWR", "Newark", "us-east", "US", 40.7357, -74.1724, "America/New_York", 290),
    City("PHL", "Philadelphia", "us-east", "US", 39.9526, -75.1652, "America/New_York", 300),
    City("ATL", "Atlanta", "us-east", "US", 33.7490, -84.3880, "America/New_York"),
    City("CHI", "Chicago", "us-central", "US", 41.8781, -87.6298, "America/Chicago", 250),
    City("MEM", "Memphis", "us-central", "US", 35.1495, -90.0490, "America/Chicago"),
    City("DFW", "Dallas", "us-central", "US", 32.7767, -96.7970, "America/Chicago"),
    City("HOU", "Houston", "us-central", "US", 29.7604, -95.3698, "America/Chicago", 310),
    City("LAX", "Los Angeles", "us-west", "US", 34.0522, -118.2437, "America/Los_Angeles", 70),
    City("PHX", "Phoenix", "us-west", "US", 33.4484, -112.0740, "America/Phoenix"),
    City("SEA", "Seattle", "us-west", "US", 47.6062, -122.3321, "America/Los_Angeles", 120),
    City("TYO", "Tokyo", "apac", "JP", 35.6762, 139.6503, "Asia/Tokyo", 320),
    City("OSA", "Osaka", "apac", "JP", 34.6937, 135.5023, "Asia/Tokyo", 50),
    City("SIN", "Singapore", "apac", "SG", 1.3521, 103.8198, "Asia/Singapore", 335, island=True),
    City("SYD", "Sydney", "apac", "AU", -33.8688, 151.2093, "Australia/Sydney", 280, island=True),
)

REGIONS: tuple[str, ...] = tuple(dict.fromkeys(city.region for city in CITIES))

# Singapore is small: its sites stay on the island and just over the causeway.
SITE_RADIUS_KM: dict[str, float] = {"SIN": 14.0}
DEFAULT_SITE_RADIUS_KM = 45.0
