"""A small fleet of positions for the tests of the vehicle side: days of trips, stops, gaps, drivers and bad fixes."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from transform_warehouse import NOW, status

# Two days and a half that end at NOW: two midnights in each zone, and on 8 March the clocks of New York go forward.
START = NOW - timedelta(hours=58)
HUB = (52.0, 10.0)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Europe/Berlin")
Row = dict[str, Any]


def sites(tenant: str) -> list[Row]:
    """A hub where vehicles start, a customer east of it, and a depot that nobody visits."""
    places = [("hub", "hub", *HUB), ("customer", "customer", 52.0, 10.35), ("depot", "depot", 40.0, 3.0)]
    return [
        {"site_id": f"{tenant}-{name}", "tenant_id": tenant, "name": name, "kind": kind, "region": "r",
         "country": "DE", "city": "C", "lat": lat, "lon": lon, "timezone": zone}
        for (name, kind, lat, lon), zone in zip(places, ZONES, strict=False)
    ]  # fmt: skip


def drivers(tenant: str) -> list[Row]:
    """Drivers at home in three zones."""
    homes = ("hub", "customer", "depot", "hub")
    return [
        {"driver_id": f"{tenant}-d{at}", "tenant_id": tenant, "licence_class": "C",
         "home_site_id": f"{tenant}-{home}", "status": "active", "hired_on": NOW.date()}
        for at, home in enumerate(homes)
    ]  # fmt: skip


def shipments(tenant: str, vehicle: str, seed: int) -> list[Row]:
    """Statuses of shipments that the vehicle carries for some hours; some name it only when they are picked up."""
    dice = random.Random(seed)
    rows: list[Row] = []
    for number in range(8):
        name, minutes = f"{tenant}-{vehicle}-{number}", dice.uniform(-58, -6) * 60
        for at, word in enumerate(
            ("created", "assigned", "picked_up", "in_transit", "out_for_delivery", "delivered")
        ):
            named = at == 2 or (at > 2 and dice.random() < 0.7)
            vehicle_id = vehicle if named else None
            rows.append(status(name, at, word, minutes, tenant_id=tenant, vehicle_id=vehicle_id))
            minutes += dice.uniform(10, 90)
    return rows


def positions(tenant: str, vehicle: str, seed: int, start: datetime = START, hours: float = 58) -> list[Row]:
    """Drive between the hub and the customer, with noise, a silent stretch, and each kind of bad fix."""
    dice = random.Random(seed)
    at, until = start + timedelta(minutes=dice.uniform(0, 30)), start + timedelta(hours=hours)
    rows: list[Row] = []
    km, east, way = 99_990.0 + dice.uniform(0, 5), 0.0, 1
    while at < until:
        driver = dice.choice((f"{tenant}-d0", f"{tenant}-d1", f"{tenant}-d2", f"{tenant}-d3", None))
        for _ in range(round(24 / 0.9)):
            at += timedelta(seconds=60)
            east, km = east + way * 0.9, km + 0.92
            rows.append(_fix(tenant, vehicle, len(rows), at, east, 54.0, km, driver, dice))
        stand = dice.choice((4, 25, 50, 240))
        for minute in range(stand):
            at += timedelta(seconds=60)
            if not 10 < minute < stand - 5 or dice.random() < 0.3:
                rows.append(_fix(tenant, vehicle, len(rows), at, east, 0.0, km, driver, dice))
        if dice.random() < 0.2:
            at, east, km = at + timedelta(minutes=40), east + way * 9.0, km + 9.0
        way = -1 if east > 10 else 1
    return _spoiled([row for row in rows if row["fixed_at"] < until], dice)


def _fix(
    tenant: str, vehicle: str, number: int, at: datetime, east_km: float, kmh: float, km: float,
    driver: str | None, dice: random.Random,
) -> Row:  # fmt: skip
    return {
        "tenant_id": tenant, "event_id": f"{vehicle}-{number}", "recorded_at": at + timedelta(seconds=2),
        "schema_version": 1, "vehicle_id": vehicle, "driver_id": driver, "fixed_at": at,
        "lat": HUB[0] + dice.gauss(0, 5e-5), "lon": HUB[1] + east_km / 68.5 + dice.gauss(0, 5e-5),
        "speed_kmh": max(0.0, kmh + dice.gauss(0, 1)), "heading_deg": 90.0, "accuracy_m": 8.0,
        "odometer_km": km % 100_000, "ignition_on": kmh > 0 or number % 3 > 0,
    }  # fmt: skip


def _spoiled(rows: list[Row], dice: random.Random) -> list[Row]:
    """Add to a track what the rules have to refuse: teleports, unset clocks, the zero island, a fallen odometer."""
    bad: list[Row] = []
    for number, row in enumerate(dice.sample(rows, 24)):
        name = {"event_id": f"{row['vehicle_id']}-bad{number}"}
        later = {"fixed_at": row["fixed_at"] + timedelta(seconds=dice.uniform(1, 50))}
        bad.append(
            row
            | name
            | (
                later | {"lat": row["lat"] + 3.0},
                {"fixed_at": datetime(1970, 1, 1, 0, 0, number, tzinfo=NOW.tzinfo)},
                later | {"lat": 0.0, "lon": 0.0},
                later | {"accuracy_m": 5000.0},
                {"fixed_at": row["fixed_at"] + timedelta(days=2)},
                {"lat": row["lat"] + 1e-5, "accuracy_m": 20.0},
            )[number % 6]
        )
    rows[len(rows) // 2]["odometer_km"] = 12.0
    return rows + bad
