"""How long a plan of services takes, and how good it is beside the bound that no plan can undercut."""

from __future__ import annotations

import random
from datetime import date, timedelta

from domain.maintenance.workshop import Capacity, Job, Problem, Site, Vehicle

START = date(2026, 11, 23)
_DAYS_OF_WORK = (1, 1, 1, 1, 1, 1, 2, 2, 3, 5)
_PRIORITIES = (1, 2, 2, 3, 3, 3, 3, 4, 4, 5)


def draw_problem(vehicles: int, sites: int, horizon_days: int, seed: int, load: float = 0.9) -> Problem:
    """Draw a fleet with its duties and jobs; `load` is the share of the bays' days that the jobs want."""
    dice = random.Random(seed)
    names = [f"site-{i:02d}" for i in range(sites)]
    fleet = tuple(_vehicle(dice, i, names[dice.randrange(sites)], horizon_days) for i in range(vehicles))
    jobs = tuple(
        _job(dice, number, vehicle, names, horizon_days)
        for number, vehicle in enumerate(dice.sample(fleet, int(vehicles * 0.85)))
    )
    wanted = dict.fromkeys(names, 0)
    for job in jobs:
        wanted[job.site_ids[0]] += job.days
    open_days = horizon_days * 5 / 7
    bays = {name: max(1, round(days / open_days / load)) for name, days in wanted.items()}
    places = tuple(Site(name, bays[name], closed_on=frozenset({START + timedelta(32)})) for name in names)
    return Problem(START, horizon_days, jobs, places, fleet, Capacity(15, 15))


def _vehicle(dice: random.Random, number: int, home: str, horizon_days: int) -> Vehicle:
    duties: set[date] = set()
    for _ in range(dice.randrange(4)):
        first = dice.randrange(horizon_days)
        duties |= {START + timedelta(first + i) for i in range(dice.randint(1, 7))}
    return Vehicle(f"veh-{number:05d}", home, frozenset(duties))


def _job(dice: random.Random, number: int, vehicle: Vehicle, names: list[str], horizon_days: int) -> Job:
    due = START + timedelta(dice.randint(-20, -1) if dice.random() < 0.08 else dice.randint(0, horizon_days))
    home = str(vehicle.home_site)
    others = [name for name in dice.sample(names, 2) if name != home] if dice.random() < 0.4 else []
    return Job(
        job_id=f"job-{number:05d}",
        vehicle_id=vehicle.vehicle_id,
        site_ids=(home, *others[:1]),
        days=dice.choice(_DAYS_OF_WORK),
        due_on=due,
        priority=dice.choice(_PRIORITIES),
        earliest=due - timedelta(21),
    )
