"""Worlds of fuel: vehicles whose tanks are filled, burnt from, stolen from and leak, and what their sensors say of it.

Everything is drawn here, minute by minute, without any code of `domain/fuel`. The truth stands beside.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

START_US = 1_751_328_000_000_000  # 2025-07-01 00:00 UTC
MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Truth:
    """What was planted: 'refill', 'theft', 'leak' or 'dropout', from and to which minute of the world, litres."""

    vehicle: int
    kind: str
    first: int
    last: int
    litres: float
    in_motion: bool = False


@dataclass
class World:
    """Readings as columns, one a minute, and the truth."""

    columns: dict[str, np.ndarray]
    tank_l: np.ndarray
    truth: list[Truth] = field(default_factory=list)
    burnt_l: dict[int, float] = field(default_factory=dict)


def make_world(
    seed: int,
    vehicles: int = 10,
    days: int = 4,
    *,
    thefts: int = 1,
    moving_thefts: int = 0,
    leaks: int = 0,
    slope_share: float = 0.03,
    slosh_share: float = 0.02,
    rest_noise_share: float = 0.003,
    dropouts: int = 1,
    sleeps: bool = False,
    counter: bool = True,
    tank_l: float = 600.0,
) -> World:
    """Draw a world. `thefts`, `moving_thefts`, `dropouts` a vehicle; `leaks` is how many vehicles leak.

    `sleeps`: devices are silent once they stood for ten minutes.
    """
    rng = np.random.default_rng(seed)
    parts, truth, burnt = [], [], {}
    for vehicle in range(vehicles):
        columns, planted, total = _draw_vehicle(
            rng, vehicle, days, thefts, moving_thefts, vehicle < leaks, slope_share, slosh_share,
            rest_noise_share, dropouts, sleeps, counter, tank_l,
        )  # fmt: skip
        parts.append(columns)
        truth += planted
        burnt[vehicle] = total
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return World(columns, np.full(vehicles, tank_l), truth, burnt)


def _draw_vehicle(
    rng: np.random.Generator, vehicle: int, days: int, thefts: int, moving_thefts: int, leaks: bool,
    slope_share: float, slosh_share: float, rest_noise_share: float, dropouts: int, sleeps: bool, counter: bool,
    tank: float,
) -> tuple[dict[str, np.ndarray], list[Truth], float]:  # fmt: skip
    minutes = days * 1440
    moving = _draw_driving(rng, days)
    burn = np.where(moving, rng.normal(0.33, 0.08, minutes).clip(0.05), 0.0) * (tank / 600)
    change, planted = _draw_losses(rng, vehicle, moving, thefts, moving_thefts, leaks, tank)
    level, refills = _fill(rng, vehicle, moving, burn, change, planted, tank)
    planted += refills
    shown = level / tank * 100 + _draw_errors(rng, moving, slope_share, slosh_share, rest_noise_share)
    shown = np.clip(shown, 0, 100)
    for _ in range(dropouts):
        lasts = int(rng.integers(5, 60))
        first = int(rng.integers(0, minutes - lasts))
        shown[first : first + lasts] = 0.0
        planted.append(Truth(vehicle, "dropout", first, first + lasts, 0.0))
    shown = np.round(shown / 0.4) * 0.4
    total = np.floor((12_000 + 1.01 * np.cumsum(burn)) / 0.5) * 0.5
    keep = np.ones(minutes, bool)
    for first, last in _spans(~moving) if sleeps else []:
        keep[first + 10 : last - 1] = False
    at = np.flatnonzero(keep)
    columns = {
        "vehicle": np.full(len(at), vehicle),
        "at_us": START_US + at * MINUTE_US,
        "level_pct": shown[at],
        "speed_kmh": np.where(moving, 70.0, 0.0)[at],
        "ignition": moving[at].astype(int),
        "total_l": (total if counter else np.full(minutes, np.nan))[at],
    }
    return columns, planted, float(burn.sum())


def _draw_driving(rng: np.random.Generator, days: int) -> np.ndarray:
    """Drives from about 6:00 to 17:00 with breaks; nights at home."""
    moving = np.zeros(days * 1440, bool)
    for day in range(days):
        clock = day * 1440 + 360 + int(rng.integers(0, 60))
        end = day * 1440 + 1020 + int(rng.integers(0, 60))
        while clock < end:
            drive = int(rng.integers(50, 200))
            moving[clock : min(clock + drive, end)] = True
            clock += drive + int(rng.integers(20, 60))
    return moving


def _draw_losses(
    rng: np.random.Generator, vehicle: int, moving: np.ndarray, thefts: int, moving_thefts: int, leaks: bool,
    tank: float,
) -> tuple[np.ndarray, list[Truth]]:  # fmt: skip
    """Thefts in nights that have driving on both sides, or under way; a leak all the time."""
    change, planted = np.zeros(len(moving)), []
    nights = [span for span in _spans(~moving) if span[1] - span[0] > 300][1:-1]
    # Not on the last day: a drain under way needs driving after it.
    drives = [span for span in _spans(moving) if span[1] - span[0] > 60 and span[1] < len(moving) - 1440]
    for is_moving, many in ((False, thefts), (True, moving_thefts)):
        for _ in range(many):
            first, last = (drives if is_moving else nights)[
                int(rng.integers(0, len(drives if is_moving else nights)))
            ]
            lasts = int(rng.integers(8, 20)) if is_moving else int(rng.integers(4, 25))
            edge = 10 if is_moving else 40
            begin = int(rng.integers(first + edge, last - lasts - edge))
            litres = float(rng.uniform(0.12 if is_moving else 0.06, 0.2)) * tank
            if all(begin > one.last + 600 or begin + lasts < one.first - 600 for one in planted):
                change[begin : begin + lasts] -= litres / lasts
                planted.append(Truth(vehicle, "theft", begin, begin + lasts, litres, is_moving))
    if leaks:
        leak_l_min = float(rng.uniform(0.0015, 0.003)) * tank / 60
        change -= leak_l_min
        planted.append(Truth(vehicle, "leak", 0, len(moving) - 1, leak_l_min * len(moving)))
    return change, planted


def _fill(
    rng: np.random.Generator, vehicle: int, moving: np.ndarray, burn: np.ndarray, change: np.ndarray,
    planted: list[Truth], tank: float,
) -> tuple[np.ndarray, list[Truth]]:  # fmt: skip
    """Run the tank: five minutes into a rest with less than 45 % it is filled, within five, if nobody steals then."""
    level, refills = np.zeros(len(moving)), []
    rests = {first + 5: last for first, last in _spans(~moving)}
    now = float(rng.uniform(0.7, 0.9)) * tank
    for minute in range(len(moving)):
        last = rests.get(minute, 0)
        is_calm = all(one.kind == "leak" or one.first > last or one.last < minute - 60 for one in planted)
        if now < 0.45 * tank and last > minute + 15 and is_calm:
            litres = float(rng.uniform(0.9, 0.98)) * tank - now
            change[minute + 1 : minute + 6] += litres / 5
            refills.append(Truth(vehicle, "refill", minute, minute + 5, litres))
        now = max(now + change[minute] - burn[minute], 0.0)
        level[minute] = now
    return level, refills


def _draw_errors(
    rng: np.random.Generator,
    moving: np.ndarray,
    slope_share: float,
    slosh_share: float,
    rest_noise_share: float,
) -> np.ndarray:
    """Per cent: each rest's slope, waves of the road, slosh under way and in the first two minutes of a rest."""
    minutes = len(moving)
    road = np.sin(np.arange(minutes) / rng.uniform(5, 12))
    slosh = rng.normal(0, slosh_share * 100, minutes)
    error = np.where(moving, slosh + road, rng.normal(0, rest_noise_share * 100, minutes))
    for first, last in _spans(~moving):
        error[first : first + 2] += slosh[first : first + 2]
        error[first:last] += rng.uniform(-slope_share, slope_share) * 100
    return error


def _spans(mask: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(mask.astype(int), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
