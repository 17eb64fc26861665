"""How a vehicle drives one trip: speed over time, from rest to rest, on a grid of ten seconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
GRID_S = 10
FASTEST_KMH = {"van": 122.0, "truck": 90.0, "tractor": 88.0}
# Mean speed of a trip by its length in minutes; stops at lights and towns are in it.
MEAN_KMH = {
    "van": ((25, 27.0), (45, 34.0), (10_000, 46.0)),
    "truck": ((45, 33.0), (90, 46.0), (10_000, 55.0)),
    "tractor": ((60, 42.0), (120, 52.0), (10_000, 61.0)),
}
TOWN_SHARE, TOWN_S, TOWN_SPEED = 0.15, 480, 0.48
MINUTES_BETWEEN_LIGHTS = 12
RAMP_STEPS = 5


def mean_kmh(kind: str, minutes: int) -> float:
    """Return the mean speed that a trip of so many minutes is planned with."""
    return next(speed for limit, speed in MEAN_KMH[kind] if minutes <= limit)


def drive(rng: np.random.Generator, kind: str, minutes: int, length_km: float) -> tuple[Floats, Floats]:
    """Return kilometres gone and km/h at each step of the grid, both ends included.

    The way is covered exactly in the time; the vehicle stands at both ends, and at lights between. Nothing is driven
    faster than the class allows unless the way is too long for it.
    """
    steps = minutes * 60 // GRID_S
    wish = _wish(rng, steps)
    for _ in range(6):  # cut the peaks, and make up for it elsewhere
        scale = _scale(wish, length_km)
        over = wish * scale > FASTEST_KMH[kind]
        if not over.any():
            break
        wish = np.minimum(wish, FASTEST_KMH[kind] / scale)
    speed = wish * _scale(wish, length_km)
    gone = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2) * GRID_S / 3600])
    return gone * (length_km / gone[-1]), speed


def _wish(rng: np.random.Generator, steps: int) -> Floats:
    """The shape of the speed: towns at both ends, lights, a restless foot; nought at both ends."""
    wish = 1.0 + 0.07 * _smooth(rng.standard_normal(steps + 1), 12) * np.sqrt(12)
    town = int(min(TOWN_SHARE * steps, TOWN_S / GRID_S))
    wish[: town + 1] *= TOWN_SPEED
    wish[steps - town :] *= TOWN_SPEED
    for _ in range(rng.poisson(steps * GRID_S / 60 / MINUTES_BETWEEN_LIGHTS)):
        at = int(rng.integers(6, max(7, steps - 12)))
        wish[at : at + int(rng.integers(5, 9))] = 0.0
    wish[0] = wish[-1] = 0.0
    wish = _smooth(wish, RAMP_STEPS)
    wish[0] = wish[-1] = 0.0
    wish[wish < 0.03] = 0.0
    return wish


def _smooth(values: Floats, width: int) -> Floats:
    return np.convolve(values, np.ones(width) / width, mode="same")


def _scale(wish: Floats, length_km: float) -> float:
    hours = GRID_S / 3600
    return length_km / float(((wish[1:] + wish[:-1]) / 2).sum() * hours)
