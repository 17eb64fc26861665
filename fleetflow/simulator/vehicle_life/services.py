"""Workshop visits: each vehicle's services are fresh, but for one that some have let pass: by km, months or hours.

What is overdue is so by far (95,000 km, 27 months, 3,100 engine hours), what is not was done within the last weeks, so
that any sensible interval tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

DAY_S = 86_400.0
KM_PER_H = 52.0
SERVICES = ("maintenance", "inspection", "oil", "brakes", "tyres")


class Neglect(NamedTuple):
    """What is let pass, by which limit, since how many days, with how much use a day."""

    service: str
    by: str
    days: float
    km_a_day: float
    hours_a_day: float


NEGLECTS = (
    Neglect("maintenance", "km", 250, 380.0, 380.0 / KM_PER_H),
    Neglect("inspection", "months", 822, 11.0, 11.0 / KM_PER_H),
    Neglect("oil", "engine_hours", 200, 45.0, 15.5),
)
USUAL_KM_A_DAY = 190.0


class Visit(NamedTuple):
    """One workshop's bill: service, when it was done, and what the meters showed then."""

    vehicle_id: str
    service: str
    done_s: float
    odometer_km: float
    engine_h: float
    neglected_by: str | None


def plan_visits(
    vehicle_id: str, place: int, start_s: float, odometer_km: float, engine_h: float, rng: Random
) -> Iterator[Visit]:
    """Plan by the vehicle's place: of six in a row three have let something pass, each by another limit."""
    neglect = NEGLECTS[place % 6] if place % 6 < len(NEGLECTS) else None
    km_a_day = neglect.km_a_day if neglect else USUAL_KM_A_DAY
    hours_a_day = neglect.hours_a_day if neglect else km_a_day / KM_PER_H
    for service in SERVICES:
        late = neglect is not None and neglect.service == service
        days = neglect.days if neglect and late else rng.uniform(9, 25)
        yield Visit(
            vehicle_id, service, start_s - days * DAY_S, max(100.0, odometer_km - days * km_a_day),
            max(10.0, engine_h - days * hours_a_day), neglect.by if neglect and late else None,
        )  # fmt: skip
