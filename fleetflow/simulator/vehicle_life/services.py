"""Workshop visits: each vehicle's services are fresh, but for one that some have let pass: by km, months or hours.

What is overdue is so by a tenth at least, mostly by a quarter, of any usual interval of its class; what is not was done
within the last weeks. So the intervals of `dbt/seeds/service_task.csv` need not be known here; a test compares them.
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


# Tyres of a van that are past 50,000 km, a truck's past 120,000, a tractor's past 160,000.
TYRES_KM_A_DAY = {"van": 200.0, "truck": 460.0, "tractor": 620.0}
BY_KM = {name: Neglect("tyres", "km", 330, km, km / KM_PER_H) for name, km in TYRES_KM_A_DAY.items()}
BY_MONTHS = Neglect("inspection", "months", 822, 11.0, 11.0 / KM_PER_H)
BY_HOURS = Neglect("oil", "engine_hours", 200, 45.0, 15.5)
USUAL_KM_A_DAY = 190.0


class Visit(NamedTuple):
    """One workshop's bill: service, when it was done, and what the meters showed then."""

    vehicle_id: str
    service: str
    done_s: float
    odometer_km: float
    engine_h: float
    neglected_by: str | None


def neglect_of(kind: str, place: int) -> Neglect | None:
    """Choose by the vehicle's place: of six in a row three let something pass; vans have no limit of hours."""
    choices = (BY_KM[kind], BY_MONTHS, BY_MONTHS if kind == "van" else BY_HOURS)
    return choices[place % 6] if place % 6 < len(choices) else None


def plan_visits(
    vehicle_id: str, neglect: Neglect | None, start_s: float, odometer_km: float, engine_h: float, rng: Random
) -> Iterator[Visit]:
    """Plan the last visit for each service; what is let pass sets how much the vehicle is used."""
    km_a_day = neglect.km_a_day if neglect else USUAL_KM_A_DAY
    hours_a_day = neglect.hours_a_day if neglect else km_a_day / KM_PER_H
    for service in SERVICES:
        late = neglect is not None and neglect.service == service
        days = neglect.days if neglect and late else rng.uniform(9, 25)
        yield Visit(
            vehicle_id, service, start_s - days * DAY_S, max(100.0, odometer_km - days * km_a_day),
            max(10.0, engine_h - days * hours_a_day), neglect.by if neglect and late else None,
        )  # fmt: skip
